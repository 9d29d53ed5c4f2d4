"""The prepared data set on disk: its schemas, what training maps into memory, and how it is opened."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hr_retrieval.data.keys import Codes, Distinct, Hashes, Index, distinct_numbers, hashes_of, keys_of
from hr_retrieval.errors import UserError
from hr_retrieval.files import read_json, sha256_of, whole_folder, write_json
from hr_retrieval.prepare.clean import normalise
from hr_retrieval.prepare.commands import data_command

SCHEMA_VERSION = 2
SPLIT_NAMES = ("train", "validation", "test")
SCHEMAS = {
    "corpus": pa.schema(
        [
            pa.field("document_id", pa.string(), nullable=False),
            pa.field("text", pa.string(), nullable=False),
            pa.field("group_id", pa.string()),
            pa.field("duplicate_id", pa.string()),
        ]
    ),
    "queries": pa.schema(
        [
            pa.field("query_id", pa.string(), nullable=False),
            pa.field("text", pa.string(), nullable=False),
            pa.field("group_id", pa.string()),
            pa.field("split", pa.string(), nullable=False),
        ]
    ),
    "qrels": pa.schema(
        [
            pa.field("query_id", pa.string(), nullable=False),
            pa.field("document_id", pa.string(), nullable=False),
            pa.field("relevance", pa.int8(), nullable=False),
        ]
    ),
    "rejected": pa.schema(
        [
            pa.field("source", pa.string(), nullable=False),
            pa.field("row", pa.int64(), nullable=False),
            pa.field("reason", pa.string(), nullable=False),
            pa.field("content", pa.string(), nullable=False),
        ]
    ),
}
_REQUIRED = ("corpus", "queries", "qrels")
_BATCH_ROWS = 4096
# Rows that are read to get at one; small, as a text is about 2 KB.
ROW_GROUP = 1 << 14

Table = Literal["corpus", "queries"]


@dataclass(frozen=True, eq=False)
class PreparedDataset:
    """An opened prepared data set of `N` documents and `Q` queries; arrays are memory-mapped, texts stay on disk.

    Attributes:
        folder: where it lies.
        info: `dataset.json`; empty for a folder made by hand without one.
        fingerprint: changes with the content of any of the three tables.
        document_duplicate: a code for each document; equal codes mark near-duplicates.
        document_text: the number of the queries' text that the document's normalised text is, or -1.
        group_offsets: the groups of document `d` are `document_groups[group_offsets[d] : group_offsets[d + 1]]`.
        document_groups: codes: its stated group, and the groups of the queries that it is a stated positive of.
        query_group: the code of each query's stated group; of queries without one a negative code, one for each text.
        query_text: equal numbers, from 0, mark queries of equal normalised text.
        query_split: 0 train, 1 validation, 2 test.
        text_offsets: the queries of text `t` are `text_queries[text_offsets[t] : text_offsets[t + 1]]`.
        text_queries: rows of queries, ascending for each text.
        document_lots: the place of each document in an order drawn by lot, which decides what scores alone do not: by a hash
            of its normalised text, of equal texts by one of the id. It depends neither on the order of rows nor on relevance.
        query_lots: likewise of each query.
        positive_offsets: the positives of query `q` are `positive_documents[positive_offsets[q] : positive_offsets[q +
            1]]`.
        positive_documents: rows in the corpus, ascending for each query.
        negative_offsets: likewise for stated negatives.
        negative_documents: likewise.
    """

    folder: Path
    info: dict[str, Any]
    fingerprint: str
    document_duplicate: npt.NDArray[np.int64]
    document_text: npt.NDArray[np.int32]
    group_offsets: npt.NDArray[np.int64]
    document_groups: npt.NDArray[np.int64]
    query_group: npt.NDArray[np.int64]
    query_text: npt.NDArray[np.int32]
    query_split: npt.NDArray[np.int8]
    text_offsets: npt.NDArray[np.int64]
    text_queries: npt.NDArray[np.int32]
    document_lots: npt.NDArray[np.int32]
    query_lots: npt.NDArray[np.int32]
    positive_offsets: npt.NDArray[np.int64]
    positive_documents: npt.NDArray[np.int32]
    negative_offsets: npt.NDArray[np.int64]
    negative_documents: npt.NDArray[np.int32]

    @classmethod
    def open(cls, folder: Path) -> "PreparedDataset":
        """Open a folder that `prepare` or a hand made; `rows/` is written first if it is missing or older than the
        tables.

        Raises:
            UserError: a table or a column is missing or of the wrong type, an id is doubled or unknown, or
                `dataset.json` has another schema version.
        """
        folder = Path(folder)
        check_tables(folder)
        info = read_json(folder / "dataset.json") if (folder / "dataset.json").exists() else {}
        version = info.get("schema_version", SCHEMA_VERSION)
        if version != SCHEMA_VERSION:
            raise UserError(
                f"schema version {SCHEMA_VERSION} in {folder / 'dataset.json'}",
                repr(version),
                f"Prepare it anew: {data_command('prepare', folder, info, None, 'replace=true')}"
                if "options" in info
                else "Bring its tables to the form of data/README.md.",
            )
        files = {name: folder / "rows" / f"{name}.npy" for name in _ARRAYS}
        if _recorded(folder).get("files") != _stamps(folder) or not all(file.is_file() for file in files.values()):
            write_rows(folder)
        arrays = {name: np.load(file, mmap_mode="r") for name, file in files.items()}
        return cls(folder, info, str(_recorded(folder)["fingerprint"]), **arrays)

    def empty_split(self, split: str) -> UserError:
        """The error for a split that is needed and has no queries."""
        expected, got = f"queries in the {split} split", f"none in {self.folder}"
        if "options" not in self.info:
            return UserError(expected, got, f"Give some rows of queries.parquet the split {split}.")
        options = self.info["options"]
        changes: dict[str, Any] = {}
        rejected = Counter(self.info["counts"]["rejected"])
        if rejected:
            got += f"; {rejections(rejected)}"
        if options["columns"]["split"] is not None:
            got += f"; the source states no query for {split}"
            remedy, changes = "To draw a split instead", {"columns.split": None}
        elif split == "train":
            remedy, changes = "Lower the shares", {"validation_share": 0.1, "test_share": 0.1}
        else:
            remedy, changes = f"Give {split} a share", {f"{split}_share": 0.1}
        command = data_command("prepare", self.folder, self.info, changes, "replace=true")
        return UserError(expected, got, f"{remedy}: {command}")

    @property
    def query_count(self) -> int:
        """`Q`."""
        return len(self.query_group)

    @property
    def document_count(self) -> int:
        """`N`."""
        return len(self.document_duplicate)

    def texts(self, table: Table) -> Iterator[list[str]]:
        """All texts of a table in the order of its rows, block by block."""
        for batch in column_batches(self.folder / f"{table}.parquet", ["text"]):
            yield batch.column(0).to_pylist()

    def texts_at(self, table: Table, rows: npt.NDArray[np.integer]) -> list[str]:
        """The texts of the given rows, in their order; for a few rows, as whole parts of the file are read."""
        with pq.ParquetFile(self.folder / f"{table}.parquet") as file:
            texts: list[str] = take_rows(file, np.asarray(rows, np.int64), ["text"]).column("text").to_pylist()
        return texts

    def ids_at(self, table: Table, rows: npt.NDArray[np.integer]) -> list[str]:
        """The ids of the given rows, in their order; meant for a few rows."""
        column = "query_id" if table == "queries" else "document_id"
        with pq.ParquetFile(self.folder / f"{table}.parquet") as file:
            ids: list[str] = take_rows(file, np.asarray(rows, np.int64), [column]).column(column).to_pylist()
        return ids


def rejections(counts: Counter[str]) -> str:
    """How many rows were rejected, and the commonest reasons."""
    reasons = ", ".join(f"{reason} ({count:,})" for reason, count in counts.most_common(3))
    return f"{counts.total():,} rows were rejected: {reasons}{', ...' if len(counts) > 3 else ''}"


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
    "positive_offsets",
    "positive_documents",
    "negative_offsets",
    "negative_documents",
)


def write_rows(folder: Path) -> None:
    """Write `rows/*.npy` (see `PreparedDataset`) from the three tables, without holding texts or ids.

    Raises:
        UserError: an id is doubled, an id of the qrels is in no table, a pair is judged twice, or a split has no such
            name.
    """
    with whole_folder(folder / "rows", replace=True, first_stands=True) as rows:
        documents, queries = _row_count(folder, "corpus"), _row_count(folder, "queries")
        np.save(rows / "document_duplicate.npy", _codes(folder, {"corpus": "duplicate_id"}))
        np.save(rows / "query_split.npy", _splits(folder))
        hashes = [_text_hashes(folder, table) for table in ("queries", "corpus")]
        np.save(rows / "query_lots.npy", _lots(hashes[0], folder, "queries", "query_id"))
        np.save(rows / "document_lots.npy", _lots(hashes[1], folder, "corpus", "document_id"))
        texts = _write_texts(rows, *hashes)
        del hashes
        pairs, negative = _judgements(folder, documents)
        for name, chosen in (("positive", ~negative), ("negative", negative)):
            wanted = pairs[chosen]
            np.save(rows / f"{name}_documents.npy", (wanted % max(documents, 1)).astype(np.int32))
            offsets = np.searchsorted(wanted, np.arange(queries + 1, dtype=np.int64) * documents)
            np.save(rows / f"{name}_offsets.npy", offsets.astype(np.int64))
        _write_groups(folder, rows, texts, pairs[~negative])
        write_json(rows / "rows.json", {"files": _stamps(folder), "fingerprint": fingerprint_of(file_hashes(folder))})


def check_tables(folder: Path) -> None:
    """Raise `UserError` unless the tables and their columns are there; nullable columns may be absent."""
    for table in _REQUIRED:
        path = folder / f"{table}.parquet"
        remedy = "Run python -m hr_retrieval.prepare, or mend the folder as data/README.md describes it."
        if not path.is_file():
            raise UserError(f"the table {path}", "no such file", remedy)
        try:
            found = pq.read_schema(path)
        except pa.ArrowInvalid as error:
            raise UserError(f"a Parquet file at {path}", str(error), remedy) from None
        for column in SCHEMAS[table]:
            if column.name not in found.names:
                if column.nullable:
                    continue
                raise UserError(
                    f"the column {column.name!r} in {path}", f"the columns {', '.join(found.names)}", remedy
                )
            kind = found.field(column.name).type
            if not _fits(kind, column):
                raise UserError(f"the column {column.name!r} in {path} to be {column.type}", str(kind), remedy)


def file_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each of the three tables."""
    return {f"{table}.parquet": sha256_of(folder / f"{table}.parquet") for table in _REQUIRED}


