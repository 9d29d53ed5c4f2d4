"""Query by query, against plain loops over what the evaluation wrote."""

import statistics
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from hr_retrieval.encoder.tiny import write_tiny
from hr_retrieval.errors import UserError
from hr_retrieval.evaluate.analysis import KINDS, changes, query_table, slice_means
from hr_retrieval.evaluate.evaluation import evaluate
from hr_retrieval.evaluate.summary import ENCODER
from tests.conftest import write_toy_dataset


def texts_of(data: Path, table: str, column: str) -> dict[str, str]:
    return {row[column]: row["text"] for row in pq.read_table(data / f"{table}.parquet").to_pylist()}


def test_the_table_says_what_the_evaluation_says(toy_dataset: Path, tmp_path: Path) -> None:
    summary = evaluate("tiny", toy_dataset, tmp_path / "out")
    table = query_table(tmp_path / "out", toy_dataset)
    queries, documents = texts_of(toy_dataset, "queries", "query_id"), texts_of(toy_dataset, "corpus", "document_id")
    written = {row["query_id"]: row for row in pq.read_table(tmp_path / "out" / "per_query.parquet").to_pylist()}
    assert len(table) == len(written) == 12
    for row in table.to_dict("records"):
        own = written[row["query_id"]]
        assert row["query"] == queries[row["query_id"]]
        assert row["rank"] == min(own["ranks"])
        assert row["relevant"] == documents[own["relevant_ids"][own["ranks"].index(row["rank"])]]
        assert row["found"] == documents[own["best_ids"][0]]
        assert row["mrr"] == own["mrr"]
        assert (row["found"] == row["relevant"]) == (row["rank"] == 1)
    assert table["rank"].is_monotonic_decreasing
    means = slice_means(table)
    for kind in KINDS:
        stated = summary["slices"][kind]
        assert set(means.loc[kind].index) == set(stated)
        assert means.loc[kind, "mrr"].is_monotonic_increasing
        for name, part in stated.items():
            assert means.loc[(kind, name), "queries"] == part["queries"]
            assert means.loc[(kind, name), "mrr"] == pytest.approx(part[ENCODER]["mrr"])
            assert means.loc[(kind, name), "pass@1"] == pytest.approx(part[ENCODER]["pass@1"])


def test_changes_join_the_queries_and_put_what_was_lost_first() -> None:
    before = pd.DataFrame({"query_id": ["a", "b", "c"], "query": ["x", "y", "z"], "mrr": [1.0, 0.5, 0.25]})
    after = pd.DataFrame({"query_id": ["c", "a", "b"], "query": ["z", "x", "y"], "mrr": [1.0, 0.5, 0.5]})
    for table in (before, after):
        table["rank"] = (1 / table["mrr"]).astype(int)
        table["pass@1"] = table["mrr"] == 1
        table["relevant"] = table["found"] = "text"
    changed = changes(before, after)
    assert list(changed["query_id"]) == ["a", "b", "c"]
    assert list(changed["query"]) == ["x", "y", "z"]
    assert list(changed["change"]) == [-0.5, 0.0, 0.75]
    assert list(changed["rank_before"]) == [1, 2, 4]
    assert list(changed["rank_after"]) == [2, 2, 1]
    with pytest.raises(UserError, match="1 that only one of them has"):
        changes(before, after[1:])


def test_changes_of_two_encoders_add_up(toy_dataset: Path, tmp_path: Path) -> None:
    tables, means = [], []
    for seed in range(2):
        write_tiny(tmp_path / f"encoder{seed}", seed=seed)
        summary = evaluate(str(tmp_path / f"encoder{seed}"), toy_dataset, tmp_path / f"out{seed}", base=None)
        means.append(summary["systems"][ENCODER]["metrics"]["mrr"])
        tables.append(query_table(tmp_path / f"out{seed}", toy_dataset))
    changed = changes(*tables)
    assert statistics.mean(changed["change"]) == pytest.approx(means[1] - means[0])
    assert slice_means(changed, ["change"]).loc["language"]["queries"].sum() == 12


def test_bad_input_is_refused(toy_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"per_query.parquet of an evaluation"):
        query_table(tmp_path / "missing", toy_dataset)
    evaluate("tiny", toy_dataset, tmp_path / "out")
    with pytest.raises(UserError, match="the query_ids of the evaluation"):
        query_table(tmp_path / "out", write_toy_dataset(tmp_path / "other", groups=10))
