"""What is hostile or broken: each ends in rows, rejected rows or one clear error, and leaves nothing behind."""

import gc
import gzip
import json
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from openpyxl import Workbook

from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.errors import UserError
from hr_retrieval.prepare.clean import clean
from hr_retrieval.prepare.columns import Columns
from hr_retrieval.prepare.preparation import Preparation
from hr_retrieval.prepare.readers.csv import CsvReader
from hr_retrieval.prepare.readers.json_lines import JsonLinesReader
from hr_retrieval.prepare.readers.reader import KEPT, RawBatch, Reader
from hr_retrieval.prepare.readers.xlsx import XlsxReader
from tests.conftest import small_disk_at

FORMULAS = ["=cmd|' /C calc'!A0", '=HYPERLINK("see "&A1,"me")', "+1+cmd", "@SUM(A1:A9)", "-2+3 cook"]


def preparation(folder: Path, reader: Reader, name: str = "made", **options: Any) -> Preparation:
    shares = {"validation_share": 0.0, "test_share": 0.0} | options
    return Preparation(reader, str(folder / name), name, columns=Columns("a", "p"), **shares)


def lines(folder: Path, rows: list[dict[str, Any]], name: str = "rows.jsonl") -> JsonLinesReader:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return JsonLinesReader(str(folder / name))


def many(count: int = 200) -> list[dict[str, Any]]:
    return [{"a": f"title {n}", "p": f"text {n} " + "word " * 60} for n in range(count)]


def texts(data: PreparedDataset, table: str = "corpus") -> list[str]:
    own: list[str] = pq.read_table(data.folder / f"{table}.parquet")["text"].to_pylist()
    return own


def rejected(data: PreparedDataset) -> dict[str, int]:
    counts: dict[str, int] = data.info["counts"]["rejected"]
    return counts


