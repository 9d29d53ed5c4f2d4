"""A cross-encoder's scores of what was mined: which pairs, each once, and in a run that is resumed."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sentence_transformers import CrossEncoder

from hr_retrieval.data.negatives import MinedNegatives, MiningOptions
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.tiny import write_tiny
from hr_retrieval.errors import UserError
from hr_retrieval.store.reranker import Reranker
from hr_retrieval.train import __main__ as train
from hr_retrieval.train.mining import MineNegatives, check_mining, mine
from hr_retrieval.train.teaching import FILE, mined_scores, score_mined
from tests.conftest import Command
from tests.data.test_datamodule import make
from tests.encoder.cross import write_cross_encoder
from tests.train.test_mining import MINING, checkpoint


class Letters(Reranker):
    """Counts letters that a query and a passage share; remembers what it was asked."""

    fingerprint = "letters"

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def pair_scores(self, pairs: list[tuple[str, str]]) -> list[float]:
        self.asked += pairs
        return [float(len(set(query) & set(passage))) for query, passage in pairs]


def mined(data: object, encoder: Encoder, epoch: int) -> MinedNegatives:
    options = MiningOptions(depth=20, per_query=2, positive_share=None, queries=30, seed=epoch)
    found: MinedNegatives = mine(data, lambda tokens: encoder(tokens), options, epoch, 0)  # type: ignore[arg-type]
    return found


def test_positives_and_negatives_are_scored_once_and_looked_up_by_rows(
    toy_dataset: Path, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    data, teacher = make(toy_dataset, tiny_encoder), Letters()
    dataset = data.sources[0].dataset
    with torch.no_grad():
        first, second = (mined(data, tiny_encoder, epoch) for epoch in (0, 1))
    texts = {table: [text for block in dataset.texts(table) for text in block] for table in ("queries", "corpus")}
    expected: list[set[tuple[int, int]]] = []
    for found in (first, second):
        pairs = set(zip(found.query_rows.tolist(), found.document_rows.tolist(), strict=True))
        for query in set(found.query_rows.tolist()):
            begin, end = dataset.positive_offsets[query : query + 2]
            pairs |= {(query, int(row)) for row in dataset.positive_documents[begin:end]}
        expected.append(pairs)
        score_mined(data, found, teacher, tmp_path)
    told = [(texts["queries"][query], texts["corpus"][document]) for query, document in expected[0] | expected[1]]
    assert sorted(teacher.asked) == sorted(told)
    assert len(pq.read_table(tmp_path / FILE)) == len(expected[0] | expected[1])
    # Of an epoch's pairs alone, whatever the file knows beside.
    rows, columns = np.arange(dataset.query_count), np.arange(dataset.document_count)
    scores = mined_scores(data, first, teacher, tmp_path).scores(rows, columns)
    assert {(int(q), int(d)) for q, d in zip(*np.nonzero(~np.isnan(scores)), strict=True)} == expected[0]
    for query, document in expected[0]:
        assert scores[query, document] == len(set(texts["queries"][query]) & set(texts["corpus"][document]))
    asked = len(teacher.asked)
    score_mined(data, first, teacher, tmp_path)
    assert len(teacher.asked) == asked
    other = Letters()
    other.fingerprint = "other"
    with pytest.raises(UserError, match="without one"):
        mined_scores(data, first, other, tmp_path)
    score_mined(data, first, other, tmp_path)
    assert len(other.asked) == len(expected[0])


def test_a_run_learns_from_a_cross_encoder_and_goes_on_with_it(
    command: Command, toy_dataset: Path, tmp_path: Path
) -> None:
    write_cross_encoder(tmp_path / "cross")
    options = (
        *MINING, "trainer.max_epochs=2", "datamodule.mined_per_anchor=2", "callbacks.mine_negatives.teacher=cross",
        "model.distillation.temperature=0.1",
    )  # fmt: skip
    printed = command(train.main, *options, "output=whole")
    assert not printed.startswith("exit"), printed
    command(train.main, *options, "trainer.max_steps=6", "output=cut")
    command(train.main, "resume=cut", "trainer.max_steps=-1")
    whole, cut = checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "cut")
    assert all(torch.equal(cut["state_dict"][name], value) for name, value in whole["state_dict"].items())
    columns = (tmp_path / "whole" / "metrics.csv").read_text().splitlines()[0]
    assert "loss/taught" in columns
    assert "datamodule.teacher" in command(train.main, *options, "datamodule.teacher=tiny", "output=both")


def test_a_teacher_that_scores_no_pair_is_refused(tmp_path: Path) -> None:
    write_tiny(tmp_path / "encoder")
    with pytest.raises(
        UserError,
        match=r"a cross-encoder in .*encoder, which scores .*; got an encoder.*callbacks\.mine_negatives\.teacher=null",
    ):
        MineNegatives(tmp_path, teacher=str(tmp_path / "encoder"))
    with pytest.raises(UserError, match="the folder of a cross-encoder; got nowhere"):
        MineNegatives(tmp_path, teacher="nowhere")


def test_a_cross_encoder_scores_pairs_by_their_logits(tmp_path: Path) -> None:
    teacher = Reranker(str(write_cross_encoder(tmp_path / "cross")))
    logits = teacher.pair_scores([("welder", "a welder"), ("cook", "a nurse")])
    assert teacher.scores("welder", ["a welder"]) == pytest.approx([1 / (1 + np.exp(-logits[0]))])
    assert teacher.scores("welder", []) == []
    assert logits[0] != logits[1]
    # As the library writes it, with its list of modules.
    CrossEncoder(str(tmp_path / "cross"), num_labels=1).save_pretrained(str(tmp_path / "listed"))
    assert (tmp_path / "listed" / "modules.json").exists()
    again = Reranker(str(tmp_path / "listed")).pair_scores([("welder", "a welder"), ("cook", "a nurse")])
    assert again == pytest.approx(logits, abs=1e-6)
    mining = MineNegatives(tmp_path, teacher=str(tmp_path / "cross"))
    assert mining.teacher is not None
    assert mining.teacher.fingerprint == teacher.fingerprint
    with pytest.raises(UserError, match="one teacher"):
        check_mining([mining], 1, taught=True)
