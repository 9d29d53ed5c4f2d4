"""Sentences and shared words of a passage."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.store.found import Found
from hr_retrieval.store.marks import nearest_sentence, packed, sentences, shared_words


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


def test_the_sentence_nearest_by_its_vector_is_marked_or_the_one_with_most_of_the_words() -> None:
    text = "Клиника ищет людей. Медсестра делает перевязки. Платим вовремя."
    vectors = torch.nn.functional.normalize(torch.randn(3, 64, generator=torch.Generator().manual_seed(0)), dim=1)
    found = Found("d", 1.0, 0, len(text))
    spans = sentences(text, 0, len(text))
    for number, span in enumerate(spans):
        # Eight bits, and lengths that are lost, turn no order around.
        assert nearest_sentence(vectors[number], "", text, found, packed([vectors[:1], vectors * 3])[1]) == (span,)
    assert nearest_sentence(vectors[0], "медсестре", text, found, None) == (spans[1],)
    assert nearest_sentence(vectors[0], "x", text, Found("d", 1.0, 0, 0), None) == ()
