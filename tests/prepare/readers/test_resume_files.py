"""Folders of résumés: texts, titles, and files that cannot be read rejected with the reason."""

from pathlib import Path

import pytest

from hr_retrieval.prepare.readers.resume_files import ResumeReader
from tests.prepare.readers.sources import read, rejected_of, rows_of
from tests.resumes import files


def test_each_file_is_a_row_or_rejected_with_its_reason(tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    (tmp_path / "cooks").mkdir()
    (tmp_path / "cooks" / "a.txt").write_text("Иванов Иван\nЖелаемая должность: повар\nПечь хлеб", encoding="utf-8")
    (tmp_path / "cooks" / "b.pdf").write_bytes(files.pdf_of(["Objective: baker", "Bread"]))
    (tmp_path / "scan.pdf").write_bytes(files.pdf_of([]))
    batches = read(ResumeReader(str(tmp_path)), ["title", "text", "folder"])
    assert [(row["title"], row["folder"]) for row in rows_of(batches)] == [("повар", "cooks"), ("baker", "cooks")]
    ((row, reason, content),) = rejected_of(batches)
    assert (row, reason) == (2, "expected a PDF with text")
    assert "scanner" in content


def test_a_file_that_may_not_be_read_is_rejected_without_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Anna Petrova.txt").write_text("x")

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    (fault,) = rejected_of(read(ResumeReader(str(tmp_path)), ["text"]))
    assert fault == (0, "expected a file that can be read", "Permission denied")
