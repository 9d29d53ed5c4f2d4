"""The built-in lists, and what a swap finds and writes."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.errors import UserError
from hr_retrieval.evaluate.fairness.wordlists import PLACE, WordList, builtin_lists, read_lists

BUILTIN = {own.name: own for own in read_lists(builtin_lists())}


def listed(*pairs: tuple[str, str], templates: tuple[tuple[str, str], ...] = ()) -> WordList:
    return WordList("en", "own", ("one", "other"), pairs, templates)


def swapped(own: WordList, text: str) -> str:
    swap = own.swap(text)
    return text if swap is None else swap.text


def test_each_language_has_the_three_attributes() -> None:
    assert set(BUILTIN) == {f"{language}/{name}" for language in ("en", "ru") for name in ("age", "gender", "origin")}
    assert [BUILTIN[f"{language}/age"].script for language in ("en", "ru")] == ["Latin", "Cyrillic"]


@pytest.mark.parametrize("name", BUILTIN)
def test_the_builtin_lists_are_real_lists(name: str) -> None:
    own = BUILTIN[name]
    assert len(own.pairs) >= 40
    assert len(own.templates) >= 4
    words = [word for pair in own.pairs for word in pair]
    assert all(word == word.strip() and word for word in words)
    assert len({word.casefold().replace("ё", "е") for word in words}) == len(words)
    for one, other in own.pairs:
        # Both directions, and no script but the list's own.
        assert swapped(own, one) == other
        assert swapped(own, other) == one
        assert own.applies_to(one) or not any(letter.isalpha() for letter in one)
    for template in own.templates:
        assert all(cell.count(PLACE) == 1 for cell in template)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(sorted(BUILTIN)),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 1), st.integers(0, 2)), min_size=1, max_size=6),
    st.sampled_from([" ", ", ", ". ", "/", " (", "\n", " — "]),
)
def test_swapping_twice_gives_the_text_again(name: str, chosen: list[tuple[int, int, int]], gap: str) -> None:
    own = BUILTIN[name]
    cases = (str, str.upper, lambda word: word[:1].upper() + word[1:])
    text = gap.join(cases[case](own.pairs[row % len(own.pairs)][side]) for row, side, case in chosen)
    once = own.swap(text)
    assert once is not None
    assert once.text != text
    assert once.sides == frozenset(side for _, side, _ in chosen) or len(gap.strip()) == 0
    assert swapped(own, once.text) == text


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("ru/gender", "Учитель вёл урок", "Учительница вела урок"),
        ("ru/gender", "Учитель вел урок", "Учительница вела урок"),
        ("ru/gender", "УЧИТЕЛЬ, СЫН, руководил", "УЧИТЕЛЬНИЦА, ДОЧЬ, руководила"),
        ("ru/gender", "проект и его бюджет, она компания, самого начала", None),
        ("ru/gender", "муж-лайн, учитель-логопед, мужской", None),
        ("ru/gender", "«муж»/жена (муж)", "«жена»/муж (жена)"),
        (
            "ru/gender",
            "работал(а), программист(ка) и повар (г. Москва)",
            "работал(а), программист(ка) и повариха (г. Москва)",
        ),
        ("ru/gender", "Ведущий программист, ведущий инженер", "Ведущая программистка, ведущий инженер"),
        ("ru/gender", "вклад каждого сотрудника", "вклад каждой сотрудницы"),
        ("ru/gender", "управляющая компания", None),
        ("ru/gender", "Сергей, Артём и АРТЕМ", "Светлана, Анастасия и АНАСТАСИЯ"),
        ("ru/gender", "иванов", None),
        ("ru/age", "Ищем: до 35 лет!", "Ищем: старше 45 лет!"),
        ("ru/age", "более 25 лет на рынке", None),
        ("ru/age", "молодой специалист, молодая компания", "возрастной специалист, молодая компания"),
        ("ru/age", "для начинающих и опытных специалистов", None),
        ("ru/age", "25-летний опыт", None),
        ("ru/origin", "Смирнова", "Рахимова"),
        ("en/gender", "He's a waiter; HIS waiters. Whe, hers", "She's a waitress; HER waitresses. Whe, hers"),
        ("en/gender", "man-made man_hours human MAN", "man-made man_hours human WOMAN"),
        ("en/gender", "hE", None),
        ("en/gender", "waiter(ess)", None),
        ("en/origin", "james", None),
        ("en/age", "aged 25 in a team", "aged 55 in a team"),
        ("en/age", "aged 250", None),
        ("en/age", "experienced professionals, mature market, older versions, young company", None),
    ],
)
def test_whole_words_in_their_case(name: str, text: str, expected: str | None) -> None:
    swap = BUILTIN[name].swap(text)
    assert (None if swap is None else swap.text) == expected


def test_the_sides_say_which_words_there_were() -> None:
    own = listed(("he", "she"))
    found = [own.swap(text) for text in ("he", "she", "he and she", "it")]
    assert [None if swap is None else set(swap.sides) for swap in found] == [{0}, {1}, {0, 1}, None]


def test_the_longest_wins_and_templates_alone_swap_nothing() -> None:
    assert swapped(listed(("young", "old"), ("young man", "elder")), "young man, young") == "elder, old"
    assert listed(templates=(("he {text}", "she {text}"),)).swap("he") is None


def test_a_list_applies_to_its_script() -> None:
    russian, english = BUILTIN["ru/gender"], BUILTIN["en/gender"]
    found = [(russian.applies_to(text), english.applies_to(text)) for text in ("Повар", "Cook", "Повар cook", "7")]
    assert found == [(True, False), (False, True), (True, True), (False, False)]


def test_the_next_template_is_one_of_the_same_kind(tmp_path: Path) -> None:
    for name, kinds in (("en/origin", "mfmfm"), ("ru/origin", "mfmfm"), ("en/gender", "mmmm")):
        own = BUILTIN[name]
        found = [own.following(place) for place in range(len(own.templates))]
        assert found == ([2, 3, 4, 1, 0] if "f" in kinds else [1, 2, 3, 0])
    rows = [
        "kind,a,b",
        "template x,1 {text},2 {text}",
        "word,he,she",
        "template,3 {text},4 {text}",
        "templates,he he,she she",
    ]
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "own.csv").write_text("\n".join(rows) + "\n")
    (own,) = read_lists(tmp_path)
    assert own.templates == (("1 {text}", "2 {text}"), ("3 {text}", "4 {text}"))
    assert own.pairs == (("he", "she"), ("he he", "she she"))
    assert [own.following(0), own.following(1)] == [0, 1]


def test_fingerprints_follow_the_words() -> None:
    assert listed(("a", "b")).fingerprint == listed(("a", "b")).fingerprint != listed(("a", "c")).fingerprint


def test_a_folder_of_the_user_is_read(tmp_path: Path) -> None:
    (tmp_path / "de").mkdir()
    content = '\ufeffkind,männlich,weiblich\ntitle,Koch,Köchin\n\ntemplate,"Hans, {text}","Anna, {text}"\n'
    (tmp_path / "de" / "geschlecht.csv").write_text(content, encoding="utf-8")
    (own,) = read_lists(tmp_path)
    assert (own.name, own.sides) == ("de/geschlecht", ("männlich", "weiblich"))
    assert (own.pairs, own.templates) == ((("Koch", "Köchin"),), (("Hans, {text}", "Anna, {text}"),))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the columns kind"),
        (b"kind,a\nx,y\n", "the columns kind"),
        (b"kind,a,a\nx,y,z\n", "the columns kind"),
        (b"kind,a,b\nx,y\n", "three cells"),
        (b"kind,a,b\n", "at least one row"),
        (b"kind,a,b\nx,he,\n", "filled and differ"),
        (b"kind,a,b\nx,he,he\n", "filled and differ"),
        (b"kind,a,b\nx,he ,she\n", "without space"),
        (b"kind,a,b\nx,he,she {text}\n", "without {text}"),
        (b"kind,a,b\ntemplate,he,she {text}\n", "once on both sides"),
        (b"kind,a,b\nx,he,she\nx,He,her\n", "'he' twice"),
        ("kind,a,b\nx,её,его\nx,ее,им\n".encode(), "'ее' twice"),
        ("kind,a,b\nx,он,она\n".encode("cp1251"), "UTF-8"),
        (b'kind,a,b\nx,"he,she\n', "UTF-8"),
    ],
)
def test_a_bad_list_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "own.csv").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_lists(tmp_path)


def test_a_folder_without_lists_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UserError, match="counterfactuals=null"):
            read_lists(folder)
