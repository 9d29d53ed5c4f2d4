"""The guide is an encoder that does not learn."""

from pathlib import Path

import numpy as np

from hr_retrieval.data.guidance import Guide
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.guide import EncoderGuide


def test_a_guide_gives_the_encoders_embeddings(tmp_path: Path) -> None:
    encoder = Encoder("tiny")
    encoder.save(tmp_path / "encoder")
    guide = EncoderGuide(Encoder(str(tmp_path / "encoder")))
    assert isinstance(guide, Guide)
    blocks = [["welder", "a nurse with tools"], ["cook"]]
    for kind in ("query", "document"):
        found = np.concatenate(list(guide.embed(blocks, kind)))
        assert found.dtype == np.float16
        assert found.shape == (3, guide.dimension)
        expected = encoder.encode([text for block in blocks for text in block], kind).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-3)
    assert not any(parameter.requires_grad for parameter in guide.encoder.parameters())


def test_the_fingerprint_follows_weights_and_prefixes(tmp_path: Path) -> None:
    encoder = Encoder("tiny")
    prints = {encoder.embedding_fingerprint(), Encoder("tiny", query_prefix="query: ").embedding_fingerprint()}
    next(encoder.parameters()).data.add_(1)
    assert len({*prints, encoder.embedding_fingerprint()}) == 3
