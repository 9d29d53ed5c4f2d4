"""Files of all sorts to all readers: each ends in rows, rejected rows or one clear error.

FUZZED=100000 for as many files; `make fuzz`.
"""

import contextlib
import gzip
import io
import json
import lzma
import os
import sqlite3
import tempfile
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.columns import Columns
from hr_retrieval.prepare.readers.csv import CsvReader
from hr_retrieval.prepare.readers.hh import HhReader
from hr_retrieval.prepare.readers.json_lines import JsonLinesReader
from hr_retrieval.prepare.readers.parquet import ParquetReader
from hr_retrieval.prepare.readers.pickle import PickleReader
from hr_retrieval.prepare.readers.sql import SqlReader
from hr_retrieval.prepare.readers.xlsx import XlsxReader
from hr_retrieval.prepare.record import read_record
from hr_retrieval.privacy.masker import Masker

COUNT = int(os.environ.get("FUZZED", "300"))
ROWS = [
    {"name": "повар", "description": "=cmd|' /C calc'!A0 مرحبا 😀 \u202e"},
    {"name": "2024-01-01", "description": "1e5"},
]
FRAME = pd.DataFrame(ROWS)
# What has broken readers elsewhere.
PIECES = [
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b'"',
    b"\r",
    b"\xed\xa0\x80",
    "\u202e".encode(),
    b"[" * 3000,
    b"<div>" * 300,
    b"9" * 400,
    b"\n\n",
    "\u2066\u200f".encode(),
    b"\x1f\x8b\x08",
    b"\x28\xb5\x2f\xfd",
    b"NaN",
    b"{}",
]


def _sql_file(content: bytes, folder: Path) -> Any:
    (folder / "f.db").write_bytes(content)
    return SqlReader(f"sqlite:///{folder / 'f.db'}", "SELECT name, description FROM jobs")


def _written(suffix: str, reader: Any) -> Any:
    def make(content: bytes, folder: Path) -> Any:
        (folder / f"f.{suffix}").write_bytes(content)
        return reader(str(folder / f"f.{suffix}"))

    return make


def _sqlite() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(f"{folder}/f.db")
        FRAME.to_sql("jobs", connection, index=False)
        connection.commit()
        connection.close()
        return Path(folder, "f.db").read_bytes()


def _xlsx() -> bytes:
    book, file = Workbook(), io.BytesIO()
    for row in (["name", "description"], ["повар", "x"], [1, 2.5]):
        book.active.append(row)
    book.save(file)
    return file.getvalue()


LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
READERS = {
    "csv": (_written("csv", CsvReader), FRAME.to_csv(index=False).encode()),
    "jsonl": (_written("jsonl", JsonLinesReader), LINES),
    "hh": (_written("json", HhReader), LINES),
    "gzip": (_written("csv.gz", CsvReader), gzip.compress(FRAME.to_csv(index=False).encode())),
    "xz": (_written("jsonl", JsonLinesReader), lzma.compress(LINES)),
    "zstd": (_written("jsonl", JsonLinesReader), pa.compress(LINES, "zstd", asbytes=True)),
    "parquet": (_written("parquet", ParquetReader), FRAME.to_parquet()),
    "pickle": (
        _written("pkl", PickleReader),
        pd.DataFrame(ROWS, dtype=object).pipe(lambda frame: __import__("pickle").dumps(frame)),
    ),
    "xlsx": (_written("xlsx", XlsxReader), _xlsx()),
    "sql": (_sql_file, _sqlite()),
}
EDITS = st.lists(
    st.tuples(st.integers(0, 1 << 16), st.integers(0, 40), st.sampled_from(PIECES) | st.binary(max_size=6)),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize("kind", READERS)
def test_whatever_is_in_a_file_ends_in_rows_or_one_message(kind: str) -> None:
    make, sound = READERS[kind]
    wanted = ["title", "description"] if kind == "hh" else ["name", "description"]
    columns, masker = Columns(wanted[0], wanted[1]), Masker()

    @settings(
        max_examples=max(COUNT // len(READERS), 1),
        deadline=10_000,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(EDITS, st.booleans())
    def check(edits: list[tuple[int, int, bytes]], whole: bool) -> None:
        content = sound
        for place, gone, piece in edits:
            at = place % (len(content) + 1)
            content = content[:at] + piece + content[at + gone :] if whole else content[:at] + piece
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            # Of openpyxl, about parts of a workbook that it leaves out.
            warnings.simplefilter("ignore")
            # Anything else that is raised fails the test.
            with contextlib.suppress(UserError):
                for batch in make(content, Path(folder)).batches(wanted):
                    assert len(batch.rows) == len(batch.values)
                    for row in batch.values:
                        read_record(row, columns, masker)

    check()
