"""Passages of long texts: nothing is left out, nothing is longer than the encoder reads."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.tokenizer import FolderTokenizer
from hr_retrieval.errors import UserError

WORDS = st.lists(
    st.sampled_from(["welder", "сварщик", "C++", "a", "works.", "in", "\n", "неразрывный", "x" * 20]),
    min_size=1,
    max_size=120,
)


@settings(deadline=None, max_examples=60)
@given(WORDS, st.integers(0, 8))
def test_every_letter_is_in_a_passage(tiny_encoder: Encoder, words: list[str], overlap: int) -> None:
    text = " ".join(words)
    (spans,) = tiny_encoder.passages([text], "document", overlap)
    assert spans[0][0] == 0
    assert spans[-1][1] == len(text)
    for (begin, end), (following, last) in pairwise(spans):
        assert begin < following <= end < last
    cut = tiny_encoder.tokenise([text], "document")[1]
    assert (len(spans) > 1) == bool(cut)


def test_neighbours_share_what_was_asked_for(tiny_encoder: Encoder) -> None:
    text = " ".join(["nurse"] * 200)
    wide, narrow = (tiny_encoder.passages([text], "document", overlap)[0] for overlap in (8, 0))
    assert len(wide) > len(narrow) > 1
    assert all(end > following for (_, end), (following, _) in pairwise(wide))
    with pytest.raises(UserError, match="an overlap of passages from 0 to"):
        tiny_encoder.passages([text], "document", 20)


def test_a_tokenizer_is_copied_once_for_each_way_to_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, copied, copy = Encoder("tiny"), [], FolderTokenizer.copy

    def counting(self: FolderTokenizer) -> Tokenizer:
        copied.append(self)
        return copy(self)

    monkeypatch.setattr(FolderTokenizer, "copy", counting)
    for _ in range(3):
        for overlap in (4, 8):
            encoder.passages(["nurse"], "query", overlap)
    assert len(copied) == 2
    other = encoder.reworded(query_prefix="welder " * 8)
    text = "nurse " * 60
    assert len(other.passages([text], "query", 8)[0]) > len(encoder.passages([text], "query", 8)[0])
