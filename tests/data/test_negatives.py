"""The file of mined negatives: whole, and of the right data set."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.negatives import MinedNegatives, MiningOptions
from hr_retrieval.errors import UserError
from tests.conftest import write_toy_dataset


@pytest.fixture
def dataset(toy_dataset: Path) -> PreparedDataset:
    return PreparedDataset.open(toy_dataset)


def some(dataset: PreparedDataset) -> MinedNegatives:
    """Two negatives of every third query."""
    generator, queries = np.random.default_rng(0), np.arange(0, dataset.query_count, 3).repeat(2)
    scores = generator.random(len(queries), np.float32)
    return MinedNegatives(
        queries, generator.integers(dataset.document_count, size=len(queries)).astype(np.int32),
        np.tile(np.array([1, 4], np.int32), len(queries) // 2), scores, scores + 1, 7, MiningOptions(queries=20),
        dataset.fingerprint, {"kept_per_query": 2.0, "relevant_dropped": 0.25},
    )  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [{"depth": 7}, {"per_query": 0}, {"skip": -1}, {"skip": 93}, {"positive_share": 0.0}, {"positive_share": 1.1}, {"queries": 0}],
)  # fmt: skip
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"callbacks.mine_negatives with .*{next(iter(options))}"):
        MiningOptions(**options)


def test_a_file_gives_back_what_was_written_and_reads_as_ids(dataset: PreparedDataset, tmp_path: Path) -> None:
    written, path = some(dataset), tmp_path / "run" / "epoch-0001.parquet"
    written.write(path, [dataset])
    found = MinedNegatives.open(path, dataset.fingerprint)
    for name in ("query_rows", "document_rows", "ranks", "scores", "positive_scores"):
        assert np.array_equal(getattr(found, name), getattr(written, name))
        assert getattr(found, name).dtype == getattr(written, name).dtype
    assert (found.step, found.options, found.diagnostics) == (7, written.options, written.diagnostics)
    table = pq.read_table(path)
    assert table.column_names[:5] == ["query_id", "document_id", "rank", "score", "positive_score"]
    assert table.column("query_id").to_pylist() == dataset.ids_at("queries", written.query_rows)
    assert table.column("document_id").to_pylist() == dataset.ids_at("corpus", written.document_rows)
    offsets = found.offsets(dataset.query_count)
    for query in range(dataset.query_count):
        own = found.document_rows[offsets[query] : offsets[query + 1]].tolist()
        assert own == [d for q, d in zip(found.query_rows, found.document_rows, strict=True) if q == query]


def test_a_file_of_another_data_set_or_a_damaged_one_is_refused(
    toy_dataset: Path, dataset: PreparedDataset, tmp_path: Path
) -> None:
    path = tmp_path / "epoch-0001.parquet"
    some(dataset).write(path, [dataset])
    other = PreparedDataset.open(write_toy_dataset(tmp_path / "other", groups=50))
    with pytest.raises(UserError, match=f"{other.fingerprint}.*{dataset.fingerprint}"):
        MinedNegatives.open(path, other.fingerprint)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"epoch-0001.parquet"):
        MinedNegatives.open(path, dataset.fingerprint)
    os.truncate(path, len(content) // 2)
    with pytest.raises(UserError, match=r"epoch-0001.parquet"):
        MinedNegatives.open(path, dataset.fingerprint)
    pq.write_table(pq.read_table(toy_dataset / "qrels.parquet"), path)
    with pytest.raises(UserError, match="other columns"):
        MinedNegatives.open(path, dataset.fingerprint)
    with pytest.raises(UserError, match="no such file"):
        MinedNegatives.open(tmp_path / "absent.parquet", dataset.fingerprint)
