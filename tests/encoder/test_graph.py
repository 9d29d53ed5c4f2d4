"""The ONNX graph gives the vectors of the encoder, whatever its architecture, pooling, batch and lengths."""

from pathlib import Path

import pytest
import torch

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.graph import OPSET, quantise, write_graph
from hr_retrieval.encoder.pooling import POOLINGS, Pooling, pool, pool_padded
from hr_retrieval.encoder.session import FILE, GRAPH, GraphEncoder, GraphSession
from hr_retrieval.encoder.tiny import Architecture, write_tiny
from hr_retrieval.encoder.wording import KINDS
from hr_retrieval.errors import UserError
from hr_retrieval.files import read_json

TEXTS = ["a", "водитель категории C", "nurse " * 30, "cook, 5 разряда", "x" * 300, "welder"]


def cosines(session: GraphSession, encoder: Encoder, texts: list[str]) -> torch.Tensor:
    found, expected = session.encode(encoder.worded(texts, "query")), encoder.encode(texts, "query")
    torch.testing.assert_close(found.norm(dim=1), torch.ones(len(texts)))
    assert found.shape == expected.shape
    return (found * expected).sum(dim=1)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_of_padded_texts_is_that_of_each_text_alone(pooling: Pooling) -> None:
    lengths, offsets = [3, 1, 5], torch.tensor([0, 3, 4, 9])
    hidden = torch.randn(9, 4)
    padded, mask = torch.full((3, 5, 4), 7.0), torch.zeros(3, 5, dtype=torch.long)
    for row, length in enumerate(lengths):
        padded[row, :length] = hidden[offsets[row] : offsets[row] + length]
        mask[row, :length] = 1
    torch.testing.assert_close(pool_padded(padded, mask, pooling), pool(hidden, offsets, pooling))


@pytest.mark.parametrize(
    ("architecture", "pooling", "dense", "dimensions"),
    [
        ("bert", "mean", 24, 16),
        ("xlm-roberta", "mean", None, None),
        ("mpnet", "max", None, 32),
        ("distilbert", "cls", None, None),
    ],
)
def test_the_graph_gives_the_vectors_of_the_encoder(
    tmp_path: Path, architecture: Architecture, pooling: str, dense: int | None, dimensions: int | None
) -> None:
    write_tiny(
        tmp_path / "tiny", architecture, hidden=32, layers=1, pooling=pooling, dense=dense, prompts={"query": "q: "}
    )
    encoder = Encoder(str(tmp_path / "tiny"), dimensions=dimensions).eval()
    write_graph(encoder, tmp_path)
    content = read_json(tmp_path / FILE)
    assert (content["opset"], content["max_length"], content["query_template"]) == (OPSET, 128, "q: {text}")
    session = GraphSession(tmp_path, threads=1)
    for texts in (TEXTS[:1], TEXTS[2:3], TEXTS[4:5], TEXTS[:2], TEXTS, TEXTS * 9):
        assert float(cosines(session, encoder, texts).min()) > 0.9999
    if architecture == "bert":
        (tmp_path / "int8").mkdir()
        quantise(tmp_path, tmp_path / "int8")
        assert read_json(tmp_path / "int8" / FILE) == {**content, "weights": "int8"}
        assert (tmp_path / "int8" / GRAPH).stat().st_size < (tmp_path / GRAPH).stat().st_size
        assert float(cosines(GraphSession(tmp_path / "int8", threads=1), encoder, TEXTS).min()) > 0.98
        with pytest.raises(UserError, match="which give other embeddings"):
            GraphEncoder(tmp_path / "int8")
    whole = GraphEncoder(tmp_path, threads=1)
    for kind in KINDS:
        torch.testing.assert_close(whole.encode(TEXTS, kind), encoder.encode(TEXTS, kind), atol=1e-5, rtol=0)
        assert whole.passages(TEXTS, kind, 8) == encoder.passages(TEXTS, kind, 8)
    assert whole.embedding_fingerprint() == encoder.embedding_fingerprint()
