"""Delimited text: quotes, escapes, headers."""

from pathlib import Path
from typing import Any

import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.readers.csv import CsvReader
from tests.prepare.readers.sources import read, rejected_of, rows_of, write_text


def test_quotes(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text('position,description\n"a,b\n')
    assert rows_of(read(CsvReader(str(tmp_path / "rows.csv"), quote="")))[0]["position"] == '"a'
    (tmp_path / "rows.csv").write_text("position,description\n'a,a',b\n")
    assert rows_of(read(CsvReader(str(tmp_path / "rows.csv"), quote="'")))[0]["position"] == "a,a"


@pytest.mark.parametrize(
    "settings",
    [
        {"delimiter": ";;"},
        {"delimiter": ""},
        {"quote": "''"},
        {"escape": "/*"},
        {"delimiter": "\n"},
        {"encoding": "utf-9"},
        {"encoding": "hex"},
        {"errors": "ignore"},
        {"skip": -1},
    ],
)
def test_settings_are_checked_before_reading(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        CsvReader("rows.csv", **settings)


def test_a_doubled_column(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("position,position\na,b\n")
    with pytest.raises(UserError, match="several"):
        read(CsvReader(str(tmp_path / "rows.csv")), ["position"])


def test_a_record_whose_quotes_do_not_match_loses_one_line(tmp_path: Path) -> None:
    lines = ['"a,b', '"c","d"', '"e" f,g', '"h', 'i","j"', "k,l", '"m,n']
    batches = read(CsvReader(write_text(tmp_path, "\n".join(["position,description", *lines]))))
    assert [list(row.values()) for row in rows_of(batches)] == [["c", "d"], ["h\ni", "j"], ["k", "l"]]
    assert [(row, content) for row, _, content in rejected_of(batches)] == [
        (0, '"\\"a,b\\n"'),
        (2, '"\\"e\\" f,g\\n"'),
        (5, '"\\"m,n"'),
    ]


def test_an_unclosed_quote_costs_its_line_and_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hr_retrieval.prepare.readers.csv._LONGEST_CELL", 100)
    content = "position,description\n" + '"a,b\n' + "c,d\n" * 200
    batches = read(CsvReader(write_text(tmp_path, content)))
    assert len(rows_of(batches)) == 200
    assert len(rejected_of(batches)) == 1


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        (r'"say \"hi, you\"","b"', ['say "hi, you"', "b"]),
        (r"a\,b,c", ["a,b", "c"]),
        (r"\N,C:\new", [r"\N", r"C:\new"]),
        (r'"a\\","b"', ["a\\", "b"]),
        ('"a\\\nb","c"', ["a\nb", "c"]),
        (r'"Wert ""x""",b', ['Wert "x"', "b"]),
    ],
)
def test_escapes(tmp_path: Path, line: str, cells: list[str]) -> None:
    path = write_text(tmp_path, f"position,description\n{line}\n")
    assert [list(row.values()) for row in rows_of(read(CsvReader(path, escape="\\")))] == [cells]


def test_escaped_quotes_that_are_not_said_are_found_out(tmp_path: Path) -> None:
    path = write_text(tmp_path, 'position,description\n"say \\"hi\\" you","b"\n')
    (batch,) = read(CsvReader(path))
    assert "data.reader.escape" in batch.rejected[0].remedy


def test_files_without_a_header_and_with_lines_before_it(tmp_path: Path) -> None:
    path = write_text(tmp_path, "sep=,\nposition,description\na,b\n")
    assert rows_of(read(CsvReader(path, skip=1))) == [{"position": "a", "description": "b"}]
    batches = read(CsvReader(path, skip=2, header=False), ["0", "1"])
    assert rows_of(batches) == [{"0": "a", "1": "b"}]
    assert list(batches[0].rows) == [0]
    with pytest.raises(UserError, match=r"'0'.*'sep=', ''.*data\.reader\.skip=1"):
        read(CsvReader(path), ["0"])


def test_another_delimiter_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"delimiter=\";\""):
        read(CsvReader(write_text(tmp_path, "position;description\na;b\n")))


def test_settings_that_a_command_line_makes_numbers_of(tmp_path: Path) -> None:
    path = write_text(tmp_path, "position1description\na1b\n", "2024")
    reader = CsvReader([path], delimiter=1, encoding=1251, quote=None)
    assert rows_of(read(reader)) == [{"position": "a", "description": "b"}]
