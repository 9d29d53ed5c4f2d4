"""Sentences and shared words of a passage."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.store.marks import sentences, shared_words


def test_sentences_are_found_in_both_languages() -> None:
    text = "Ищем сварщика. Вахта!\n• Welding of pipes; good pay?  Yes"
    assert [text[begin:end] for begin, end in sentences(text, 0, len(text))] == [
        "Ищем сварщика.", "Вахта!", "Welding of pipes;", "good pay?", "Yes",
    ]  # fmt: skip
    assert [text[begin:end] for begin, end in sentences(text, 15, 21)] == ["Вахта!"]


@settings(deadline=None)
@given(st.text(alphabet="ab .\n!•", max_size=60), st.integers(0, 60), st.integers(0, 60))
def test_sentences_lie_in_order_within_the_passage(text: str, one: int, other: int) -> None:
    begin, end = sorted((min(one, len(text)), min(other, len(text))))
    last = begin
    for left, right in sentences(text, begin, end):
        assert last <= left < right <= end
        assert text[left:right] == text[left:right].strip()
        last = right


def test_words_are_shared_whatever_their_endings() -> None:
    assert shared_words("Ночная медсестра, is it C++?", "медсестру на C++ ищут ночами") == ("медсестра", "c++")
    assert shared_words("is it", "is it") == ()
