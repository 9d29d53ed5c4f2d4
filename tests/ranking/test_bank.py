"""The bank of training queries: whom it holds, and whom it leaves out of each document's neighbours."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.guard import Guard
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.errors import UserError
from hr_retrieval.ranking import bank
from hr_retrieval.ranking.bank import training_bank
from hr_retrieval.retrieval.mixing import Composition, HubCorrection

ANCHORS = Composition(hubs=HubCorrection(bank="anchors"))


def test_the_bank_leaves_out_what_a_document_answers(toy_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bank, "_SIZE", 30)
    dataset, encoder = PreparedDataset.open(toy_dataset), Encoder("tiny")
    rows = np.array([5, 0, 3, 40, 77])
    found = training_bank(ANCHORS, dataset, Guard(dataset), encoder, rows)
    assert found is not None
    train = np.flatnonzero(dataset.query_split == 0)
    taken = train[np.argsort(dataset.query_lots[train])][:30]
    torch.testing.assert_close(found.embeddings, encoder.encode(dataset.texts_at("queries", taken), "query"))
    # In the toy, whatever is of one group answers its queries, and no document is a query's own
    # text.
    groups = [pq.read_table(toy_dataset / f"{name}.parquet")["group_id"].to_pylist() for name in ("queries", "corpus")]
    assert len(found.left_out) == len(rows)
    for place, row in enumerate(rows.tolist()):
        expected = [own for own, query in enumerate(taken.tolist()) if groups[0][query] == groups[1][row]]
        begin, end = found.left_out.offsets[place : place + 2].tolist()
        assert found.left_out.documents[begin:end].tolist() == expected


def test_whoever_needs_no_bank_gets_none(toy_dataset: Path) -> None:
    dataset = PreparedDataset.open(toy_dataset)
    mixing = Composition(hubs=HubCorrection())
    assert training_bank(mixing, dataset, Guard(dataset), Encoder("tiny"), np.arange(3)) is None


def test_a_data_set_without_training_queries_has_no_bank(toy_dataset: Path) -> None:
    path = toy_dataset / "queries.parquet"
    table = pq.read_table(path)
    splits = ["test" if split == "train" else split for split in table["split"].to_pylist()]
    place = table.schema.get_field_index("split")
    pq.write_table(table.set_column(place, table.schema.field(place), [splits]), path)
    dataset = PreparedDataset.open(toy_dataset)
    with pytest.raises(UserError, match=r"queries of the training split.*bank=anchors.*bank=documents"):
        training_bank(ANCHORS, dataset, Guard(dataset), Encoder("tiny"), np.arange(3))
