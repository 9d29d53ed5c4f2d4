"""The tables of a prepared data set: their schemas, and how they are read without holding one of them."""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hr_retrieval.data.arrays import Rows
from hr_retrieval.errors import UserError
from hr_retrieval.files import sha256_of
from hr_retrieval.program import called

SCHEMA_VERSION = 2
Split = Literal["train", "validation", "test"]
SPLITS: dict[Split, int] = {"train": 0, "validation": 1, "test": 2}
MOST_RELEVANT = 3
"""The highest grade of relevance; 0 is a stated negative."""
SCHEMAS = {
    "corpus": pa.schema(
        [
            pa.field("document_id", pa.string(), nullable=False),
            pa.field("text", pa.string(), nullable=False),
            pa.field("group_id", pa.string()),
            pa.field("duplicate_id", pa.string()),
            pa.field("language", pa.string()),
        ]
    ),
    "queries": pa.schema(
        [
            pa.field("query_id", pa.string(), nullable=False),
            pa.field("text", pa.string(), nullable=False),
            pa.field("group_id", pa.string()),
            pa.field("split", pa.string(), nullable=False),
            pa.field("language", pa.string()),
        ]
    ),
    "qrels": pa.schema(
        [
            pa.field("query_id", pa.string(), nullable=False),
            pa.field("document_id", pa.string(), nullable=False),
            pa.field("relevance", pa.int8(), nullable=False),
            pa.field("weight", pa.float32()),
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


def check_tables(folder: Path) -> None:
    """Raise `UserError` unless the tables and their columns are there; nullable columns may be absent."""
    for table in _REQUIRED:
        path = folder / f"{table}.parquet"
        remedy = f"Run {called('prepare')}, or mend the folder as data/README.md describes it."
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


def parquet_file(source: Path | io.BufferedIOBase) -> pq.ParquetFile:
    """A Parquet file to be read piece by piece.

    With `pre_buffer`, its usual way, pyarrow holds all that was read until the file is closed.
    """
    return pq.ParquetFile(source, pre_buffer=False)


def column_batches(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The named columns of a Parquet file, block by block."""
    with parquet_file(path) as file:
        yield from file.iter_batches(_BATCH_ROWS, columns=columns)


def take_rows(file: pq.ParquetFile, rows: Rows, columns: list[str]) -> pa.Table:
    """The given rows in their order; only the row groups that hold them are read."""
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
    ends = np.cumsum(np.array([0, *sizes], np.int64))
    groups = np.searchsorted(ends, rows, side="right") - 1
    wanted = np.unique(groups)
    table = file.read_row_groups(wanted.tolist(), columns=columns)
    begins = np.cumsum(np.array([0, *(sizes[group] for group in wanted)], np.int64))
    return table.take(begins[np.searchsorted(wanted, groups)] + rows - ends[groups])


def finish(writer: pq.ParquetWriter, whole: bool) -> None:
    """Close a writer, or let it be where its file is not to be whole.

    pyarrow closes what is open when it is collected, where on a full disk nobody hears the error.
    """
    try:
        if whole:
            writer.close()
    finally:
        writer.is_open = False


def row_count(folder: Path, table: str) -> int:
    """How many rows a table has."""
    return int(pq.read_metadata(folder / f"{table}.parquet").num_rows)


def stamp(path: Path) -> list[int]:
    """Size and time of change: as long as they stay, the content is taken to be the same."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def table_stamps(folder: Path) -> dict[str, list[int]]:
    """The stamp of each of the three tables."""
    return {f"{table}.parquet": stamp(folder / f"{table}.parquet") for table in _REQUIRED}


def _fits(kind: pa.DataType, column: pa.Field) -> bool:
    if pa.types.is_int8(column.type):
        return bool(pa.types.is_integer(kind))
    if pa.types.is_floating(column.type):
        return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind))
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or (column.nullable and pa.types.is_null(kind))
    )
