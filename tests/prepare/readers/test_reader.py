"""Readers: every format gives the same rows, and bad files say what is wrong."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.readers.csv import CsvReader
from hr_retrieval.prepare.readers.json_lines import JsonLinesReader
from hr_retrieval.prepare.readers.parquet import ParquetReader
from hr_retrieval.prepare.readers.pickle import PickleReader
from hr_retrieval.prepare.readers.reader import Reader, check_columns
from tests.prepare.readers.sources import ROWS, read, rows_of, write_text


def write(folder: Path, kind: str) -> Reader:
    frame = pd.DataFrame(ROWS).assign(other=1)
    if kind == "parquet":
        frame.to_parquet(folder / "rows.parquet")
        return ParquetReader(str(folder / "rows.parquet"))
    if kind == "jsonl":
        frame.to_json(folder / "rows.jsonl", orient="records", lines=True, force_ascii=False)
        return JsonLinesReader(str(folder / "rows.jsonl"))
    if kind == "pickle":
        frame.to_pickle(folder / "train.pkl")
        return PickleReader(str(folder / "train.pkl"))
    delimiter, encoding = {
        "csv": (",", "utf-8"),
        "excel": (";", "utf-8-sig"),
        "hh": (";", "cp1251"),
        "utf16": ("\t", "utf-16"),
    }[kind]
    frame.to_csv(folder / "rows.csv", sep=delimiter, encoding=encoding, index=False)
    return CsvReader(str(folder / "rows.csv"), delimiter, encoding.removesuffix("-sig"))


@pytest.mark.parametrize("kind", ["csv", "excel", "hh", "utf16", "parquet", "jsonl", "pickle"])
def test_every_format_gives_the_same_rows(tmp_path: Path, kind: str) -> None:
    reader = write(tmp_path, kind)
    assert isinstance(reader, Reader)
    batches = read(reader)
    assert rows_of(batches) == ROWS
    assert [row for batch in batches for row in batch.rows] == [0, 1, 2]
    assert {batch.source for batch in batches} == {str(reader.inputs()[0])}


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl", "pickle"])
def test_a_missing_column_names_those_found(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UserError, match=r"'title'.*'description'"):
        read(write(tmp_path, kind), ["title"])


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl", "pickle"])
def test_blocks_are_numbered_through(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = write(tmp_path, kind)
    monkeypatch.setattr(f"{type(reader).__module__}.BATCH_ROWS", 2)
    batches = read(reader)
    assert [list(batch.rows) for batch in batches] == [[0, 1], [2]]
    assert rows_of(batches) == ROWS


@pytest.mark.parametrize("reader", [CsvReader, ParquetReader, JsonLinesReader, PickleReader])
def test_a_missing_file(tmp_path: Path, reader: Any) -> None:
    with pytest.raises(UserError, match="a file at"):
        reader(str(tmp_path / "none*")).inputs()


@pytest.mark.parametrize("reader", [CsvReader, ParquetReader, JsonLinesReader, PickleReader])
def test_an_empty_file(tmp_path: Path, reader: Any) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(UserError):
        read(reader(str(tmp_path / "empty")))


def test_globs_and_lists_of_files(tmp_path: Path) -> None:
    for number in (2, 1):
        (tmp_path / f"part{number}.jsonl").write_text(json.dumps({"position": str(number)}) + "\n")
    names = [path.name for path in JsonLinesReader(str(tmp_path / "*.jsonl")).inputs()]
    assert names == ["part1.jsonl", "part2.jsonl"]
    both = JsonLinesReader([str(tmp_path / "part2.jsonl"), str(tmp_path / "*.jsonl")])
    assert [row["position"] for row in rows_of(read(both, ["position"]))] == ["2", "1"]


def test_rows_that_do_not_parse_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("position,description\na,b\na\n\na,b,c\n")
    (batch,) = read(CsvReader(str(tmp_path / "rows.csv")))
    assert list(batch.rows) == [0]
    assert [(fault.row, fault.reason, fault.content) for fault in batch.rejected] == [
        (1, "1 cells under a header of 2", '["a"]'),
        (3, "3 cells under a header of 2", '["a", "b", "c"]'),
    ]
    (tmp_path / "rows.jsonl").write_text('{"position": "a"}\n\nnot json\n[1]\n')
    (batch,) = read(JsonLinesReader(str(tmp_path / "rows.jsonl")), ["position"])
    assert list(batch.rows) == [0]
    assert [(fault.row, fault.content) for fault in batch.rejected] == [(2, '"not json"'), (3, "[1]")]


def test_a_folder_of_parts(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    (folder / "_temporary").mkdir(parents=True)
    (folder / "day=2").mkdir()
    for name in ("_SUCCESS", ".part-0.crc", "_temporary/part-9"):
        (folder / name).write_bytes(b"\x00")
    for name, text in (("part-1", "b"), ("part-0", "a"), ("day=2/part-0", "c")):
        pd.DataFrame({"position": [text]}).to_parquet(folder / name)
    assert [row["position"] for row in rows_of(read(ParquetReader(str(folder)), ["position"]))] == ["c", "a", "b"]
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "_SUCCESS").touch()
    with pytest.raises(UserError, match="no file in the folder"):
        ParquetReader(str(tmp_path / "hidden")).inputs()


@pytest.mark.parametrize("reader", [CsvReader, ParquetReader, JsonLinesReader, PickleReader])
def test_a_file_that_may_not_be_read(tmp_path: Path, reader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What root may read all the same."""
    path = write_text(tmp_path, "x")

    def refuse(*arguments: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr("pyarrow.parquet.ParquetFile", refuse)
    with pytest.raises(UserError, match="Permission denied"):
        read(reader(path))


def test_wanted_columns_are_found_where_they_stand() -> None:
    assert check_columns(Path("jobs.csv"), ["b", "a", "c"], ["c", "b"]) == {"c": 2, "b": 0}
    with pytest.raises(UserError, match=r"one column 'a' in jobs\.csv; got several of that name"):
        check_columns(Path("jobs.csv"), ["a", "b", "a"], ["b", "a"])
