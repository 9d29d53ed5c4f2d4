"""What a cross-encoder is made from, what it scores and writes, and which kind of folder is refused where."""

from pathlib import Path

import pytest
import torch
from sentence_transformers import CrossEncoder as LibraryCrossEncoder

from hr_retrieval.encoder.cross_encoder import CrossEncoder
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.tiny import write_tiny
from hr_retrieval.errors import UserError
from tests.encoder.cross import write_cross_encoder

PAIRS = [("welder", "joins metal"), ("cook", "a nurse with tools"), ("cook", "prepares soup")]


def test_an_encoder_gets_a_head_and_what_is_written_scores_the_same(tmp_path: Path) -> None:
    torch.manual_seed(3)
    cross = CrossEncoder("tiny", max_length=40)
    weights = Encoder("tiny").state_dict()
    own = {name.partition("bert.")[2]: weight for name, weight in cross.state_dict().items() if ".bert." in name}
    shared = [name for name in own if "pooler" not in name]
    assert shared
    assert all(torch.equal(own[name], weights[f"transformer.{name}"]) for name in shared)
    with torch.no_grad():
        logits = cross(PAIRS)
    assert logits.dtype == torch.float32
    assert cross.logits(PAIRS) == pytest.approx(logits.tolist(), abs=1e-5)
    assert cross.scores(PAIRS) == pytest.approx(torch.sigmoid(logits).tolist(), abs=1e-5)
    assert cross.training
    cross.save(tmp_path / "cross")
    for again in (CrossEncoder(str(tmp_path / "cross")).logits(PAIRS), CrossEncoder(str(tmp_path / "cross"))(PAIRS)):
        assert torch.as_tensor(again).tolist() == pytest.approx(logits.tolist(), abs=1e-6)
    library = LibraryCrossEncoder(str(tmp_path / "cross"), device="cpu")
    assert library.predict(PAIRS, activation_fn=torch.nn.Identity()).tolist() == pytest.approx(
        logits.tolist(), abs=1e-6
    )
    assert library.max_seq_length == 40
    assert cross.describe()["trained_parameters"] == sum(map(torch.numel, cross.parameters()))


@pytest.mark.parametrize("listed", [False, True])
def test_a_cross_encoder_is_no_encoder(tmp_path: Path, listed: bool) -> None:
    folder = write_cross_encoder(tmp_path / "cross")
    if listed:
        LibraryCrossEncoder(str(folder), num_labels=1).save_pretrained(str(tmp_path / "listed"))
        folder = tmp_path / "listed"
    with pytest.raises(UserError, match=r"an encoder in .*; got a cross-encoder, .*rerank=<folder>.*teacher=<folder>"):
        Encoder(str(folder))
    assert len(CrossEncoder(str(folder)).logits(PAIRS)) == 3


def test_a_classifier_below_a_pooling_stays_an_encoder(tmp_path: Path) -> None:
    write_tiny(tmp_path / "encoder")
    config = tmp_path / "encoder" / "config.json"
    config.write_text(config.read_text().replace('"BertModel"', '"BertForSequenceClassification"'))
    assert "Classification" in config.read_text()
    assert Encoder(str(tmp_path / "encoder")).embedding_dimension == 64


@pytest.mark.parametrize(
    ("length", "dropout", "said"), [(4, 0.0, "a max_length from"), (999, 0.0, "to 128"), (40, 1.0, "a dropout")]
)
def test_values_out_of_range_are_refused(length: int, dropout: float, said: str) -> None:
    with pytest.raises(UserError, match=said):
        CrossEncoder("tiny", max_length=length, dropout=dropout)


def test_a_folder_of_several_scores_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a folder, builtin"):
        CrossEncoder("nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"config\.json"):
        CrossEncoder(str(tmp_path / "empty"))