def fingerprint_of(hashes: dict[str, str]) -> str:
    """SHA-256 over the files' own."""
    return hashlib.sha256("".join(hashes[name] for name in sorted(hashes)).encode()).hexdigest()


def column_batches(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The named columns of a Parquet file, block by block."""
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(_BATCH_ROWS, columns=columns)


def take_rows(file: pq.ParquetFile, rows: npt.NDArray[np.int64], columns: list[str]) -> pa.Table:
    """The given rows in their order; only the row groups that hold them are read."""
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
    ends = np.cumsum(np.array([0, *sizes], np.int64))
    groups = np.searchsorted(ends, rows, side="right") - 1
    wanted = np.unique(groups)
    table = file.read_row_groups(wanted.tolist(), columns=columns)
    begins = np.cumsum(np.array([0, *(sizes[group] for group in wanted)], np.int64))
    return table.take(begins[np.searchsorted(wanted, groups)] + rows - ends[groups])


def _fits(kind: pa.DataType, column: pa.Field) -> bool:
    if pa.types.is_int8(column.type):
        return bool(pa.types.is_integer(kind))
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or (column.nullable and pa.types.is_null(kind))
    )


def _stamps(folder: Path) -> dict[str, list[int]]:
    """Size and time of change of the tables: whether `rows/` is still theirs."""
    stats = {f"{table}.parquet": (folder / f"{table}.parquet").stat() for table in _REQUIRED}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def _recorded(folder: Path) -> dict[str, Any]:
    path = folder / "rows" / "rows.json"
    content: dict[str, Any] = read_json(path) if path.exists() else {}
    return content


def _row_count(folder: Path, table: str) -> int:
    return int(pq.read_metadata(folder / f"{table}.parquet").num_rows)


def _keys(folder: Path, columns: dict[str, str]) -> tuple[Hashes, npt.NDArray[np.bool_]]:
    """Keys of one column of each table, one behind the other, and where it is null."""
    count = sum(_row_count(folder, table) for table in columns)
    keys, null = np.zeros((count, 2), np.uint64), np.ones(count, dtype=bool)
    begin = 0
    for table, column in columns.items():
        path = folder / f"{table}.parquet"
        if column not in pq.read_schema(path).names:
            begin += _row_count(folder, table)
            continue
        for batch in column_batches(path, [column]):
            values = batch.column(0).to_pylist()
            place = slice(begin, begin + len(values))
            null[place] = [value is None for value in values]
            keys[place] = keys_of([value or "" for value in values])
            begin += len(values)
    return keys, null


def _codes(folder: Path, columns: dict[str, str]) -> npt.NDArray[np.int64]:
    """One code a row of the tables, one behind the other: equal for equal values, -1 - row for a null."""
    keys, null = _keys(folder, columns)
    if null.any():
        keys = keys[~null]
    stated = Distinct.of(keys).codes
    del keys
    codes = -1 - np.arange(len(null), dtype=np.int64)
    codes[~null] = stated
    return codes


def _write_texts(rows: Path, queries: Hashes, documents: Hashes) -> Codes:
    """Write which queries share a text, and which documents have the text of a query; gives the text of each query."""
    texts = Distinct.of(queries)
    order = np.argsort(texts.codes, kind="stable").astype(np.int32)
    np.save(rows / "query_text.npy", texts.codes)
    np.save(rows / "text_queries.npy", order)
    offsets = np.searchsorted(texts.codes[order], np.arange(len(texts) + 1, dtype=np.int32))
    np.save(rows / "text_offsets.npy", offsets.astype(np.int64))
    del order, offsets
    hashes = queries[texts.first]
    by_hash = np.argsort(hashes).astype(np.int32)
    document_text = np.full(len(documents), -1, np.int32)
    if len(hashes):
        at = by_hash[np.minimum(np.searchsorted(hashes, documents, sorter=by_hash), len(hashes) - 1)]
        document_text[hashes[at] == documents] = at[hashes[at] == documents]
    np.save(rows / "document_text.npy", document_text)
    return texts.codes


def _text_hashes(folder: Path, table: Table) -> Hashes:
    """Hashes of the normalised texts of a table."""
    batches = column_batches(folder / f"{table}.parquet", ["text"])
    blocks = [hashes_of([normalise(text) for text in batch.column(0).to_pylist()]) for batch in batches]
    return np.concatenate([np.empty(0, np.uint64), *blocks])


def _write_groups(folder: Path, rows: Path, texts: Codes, positives: npt.NDArray[np.int64]) -> None:
    """Write the group of each query, and the groups of each document.

    Args:
        positives: `query row * documents + document row` of each stated positive.
    """
    documents = _row_count(folder, "corpus")
    stated = _codes(folder, {"corpus": "group_id", "queries": "group_id"})
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


def _splits(folder: Path) -> npt.NDArray[np.int8]:
    parts = [np.empty(0, np.int8)]
    numbers = {name: number for number, name in enumerate(SPLIT_NAMES)}
    for batch in column_batches(folder / "queries.parquet", ["split"]):
        names = batch.column(0).to_pylist()
        unknown = [name for name in names if name not in numbers]
        if unknown:
            raise UserError(
                f"every split in {folder / 'queries.parquet'} to be train, validation or test",
                repr(unknown[0]),
                "Mend it.",
            )
        parts.append(np.array([numbers[name] for name in names], np.int8))
    return np.concatenate(parts)


def _judgements(folder: Path, documents: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Judged pairs as `query row * documents + document row`, ascending, and which of them are negatives."""
    path = folder / "qrels.parquet"
    indexes = {
        column: _id_index(folder, table, column)
        for table, column in (("queries", "query_id"), ("corpus", "document_id"))
    }
    count = _row_count(folder, "qrels")
    pairs, negative = np.empty(count, np.int64), np.empty(count, dtype=bool)
    begin = 0
    for batch in column_batches(path, ["query_id", "document_id", "relevance"]):
        place = slice(begin, begin + batch.num_rows)
        query_rows, document_rows = (_found(path, batch, column, index) for column, index in indexes.items())
        pairs[place] = query_rows.astype(np.int64) * documents + document_rows
        negative[place] = batch.column("relevance").to_numpy(zero_copy_only=False) <= 0
        begin += batch.num_rows
    order = np.argsort(pairs, kind="stable")
    pairs, negative = pairs[order], negative[order]
    again = np.flatnonzero(pairs[1:] == pairs[:-1])
    if len(again):
        query, document = divmod(int(pairs[again[0]]), documents)
        raise UserError(
            f"each pair once in {path}",
            f"query row {query} and document row {document} again",
            "Remove the repeated rows.",
        )
    return pairs, negative


def _found(path: Path, batch: pa.RecordBatch, column: str, index: Index) -> Codes:
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
        with pq.ParquetFile(path) as file:
            name = take_rows(file, again[:1], [column]).column(column)[0].as_py()
        raise UserError(
            f"each {column} once in {path}",
            f"{name!r} again in row {int(again[0])}",
            "Give every text its own id, or leave anchor_id and positive_id unmapped: ids are then made.",
        )
    return index
