"""What is masked of what is personal, by kind and language, and what is left alone."""

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.labelled_texts import labelled_texts
from benchmarks.masking import figures
from hr_retrieval.errors import UserError
from hr_retrieval.privacy.masker import KINDS, MASKED, Masker, _new
from hr_retrieval.privacy.span import Span

CONTACTS = Masker()


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Звоните Анне Петровой: 8 (912) 345-67-89", "Звоните [name]: [phone]"),
        ("Пишите a.b@завод.рф или @hr_anna, сайт t.me/hr_anna.", "Пишите [e-mail] или [handle], сайт [link]."),
        ("Иванов Иван Ильич\nродился 01.02.1990\nИНН 500100732259", "[name]\nродился [birth date]\nИНН [document]"),
        ("ask for John O'Neil on +44 20 7946 0958", "ask for [name] on [phone]"),
        ("паспорт 45 10 № 123456, СНИЛС 112-233-445 95", "паспорт [document], СНИЛС [document]"),
        (
            "оклад 80 000 - 120 000 руб., 2019-2023, ГОСТ 2.301-68",
            "оклад 80 000 - 120 000 руб., 2019-2023, ГОСТ 2.301-68",
        ),
        ("Java: @Transactional, @Autowired; ASP.NET, Node.js", "Java: @Transactional, @Autowired; ASP.NET, Node.js"),
        # A number whose check digits are wrong, and one without a word that says what it is.
        ("артикул 112-233-445 96, партия 4510 123456", "артикул 112-233-445 96, партия 4510 123456"),
        ("Обращаться в Отдел Кадров на заводе имени Кирова", "Обращаться в Отдел Кадров на заводе имени Кирова"),
    ],
)
def test_what_is_masked_and_what_is_not(text: str, masked: str) -> None:
    assert CONTACTS.masked(text) == masked
    assert Masker("none").masked(text) == text


def test_names_elsewhere_are_masked_where_all_are() -> None:
    text = "Our founder Mary Johnson trained at Moscow Power Institute. Мы учимся у Сергея Кузнецова."
    assert CONTACTS.masked(text) == text
    assert Masker("all").masked(text) == text.replace("Mary Johnson", "[name]").replace("Сергея Кузнецова", "[name]")


@pytest.mark.parametrize(("unseen", "recall", "precision"), [(False, 0.93, 0.98), (True, 0.7, 0.8)])
def test_recall_and_precision_by_kind_and_language(unseen: bool, recall: float, precision: float) -> None:
    texts = labelled_texts(seed=7, unseen=unseen)
    found = figures(texts, CONTACTS.spans)
    assert {key for key, numbers in found.items() if numbers[0]} >= {("ru", kind) for kind in KINDS}
    low = {
        key: numbers
        for key, numbers in found.items()
        if numbers[1] < recall * numbers[0] or numbers[3] < precision * numbers[2]
    }
    assert low == {}


def test_what_is_masked_is_counted_by_kind() -> None:
    counts = Counter({"phone": 1})
    assert CONTACTS.masked("Call +7 912 345-67-89 or a@b.ru", counts) == "Call [phone] or [e-mail]"
    assert counts == {"phone": 2, "e-mail": 1}
    assert MASKED.findall("[phone] [job]") == ["[phone]"]


@given(st.text(st.sampled_from("09 +-().@/:a.bИванМария\n'"), max_size=60) | st.text(max_size=30))
def test_spans_are_in_order_and_apart_whatever_the_text(text: str) -> None:
    places = [(span.begin, span.end) for span in CONTACTS.spans(text)]
    assert all(0 <= begin < end <= len(text) for begin, end in places)
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(places))


@pytest.mark.parametrize(
    "piece", ["1", "1 ", "a.", "a@", "@a", "/a.", "А ", "Ив ", "т.", "A.", "(", "12.", "1\n", "ab-"]
)
def test_a_long_text_of_one_piece_takes_no_long_time(piece: str) -> None:
    # A pattern that looks at all pairs of places would take minutes.
    assert len(CONTACTS.masked(piece * 20_000)) > 0


def test_an_unknown_choice_and_a_missing_package_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"data\.mask to be contacts, all, none; got 'some'"):
        Masker("some")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install -e '\.\[privacy\]'"):
        Masker("contacts")


SPANS = st.lists(
    st.builds(lambda kind, begin, length: Span(kind, begin, begin + length), st.sampled_from(KINDS), st.integers(0, 40), st.integers(1, 9)),
    max_size=12,
)  # fmt: skip


@given(SPANS, SPANS)
def test_of_spans_that_overlap_the_first_kind_and_the_longest_stand(first: list[Span], second: list[Span]) -> None:
    def naive(spans: list[Span], there: list[Span]) -> list[Span]:
        kept: list[Span] = []
        for span in sorted(spans, key=lambda span: (KINDS.index(span.kind), span.begin - span.end)):
            if all(span.end <= other.begin or span.begin >= other.end for other in (*there, *kept)):
                kept.append(span)
        return kept

    there = _new(iter(first), [])
    assert there == naive(first, [])
    assert _new(iter(second), there) == naive(second, there)
