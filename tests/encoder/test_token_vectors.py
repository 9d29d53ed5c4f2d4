"""Tests of token vectors: which texts are packed, which padded, and what is said about it."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hr_retrieval.encoder.cpu.tiles import LONGEST, Tiles
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.packing import NAME, Parted, layout
from hr_retrieval.encoder.ragged import Ragged
from hr_retrieval.encoder.tiny import Architecture
from hr_retrieval.encoder.token_vectors import TokenVectors
from hr_retrieval.errors import UserError


def test_packed_and_padded_are_the_transformers_own_vectors() -> None:
    transformer: Any = Encoder("tiny").eval().transformer
    texts = [[5, 9], [7, 8, 6], [11, 5, 12, 20, 9]]
    expected = torch.cat([transformer(input_ids=torch.tensor([text])).last_hidden_state[0] for text in texts])
    lengths = [len(text) for text in texts]
    tokens = Ragged.from_lengths(torch.tensor([token for text in texts for token in text]), torch.tensor(lengths))
    for packing in (True, False):
        vectors = TokenVectors(transformer, "tiny", 32, packing=packing)
        assert vectors.packed is packing
        torch.testing.assert_close(vectors(tokens, lengths), expected, atol=1e-5, rtol=0)


def test_mpnet_falls_back_to_padding_and_says_so(
    folder: Callable[[Architecture], Path], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="hr_retrieval"):
        encoder = Encoder(str(folder("mpnet")))
    assert not encoder.token_vectors.packed
    assert [record.message for record in caplog.records if "padded" in record.message]
    assert encoder.describe()["packing"] is False
    with pytest.raises(UserError, match="packed"):
        Encoder(str(folder("mpnet")), packing=True)


@pytest.mark.parametrize(
    ("error", "said"), [(ValueError("no layout\nat all"), "ValueError: no layout"), (None, "differ")]
)
def test_what_cannot_pack_keeps_its_attention(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None, said: str
) -> None:
    encoder = Encoder("tiny", packing=False)
    before = encoder.transformer.config._attn_implementation

    def from_words(self: TokenVectors, words: torch.Tensor, lengths: list[int]) -> torch.Tensor:
        assert self.transformer.config._attn_implementation == NAME
        if error is not None:
            raise error
        return words

    monkeypatch.setattr(TokenVectors, "from_words", from_words)
    vectors = TokenVectors(encoder.transformer.train(), "tiny", 32)
    assert not vectors.packed
    assert said in vectors.reason
    assert "\n" not in vectors.reason
    assert encoder.transformer.config._attn_implementation == before
    assert encoder.transformer.training


def test_an_encoder_uses_tiles_for_short_texts_in_bfloat16_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hr_retrieval.encoder.token_vectors.native_bfloat16", lambda: True)
    encoder, dropping = Encoder("tiny"), Encoder("tiny", dropout=0.1).train()
    cpu = torch.device("cpu")
    assert isinstance(encoder.token_vectors.layout([3, 4], cpu), list)
    with torch.autocast("cpu", torch.bfloat16):
        assert isinstance(encoder.token_vectors.layout([3, 4], cpu), Tiles)
        assert isinstance(encoder.token_vectors.layout([LONGEST + 1], cpu), list)
        # One long text leaves the tiles to the others.
        parted = encoder.token_vectors.layout([3, LONGEST, LONGEST + 1], cpu)
        assert isinstance(parted, Parted)
        assert (parted.tokens, parted.groups) == (3 + LONGEST, layout([LONGEST + 1], 0, cpu))
        assert isinstance(dropping.token_vectors.layout([3, 4], cpu), list)
        assert isinstance(dropping.eval().token_vectors.layout([3, 4], cpu), Tiles)
