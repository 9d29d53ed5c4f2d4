"""Packed files read as what they unpack to, and what is damaged or a bomb."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.readers.beir import BeirReader
from hr_retrieval.prepare.readers.csv import CsvReader
from hr_retrieval.prepare.readers.hh import HhReader
from hr_retrieval.prepare.readers.json_lines import JsonLinesReader
from hr_retrieval.prepare.readers.packing import packing
from hr_retrieval.prepare.readers.pickle import PickleReader
from tests.prepare.readers.sources import ROWS, read, rows_of, write_text


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd,
}


@pytest.mark.parametrize("kind", PACKERS)
def test_packed_files_give_the_same_rows(tmp_path: Path, kind: str) -> None:
    frame, pack = pd.DataFrame(ROWS), PACKERS[kind]
    # In two parts, as `cat a.gz b.gz` makes one; the name says nothing.
    content = frame.to_csv(index=False, encoding="utf-8").encode("cp1251")
    path = write_text(tmp_path, pack(content[:20]) + pack(content[20:]), "rows.csv")
    assert packing(Path(path)) == kind
    assert rows_of(read(CsvReader(path, encoding="cp1251"))) == ROWS
    lines = frame.to_json(orient="records", lines=True).encode()
    assert rows_of(read(JsonLinesReader(write_text(tmp_path, pack(lines), "rows.jsonl.x")))) == ROWS
    frame.to_pickle(tmp_path / "plain.pkl")
    path = write_text(tmp_path, pack((tmp_path / "plain.pkl").read_bytes()), "rows.pkl")
    assert rows_of(read(PickleReader(path))) == ROWS


@pytest.mark.parametrize("kind", PACKERS)
def test_what_is_damaged_or_cut_off(tmp_path: Path, kind: str) -> None:
    packed = PACKERS[kind](("position,description\n" + "".join(f"a{n},b{n * n}\n" for n in range(999))).encode())
    middle = len(packed) // 2
    # The frames that Arrow writes have no checksum.
    broken = [] if kind == "zstd" else [packed[:middle] + bytes(8) + packed[middle + 8 :]]
    for content in (packed[:-9], packed[:middle], *broken):
        with pytest.raises(UserError, match=f"damaged or cut off, as {kind} says"):
            read(CsvReader(write_text(tmp_path, content)))


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("reader", [CsvReader, JsonLinesReader, PickleReader])
def test_a_bomb(tmp_path: Path, kind: str, reader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hr_retrieval.prepare.readers.packing._FREE", 1 << 18)
    pickled = b"\x80\x04B" + (1 << 22).to_bytes(4, "little")
    content = PACKERS[kind]((pickled if reader is PickleReader else b"") + b"a" * (1 << 22))
    with pytest.raises(UserError, match=r"unpacks to more than 50 bytes.*unpack it first"):
        read(reader(write_text(tmp_path, content)))


def test_a_packed_export_of_hh_is_known_by_its_inner_name(tmp_path: Path) -> None:
    path = write_text(tmp_path, gzip.compress("name;description\nповар;варит\n".encode()), "a.2024.CSV.gz")
    (row,) = rows_of(read(HhReader(path), ["title", "description"]))
    assert row == {"title": "повар", "description": "варит"}


def test_benchmarks_are_read_unpacked(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    write_text(tmp_path, "q\td\t1\n", "qrels/test.tsv")
    for name in ("corpus", "queries"):
        write_text(tmp_path, gzip.compress(b'{"_id": "d", "text": "t"}\n'), f"{name}.jsonl")
    with pytest.raises(UserError, match=r"plain text in .*corpus\.jsonl.*gzip.*Unpack it"):
        read(BeirReader(str(tmp_path)), ["query"])
