"""Texts of real PDFs and DOCX files, and of what is none."""

import io
import zipfile
import zlib
from pathlib import Path

import docx
import pytest
from pypdf import PdfReader, PdfWriter

from hr_retrieval.errors import UserError
from hr_retrieval.resumes.docx import docx_text
from hr_retrieval.resumes.pdf import pdf_text
from hr_retrieval.resumes.resume import Limits, resume_text
from hr_retrieval.resumes.worker import text_of
from tests.resumes.files import LINES, docx_of, pdf_of


def test_a_pdf_and_a_docx_in_both_languages_are_read() -> None:
    for content in (pdf_of(LINES), docx_of(LINES)):
        text = resume_text(content, Limits())
        assert [line.strip() for line in text.splitlines() if line.strip()] == list(LINES)


def test_tables_of_a_docx_are_read_in_their_place() -> None:
    file = docx.Document()
    file.add_paragraph("Опыт")
    table = file.add_table(2, 2)
    for place, text in enumerate(("2019", "сварщик", "2021", "welder")):
        table.cell(place // 2, place % 2).text = text
    table.cell(0, 0).merge(table.cell(0, 1))
    file.add_paragraph("Education")
    stream = io.BytesIO()
    file.save(stream)
    assert docx_text(stream.getvalue(), 1 << 24).split() == ["Опыт", "2019", "сварщик", "2021", "welder", "Education"]


def test_plain_text_is_read_in_both_usual_encodings() -> None:
    for encoding in ("utf-8", "utf-8-sig", "cp1251"):
        assert text_of("Сварщик, Welder".encode(encoding), 30, 50_000, 1 << 30) == "Сварщик, Welder"


def test_what_cannot_be_read_is_one_error() -> None:
    whole = pdf_of(LINES)
    locked = PdfWriter(clone_from=PdfReader(io.BytesIO(whole)))
    locked.encrypt("secret", algorithm="RC4-128")
    stream = io.BytesIO()
    locked.write(stream)
    cases = [
        (pdf_of(()), "as a scanner makes them"),
        (whole[: len(whole) // 2], "a PDF|a whole PDF"),
        (b"%PDF-1.7 this is none", "a whole PDF"),
        (stream.getvalue(), "without a password"),
        (docx_of(LINES)[:500], "a whole DOCX"),
        (b"PK\x03\x04 no archive", "a whole DOCX"),
        (bytes(range(256)) * 20, "neither"),
        (b"", "a file with words"),
        (b" . ", "a file with words"),
        ("слово ".encode() * 20_000, "at most 50,000 letters"),
    ]
    for content, said in cases:
        with pytest.raises(UserError, match=said):
            text_of(content, 30, 50_000, 1 << 30)
    with pytest.raises(UserError, match="at most 10 MB"):
        resume_text(b"x" * (11 << 20), Limits())
    with pytest.raises(UserError, match="scanner"):
        resume_text(pdf_of(()), Limits())


def test_pages_and_unpacked_bytes_have_a_limit() -> None:
    with pytest.raises(UserError, match="at most 2 pages; got 3"):
        pdf_text(pdf_of(LINES, pages=3), 2)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b" " * (80 << 20))
    with pytest.raises(UserError, match="at most 64 MB unpacked"):
        text_of(bomb.getvalue(), 30, 50_000, 1 << 30)


def test_a_pdf_that_unpacks_without_end_is_stopped() -> None:
    packed = zlib.compress(zlib.compress(b"BT (a) Tj ET " * (1 << 24), 9), 9)
    stream = b"4 0 obj <</Length %d /Filter [/FlateDecode /FlateDecode]>> stream\n%b\nendstream endobj\n" % (
        len(packed),
        packed,
    )
    pdf = (
        b"%PDF-1.4\n1 0 obj <</Type /Catalog /Pages 2 0 R>> endobj\n2 0 obj <</Type /Pages /Kids [3 0 R] /Count 1>> endobj\n"
        b"3 0 obj <</Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R>> endobj\n" + stream
        + b"trailer <</Root 1 0 R /Size 5>>\n%%EOF"
    )  # fmt: skip
    with pytest.raises(UserError, match=r"PDF|takes more"):
        resume_text(pdf, Limits(seconds=3, memory=600 << 20))


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    resume_text(docx_of(LINES), Limits())
    assert list(tmp_path.iterdir()) == []
