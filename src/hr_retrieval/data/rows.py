"""The arrays `rows/*.npy`, which training maps into memory: derived from the three tables, and anew
when these change.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hr_retrieval.data.arrays import Codes, Hashes, Mask, PairNumbers, Rows, Splits
from hr_retrieval.data.grades import Grades, Weights
from hr_retrieval.data.keys import (
    Distinct,
    Index,
    distinct_numbers,
    hashes_of,
    keys_of,
    places_of,
    rows_by_code,
)
from hr_retrieval.data.tables import (
    MOST_RELEVANT,
    SPLITS,
    Table,
    column_batches,
    file_hashes,
    fingerprint_of,
    parquet_file,
    row_count,
    table_stamps,
    take_rows,
)
from hr_retrieval.errors import UserError
from hr_retrieval.files import read_json, whole_folder, write_json
from hr_retrieval.text import normalise

_ARRAYS = (
    "document_duplicate",
    "document_text",
    "group_offsets",
    "document_groups",
    "query_group",
    "query_text",
    "query_split",
    "text_offsets",
    "text_queries",
    "document_lots",
    "query_lots",
    "document_hashes",
    "query_hashes",
    "group_hashes",
    "positive_offsets",
    "positive_documents",
    "positive_grades",
    "positive_weights",
    "negative_offsets",
    "negative_documents",
)


def open_rows(folder: Path) -> tuple[str, dict[str, npt.NDArray[Any]]]:
    """The fingerprint of the tables and the arrays by name, mapped; written first if one is missing
    or older than the tables.

    Raises:
        UserError: see `write_rows`.
    """
    files = {name: folder / "rows" / f"{name}.npy" for name in _ARRAYS}
    recorded = _recorded(folder)
    if recorded.get("files") != table_stamps(folder) or not all(file.is_file() for file in files.values()):
        write_rows(folder)
        recorded = _recorded(folder)
    return str(recorded["fingerprint"]), {name: np.load(file, mmap_mode="r") for name, file in files.items()}


def write_rows(folder: Path) -> None:
    """Write `rows/*.npy` (see `PreparedDataset`) from the three tables, without holding texts or ids.

    Raises:
        UserError: an id is doubled, an id of the qrels is in no table, a pair is judged twice, a
            relevance or weight is out of range, or a split has no such name.
    """
    with whole_folder(folder / "rows", replace=True, first_stands=True) as rows:
        documents, queries = row_count(folder, "corpus"), row_count(folder, "queries")
        np.save(rows / "document_duplicate.npy", _codes(folder, {"corpus": "duplicate_id"})[0])
        np.save(rows / "query_split.npy", _splits(folder))
        hashes = [_text_hashes(folder, table) for table in ("queries", "corpus")]
        np.save(rows / "query_lots.npy", _lots(hashes[0], folder, "queries", "query_id"))
        np.save(rows / "document_lots.npy", _lots(hashes[1], folder, "corpus", "document_id"))
        np.save(rows / "query_hashes.npy", hashes[0])
        np.save(rows / "document_hashes.npy", hashes[1])
        texts = _write_texts(rows, *hashes)
        del hashes
        pairs, grades, weights = _judgements(folder, documents)
        negative = grades <= 0
        np.save(rows / "positive_grades.npy", grades[~negative])
        np.save(rows / "positive_weights.npy", weights[~negative])
        for name, chosen in (("positive", ~negative), ("negative", negative)):
            wanted = pairs[chosen]
            np.save(rows / f"{name}_documents.npy", (wanted % max(documents, 1)).astype(np.int32))
            offsets = np.searchsorted(wanted, np.arange(queries + 1, dtype=np.int64) * documents)
            np.save(rows / f"{name}_offsets.npy", offsets.astype(np.int64))
        _write_groups(folder, rows, texts, pairs[~negative])
        write_json(
            rows / "rows.json", {"files": table_stamps(folder), "fingerprint": fingerprint_of(file_hashes(folder))}
        )


def _recorded(folder: Path) -> dict[str, Any]:
    path = folder / "rows" / "rows.json"
    content: dict[str, Any] = read_json(path) if path.exists() else {}
    return content


def _keys(folder: Path, columns: dict[str, str]) -> tuple[Hashes, Mask]:
    """Keys of one column of each table, one behind the other, and where it is null."""
    count = sum(row_count(folder, table) for table in columns)
    keys, null = np.zeros((count, 2), np.uint64), np.ones(count, dtype=bool)
    begin = 0
    for table, column in columns.items():
        path = folder / f"{table}.parquet"
        if column not in pq.read_schema(path).names:
            begin += row_count(folder, table)
            continue
        for batch in column_batches(path, [column]):
            values = batch.column(0).to_pylist()
            place = slice(begin, begin + len(values))
            null[place] = [value is None for value in values]
            keys[place] = keys_of([value or "" for value in values])
            begin += len(values)
    return keys, null


def _codes(folder: Path, columns: dict[str, str]) -> tuple[Codes, Hashes]:
    """One code a row of the tables, one behind the other: equal for equal values, -1 - row for a null;
    and by code the hash of its value.
    """
    keys, null = _keys(folder, columns)
    if null.any():
        keys = keys[~null]
    stated = Distinct.of(keys)
    hashes = keys[stated.first, 0]
    del keys
    codes = -1 - np.arange(len(null), dtype=np.int64)
    codes[~null] = stated.codes
    return codes, hashes


def _write_texts(rows: Path, queries: Hashes, documents: Hashes) -> Codes:
    """Write which queries share a text, and which documents have the text of a query; gives the text of each query."""
    texts = Distinct.of(queries)
    np.save(rows / "query_text.npy", texts.codes)
    for name, array in zip(("text_offsets", "text_queries"), rows_by_code(texts.codes, len(texts)), strict=True):
        np.save(rows / f"{name}.npy", array)
    np.save(rows / "document_text.npy", places_of(documents, queries[texts.first]))
    return texts.codes


def _text_hashes(folder: Path, table: Table) -> Hashes:
    """Hashes of the normalised texts of a table."""
    batches = column_batches(folder / f"{table}.parquet", ["text"])
    blocks = [hashes_of([normalise(text) for text in batch.column(0).to_pylist()]) for batch in batches]
    return np.concatenate([np.empty(0, np.uint64), *blocks])


def _write_groups(folder: Path, rows: Path, texts: Codes, positives: PairNumbers) -> None:
    """Write the group of each query, and the groups of each document.

    Args:
        positives: `query row * documents + document row` of each stated positive.
    """
    documents = row_count(folder, "corpus")
    stated, hashes = _codes(folder, {"corpus": "group_id", "queries": "group_id"})
    np.save(rows / "group_hashes.npy", hashes)
    query_group = np.where(stated[documents:] < 0, -1 - texts.astype(np.int64), stated[documents:])
    np.save(rows / "query_group.npy", query_group)
    grouped = np.flatnonzero(stated[:documents] >= 0)
    # Codes from 0, so that a document and a group are one number.
    lowest, width = min(int(query_group.min(initial=0)), 0), int(stated.max(initial=-1)) + 1
    span = width - lowest
    queries, members = np.divmod(positives, max(documents, 1))
    pairs = np.concatenate([members * span + query_group[queries] - lowest, grouped * span + stated[grouped] - lowest])
    del queries, members, stated
    pairs = distinct_numbers(pairs)
    np.save(rows / "document_groups.npy", pairs % max(span, 1) + lowest)
    offsets = np.searchsorted(pairs, np.arange(documents + 1, dtype=np.int64) * span)
    np.save(rows / "group_offsets.npy", offsets.astype(np.int64))


def _lots(hashes: Hashes, folder: Path, table: Table, identifier: str) -> npt.NDArray[np.int32]:
    """The place of each row of a table in the order of the hashes of its texts, and then of its ids."""
    order = np.lexsort((_keys(folder, {table: identifier})[0][:, 0], hashes))
    lots = np.empty(len(order), np.int32)
    lots[order] = np.arange(len(order), dtype=np.int32)
    return lots


def _splits(folder: Path) -> Splits:
    parts = [np.empty(0, np.int8)]
    for batch in column_batches(folder / "queries.parquet", ["split"]):
        names = batch.column(0).to_pylist()
        unknown = [name for name in names if name not in SPLITS]
        if unknown:
            raise UserError(
                f"every split in {folder / 'queries.parquet'} to be train, validation or test",
                repr(unknown[0]),
                "Mend it.",
            )
        parts.append(np.array([SPLITS[name] for name in names], np.int8))
    return np.concatenate(parts)


def _judgements(folder: Path, documents: int) -> tuple[PairNumbers, Grades, Weights]:
    """Judged pairs as `query row * documents + document row`, ascending, and the relevance and weight of each."""
    path = folder / "qrels.parquet"
    indexes = {
        column: _id_index(folder, table, column)
        for table, column in (("queries", "query_id"), ("corpus", "document_id"))
    }
    count = row_count(folder, "qrels")
    pairs, grades, weights = np.empty(count, np.int64), np.empty(count, np.int8), np.ones(count, np.float32)
    named = ["weight"] if "weight" in pq.read_schema(path).names else []
    begin = 0
    for batch in column_batches(path, ["query_id", "document_id", "relevance", *named]):
        place = slice(begin, begin + batch.num_rows)
        query_rows, document_rows = (_found(path, batch, column, index) for column, index in indexes.items())
        pairs[place] = query_rows.astype(np.int64) * documents + document_rows
        grades[place] = _relevance(path, batch)
        if named:
            weights[place] = _weights(path, batch)
        begin += batch.num_rows
    order = np.argsort(pairs, kind="stable")
    pairs, grades, weights = pairs[order], grades[order], weights[order]
    again = np.flatnonzero(pairs[1:] == pairs[:-1])
    if len(again):
        query, document = divmod(int(pairs[again[0]]), documents)
        raise UserError(
            f"each pair once in {path}",
            f"query row {query} and document row {document} again",
            "Remove the repeated rows.",
        )
    return pairs, grades, weights


def _relevance(path: Path, batch: pa.RecordBatch) -> Grades:
    values = batch.column("relevance").to_numpy(zero_copy_only=False)
    if len(values) and values.max() > MOST_RELEVANT:
        raise UserError(
            f"every relevance in {path} up to {MOST_RELEVANT}",
            str(values.max()),
            f"Bring the grades to 1 to {MOST_RELEVANT}.",
        )
    grades: Grades = np.maximum(values, 0).astype(np.int8)
    return grades


def _weights(path: Path, batch: pa.RecordBatch) -> Weights:
    """The stated weights; 1 where none is."""
    column = batch.column("weight")
    values = np.where(column.is_null(), 1.0, column.cast(pa.float64()).fill_null(1.0).to_numpy(zero_copy_only=False))
    wrong = values[~((values > 0) & (values < np.inf))]
    if len(wrong):
        raise UserError(
            f"every weight in {path} above 0 and finite", str(wrong[0]), "Mend it, or leave it empty for 1."
        )
    return values.astype(np.float32)


def _found(path: Path, batch: pa.RecordBatch, column: str, index: Index) -> Rows:
    names = batch.column(column).to_pylist()
    rows = index.rows(keys_of([str(name) for name in names]))
    if (rows < 0).any():
        name = names[int(np.flatnonzero(rows < 0)[0])]
        raise UserError(
            f"every {column} of {path} in its table",
            f"{name!r}, which is not there",
            "Add its text, or remove the judgement.",
        )
    return rows


def _id_index(folder: Path, table: str, column: str) -> Index:
    path = folder / f"{table}.parquet"
    keys, null = _keys(folder, {table: column})
    if null.any():
        raise UserError(f"an id in every row of {path}", f"none in row {int(np.flatnonzero(null)[0])}", "Give it one.")
    index = Index(keys)
    again = index.repeated()
    if len(again):
        with parquet_file(path) as file:
            name = take_rows(file, again[:1], [column]).column(column)[0].as_py()
        raise UserError(
            f"each {column} once in {path}",
            f"{name!r} again in row {int(again[0])}",
            "Give every text its own id, or leave anchor_id and positive_id unmapped: ids are then made.",
        )
    return index