def left(folder: Path) -> list[str]:
    """What lies in a folder beside the source."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("rows"))


def test_formulas_are_texts(tmp_path: Path) -> None:
    rows = [{"a": f"title {n}", "p": text} for n, text in enumerate(FORMULAS)]
    assert texts(preparation(tmp_path, lines(tmp_path, rows)).run()) == FORMULAS
    book = Workbook()
    for row in (["a", "p"], ["title", "=1+1"], ["other", "text"], ["third", "+text"]):
        book.active.append(row)
    book.save(tmp_path / "rows.xlsx")
    # A formula that was never computed has no value, and none is computed here.
    data = preparation(tmp_path, XlsxReader(str(tmp_path / "rows.xlsx")), "book").run()
    assert texts(data) == ["text", "+text"]
    assert rejected(data) == {"p: missing": 1}


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_signs_that_nobody_sees(tmp_path: Path, kind: str) -> None:
    """They go: two texts that look alike are one, and the split keeps them together."""
    signs = ["\0", "\u202e", "\u2066", "\u200f", "\u200b", "\ufeff", *(["\udc80", "\ud800"] if kind == "jsonl" else [])]
    alike = [f"co{sign}ok" for sign in signs]
    reader: Reader
    if kind == "csv":
        content = "a,p\n" + "".join(f"{text},text {n}\n" for n, text in enumerate(alike))
        (tmp_path / "rows.csv").write_text(content, encoding="utf-8")
        reader = CsvReader(str(tmp_path / "rows.csv"))
    else:
        reader = lines(tmp_path, [{"a": text, "p": f"text {n}"} for n, text in enumerate(alike)])
    assert texts(preparation(tmp_path, reader).run(), "queries") == ["cook"]
    # What tells words apart stays: Persian and emoji are joined by such signs.
    assert clean("می\u200cخواهم 👩\u200d🍳") == "می\u200cخواهم 👩\u200d🍳"


def test_ids_and_groups_of_lone_surrogates(tmp_path: Path) -> None:
    rows = [{"a": f"title {n}", "p": f"text {n}", "g": f"g\ud800{n}", "i": f"i\udfff{n}"} for n in range(3)]
    own = preparation(tmp_path, lines(tmp_path, [*rows, {"a": "x", "p": "y", "g": "\ud800", "i": "\ud800"}]))
    data = replace(own, columns=Columns("a", "p", group="g", anchor_id="i")).run()
    assert pq.read_table(data.folder / "queries.parquet")["query_id"].to_pylist() == ["i0", "i1", "i2"]
    assert rejected(data) == {"g: missing or empty": 1}


def test_very_long_texts_and_lines(tmp_path: Path) -> None:
    long = "слово " * 200_000
    rows = [
        {"a": "title", "p": "text"},
        {"a": "long", "p": long},
        {"a": long, "p": "other"},
        {"a": "last", "p": "third"},
    ]
    data = preparation(tmp_path, lines(tmp_path, rows)).run()
    assert texts(data) == ["text", "third"]
    assert rejected(data) == {"p: longer than 262,144 characters": 1, "a: longer than 262,144 characters": 1}
    kept = pq.read_table(data.folder / "rejected.parquet")["content"].to_pylist()
    assert [len(content) for content in kept] == [KEPT] * 2
    # A cell without an end, and a line without one, packed to a hundredth.
    content = b"a,p\ntitle,text\n" + b'other,"' + b"x" * (1 << 24) + b"y" * (1 << 10) + b"\nlast,third\n"
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(content))
    data = preparation(tmp_path, CsvReader(str(tmp_path / "rows.csv.gz")), "cells").run()
    assert texts(data) == ["text", "third"]
    assert list(rejected(data)) == ["field larger than field limit (16777216)"]


def test_of_two_writers_at_once_one_stands(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Slow(JsonLinesReader):
        def batches(self, wanted: Any) -> Iterator[RawBatch]:
            yield from super().batches(wanted)
            preparation(tmp_path, lines(tmp_path, many(7), "rows2.jsonl")).run()

    lines(tmp_path, many())
    with pytest.raises(UserError, match=r"made, which already holds something"):
        preparation(tmp_path, Slow(str(tmp_path / "rows.jsonl"))).run()
    assert len(texts(PreparedDataset.open(tmp_path / "made"))) == 7
    assert left(tmp_path) == ["made"]


def test_twins_at_once_take_nothing_from_each_other(tmp_path: Path) -> None:
    """The same command twice: the second finishes within a stage of the first."""
    lines(tmp_path, many())
    first, begun = preparation(tmp_path, JsonLinesReader(str(tmp_path / "rows.jsonl"))), []
    resolve = Preparation._resolve

    def within(self: Preparation, *arguments: Any) -> Any:
        if not begun:
            begun.append(1)
            replace(first).run(replace=True)
        return resolve(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Preparation, "_resolve", within)
        with pytest.raises(UserError, match="already holds something"):
            first.run()
    assert len(texts(PreparedDataset.open(tmp_path / "made"))) == 200
    assert left(tmp_path) == ["made"]


def failure(own: Preparation) -> str:
    """What a run says; its frames, which hold files open, are gone."""
    try:
        own.run()
    except UserError as error:
        said = str(error)
    gc.collect()
    return said


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 100, 4000, 12_000])
def test_a_file_that_grows_too_large(tmp_path: Path, size: int) -> None:
    own = preparation(tmp_path, lines(tmp_path, many(1000)), mask="none")
    with files_of_at_most(size), pytest.raises(UserError, match=r"to write .*made.*Free space"):
        own.run()
    assert left(tmp_path) == []
    own.run()


@pytest.mark.parametrize("size", ["60k", "300k", "600k"])
def test_a_disk_that_fills_up(tmp_path: Path, size: str) -> None:
    own = preparation(tmp_path, lines(tmp_path, many(3000)), "disk/made", mask="none")
    with small_disk_at(tmp_path / "disk", size) as disk:
        assert re.search(r"to write .*made.*Free space", failure(own))
        assert left(disk) == []
