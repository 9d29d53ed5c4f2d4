"""Workbooks: their values as texts, formulas as what they were computed to, bombs and damage as one message."""

import zipfile
from pathlib import Path

import pytest
from openpyxl import Workbook

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.readers.xlsx import XlsxReader
from tests.prepare.readers.sources import read, rows_of


def write(folder: Path, rows: list[list[object]]) -> str:
    book = Workbook()
    for row in rows:
        book.active.append(row)
    book.create_sheet("second").append(["position", "description"])
    book.save(folder / "rows.xlsx")
    return str(folder / "rows.xlsx")


def test_the_rows_under_the_first_one(tmp_path: Path) -> None:
    path = write(tmp_path, [["id", "position", "description"], [1, "Повар", 42], [2, "cook"], [3, "=1+1", "x"]])
    # A formula that was never computed has no value.
    assert rows_of(read(XlsxReader(path))) == [
        {"position": "Повар", "description": "42"}, {"position": "cook", "description": None}, {"position": None, "description": "x"}
    ]  # fmt: skip
    assert rows_of(read(XlsxReader(path, "second"))) == []


def test_what_is_no_workbook_is_one_message(tmp_path: Path) -> None:
    path = write(tmp_path, [["a", "b"]])
    with pytest.raises(UserError, match="the sheets Sheet, second"):
        read(XlsxReader(path, "third"))
    with pytest.raises(UserError, match="the columns 'position', 'description'"):
        read(XlsxReader(path))
    (tmp_path / "text.xlsx").write_text("no workbook")
    with zipfile.ZipFile(tmp_path / "bomb.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b" " * (64 << 20))
    for name, said in (("text.xlsx", "not a zip file"), ("bomb.xlsx", "unpacks to 64 MB")):
        with pytest.raises(UserError, match=said):
            read(XlsxReader(str(tmp_path / name)))
