"""Query by query: where an encoder fails, with the texts, and what changed between two encoders."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from hr_retrieval.data.dataset import PreparedDataset, language_of
from hr_retrieval.errors import UserError
from hr_retrieval.evaluate.slices import query_slices
from hr_retrieval.evaluate.summary import seen_in_training
from hr_retrieval.program import called

KINDS = ("language", "length", "title", "relevant documents")
_VALUES = ("mrr", "pass@1")


def query_table(evaluation: Path, data: Path) -> pd.DataFrame:
    """A row for each measured query, the worst first.

    Columns: `query_id`, `query` (its text), `rank` (of its best relevant document), `relevant` (the
    text of that one), `found` (the text of the document that the encoder puts first), `mrr`,
    `pass@1`, and its slice of each of `KINDS`.

    Args:
        evaluation: a folder that `evaluate` wrote.
        data: the prepared data set that it measured.

    Raises:
        UserError: either is none, or an id of the evaluation is not in the data set.
    """
    path = evaluation / "per_query.parquet"
    if not path.is_file() or "best_ids" not in pq.read_schema(path).names:
        raise UserError(
            f"per_query.parquet of an evaluation in {evaluation}",
            "none",
            f"Write it with {called('evaluate')}.",
        )
    dataset, rows = PreparedDataset.open(data), pq.read_table(path).to_pylist()
    closest = [min(zip(row["ranks"], row["relevant_ids"], strict=True)) for row in rows]
    asked = _rows(dataset, "queries", "query_id", [row["query_id"] for row in rows])
    queries, languages = [row["text"] for row in asked], [language_of(row) for row in asked]
    table = {
        "query_id": [row["query_id"] for row in rows],
        "query": queries,
        "rank": [rank for rank, _ in closest],
        "relevant": _texts(dataset, "corpus", "document_id", [document for _, document in closest]),
        "found": _texts(dataset, "corpus", "document_id", [row["best_ids"][0] for row in rows]),
        **{name: [row[name] for row in rows] for name in _VALUES},
    }
    kinds = query_slices(queries, languages, seen_in_training(dataset, queries), [len(row["ranks"]) for row in rows])
    frame = pd.DataFrame(table)
    for kind, masks in kinds.items():
        for name, mask in masks.items():
            frame.loc[mask, kind] = name
    return frame.sort_values(["rank", "query_id"], ascending=[False, True], ignore_index=True)


def slice_means(table: pd.DataFrame, columns: Sequence[str] = _VALUES) -> pd.DataFrame:
    """Number of queries and mean of the columns for each slice, by kind; the worst of each kind first."""
    parts = {}
    for kind in KINDS:
        groups = table.groupby(kind)
        means = groups[list(columns)].mean()
        parts[kind] = pd.concat([groups.size().rename("queries"), means], axis=1).sort_values(columns[0])
    return pd.concat(parts, names=["kind", "slice"])


def changes(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Two tables of the same queries side by side: what `after` does worse first.

    Columns: those of the query, then `rank`, `found` and `mrr` with `_before` and `_after`, and
    `change` of the MRR.

    Raises:
        UserError: the queries are not the same.
    """
    if set(before["query_id"]) != set(after["query_id"]):
        raise UserError(
            "two evaluations of the same queries",
            f"{len(set(before['query_id']) ^ set(after['query_id']))} that only one of them has",
            "Evaluate both on one split of one data set.",
        )
    compared = ["query_id", "rank", "relevant", "found", "mrr", "pass@1"]
    both = after.merge(before[compared], on="query_id", suffixes=("_after", "_before"), validate="one_to_one")
    both["change"] = both["mrr_after"] - both["mrr_before"]
    return both.sort_values(["change", "query_id"], ignore_index=True)


def _texts(dataset: PreparedDataset, table: str, column: str, ids: Sequence[str]) -> list[str]:
    return [row["text"] for row in _rows(dataset, table, column, ids)]


def _rows(dataset: PreparedDataset, table: str, column: str, ids: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of some ids, in their order."""
    file = dataset.folder / f"{table}.parquet"
    columns = [name for name in (column, "text", "language") if name in pq.read_schema(file).names]
    read: Any = pq.read_table(file, columns=columns, filters=[(column, "in", sorted(set(ids)))])
    rows = {row[column]: row for row in read.to_pylist()}
    missing = [name for name in ids if name not in rows]
    if missing:
        raise UserError(
            f"the {column}s of the evaluation in {dataset.folder}",
            f"{len(set(missing))} missing, such as {missing[0]}",
            "Name the data set that was measured.",
        )
    return [rows[name] for name in ids]
