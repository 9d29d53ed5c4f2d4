"""Sound files of every source, and what is done to them: each is a `Kind`, each edit a tuple of numbers and bytes.

It is longer than other files since it writes every format that is read, each in a few lines.
"""

import bz2
import csv
import functools
import gzip
import io
import json
import lzma
import pickle
import sqlite3
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from hr_retrieval.prepare.columns import Columns
from hr_retrieval.prepare.readers.beir import BeirReader
from hr_retrieval.prepare.readers.csv import CsvReader
from hr_retrieval.prepare.readers.esco import EscoReader
from hr_retrieval.prepare.readers.esco_download import EscoDownloadReader
from hr_retrieval.prepare.readers.hh import HhReader
from hr_retrieval.prepare.readers.json_lines import JsonLinesReader
from hr_retrieval.prepare.readers.mteb import MtebReader
from hr_retrieval.prepare.readers.onet import OnetReader
from hr_retrieval.prepare.readers.onet_work import OnetWorkReader
from hr_retrieval.prepare.readers.parquet import ParquetReader
from hr_retrieval.prepare.readers.pickle import PickleReader
from hr_retrieval.prepare.readers.reader import Reader
from hr_retrieval.prepare.readers.resume_files import ResumeReader
from hr_retrieval.prepare.readers.sql import SqlReader
from hr_retrieval.prepare.readers.trec import TrecReader
from hr_retrieval.prepare.readers.xlsx import XlsxReader
from tests.resumes.files import LINES, docx_of

Row = dict[str, Any]
Files = dict[str, bytes]
Edit = tuple[str, int, int, int, bytes]
NAMES = ("name", "description", "group", "relevance", "weight", "date", "language")
_QUOTED = ", ".join(f'"{name}"' for name in NAMES)
# No file is made larger.
MOST = 1 << 20

TEXTS = (
    "повар", "Cook in a hotel, tel. +7 912 345-67-89", "=cmd|' /C calc'!A0", "مرحبا 😀", "co\u202eok\u2066\u200f", "\0", "", " ",
    "nan", "[]", "['a', 'b']", '["a", null]', "(" * 50, "[" * 3000, "<div>" * 300, "&amp;" * 99, "1e5", "2024-01-01", "31.01.2026",
    "9999-12-31T23:59:60+99:99", "9" * 5000, "1e999", "-0", "Infinity", "ru", "pt-BR", "a\ud800b", "\udfff", "\ufdd0\uffff", "a\x1b[2Jb",
    "a@b.cc", "a@b.cc " * 600, "+7 912 345-67-89 " * 300, "http://a.b/" * 400, "Иван Иванов " * 400, "1 " * 4000, "../../x", "word " * 60_000,
    "Ð¿Ð¾Ð²Ð°Ñ€", "e\u0301" * 999, "\n\r\n", "a;b,c\td|e", '"', "''", "\\",
    # Words of patterns, of which each may begin to look through all that follow.
    "родил" * 20_000, "рожд" * 20_000, "паспорт" * 20_000, "born jan" * 10_000, f"А{'а' * 60_000}ович\nтел. +7 912 345-67-89", "['a\\x', 'b']",
)  # fmt: skip
NUMBERS = (
    *(0, 1, 2, -1, 3.0, 0.5, 2**31, 2**63 - 1, 2**63, 10**30, 1e308, float("nan"), float("inf"), True),
    None,
)
CELLS = st.one_of(st.sampled_from(TEXTS), st.sampled_from(NUMBERS), st.text(max_size=12), st.integers(), st.floats())
ROWS = st.lists(
    st.fixed_dictionaries(
        {name: CELLS if name != "description" else CELLS | st.lists(CELLS, max_size=3) for name in NAMES}
    ),
    min_size=1,
    max_size=3,
)
SOUND: tuple[Row, ...] = tuple(
    {"name": f"повар {n}", "description": f"Готовит, cooks {n} meals.", "group": f"g{n}", "relevance": n % 4, "weight": 1.5,
     "date": f"2026-01-{n + 1:02}", "language": "ru"}
    for n in range(4)
)  # fmt: skip
# What has broken readers elsewhere.
PIECES = (
    b"\0", b"\xff\xfe", b"\xff\xfe\0\0", b"\xef\xbb\xbf", b'"', b"'", b"\r", b"\n\n", b"\t", b"\xed\xa0\x80", b"\xf0\x9f", "\u202e".encode(),
    b"[" * 3000, b"{" * 3000, b'{"a":' * 2000, b"<div>" * 300, b"9" * 400, b"9" * 5000, b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"BZh9",
    b"\xfd7zXZ\0", b"PK\x03\x04", b"PK\x05\x06", b"%PDF-", b"NaN", b"null", b"{}", b"[]", b"true", b"-1", b"1e999", b"\\ud800", b"\\u0000",
    b"\x1b[2J", b"../../../../tmp/x", b"file:///etc/passwd", b"&a;", b"&#0;", b"&#xD800;", b"]]>", b"=cmd|' /C calc'!A0",
    b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>', b"cos\nsystem\n(S'x'\ntR.", b"\xff" * 8, b"\x7f\xff\xff\xff", b"\0" * 64,
    b"\x80\x05", b"a@b.cc ", b"\xe2\x80\xa8",
)  # fmt: skip
# put: bytes in the place of some; flip: a bit; cut: what stands behind; again: a part, many times.
EDITS = st.lists(
    st.tuples(
        st.sampled_from(("put", "put", "flip", "cut", "again")),
        st.integers(0, 1 << 16),
        st.integers(0, 40),
        st.integers(0, 1 << 15),
        st.sampled_from(PIECES) | st.binary(max_size=6),
    ),
    max_size=4,
)
# Rows as they come or sound ones, edits of what is packed, and of what it is packed into: mostly one of them.
CASES = st.tuples(
    st.just(SOUND) | ROWS,
    st.just([]) | EDITS,
    st.just([]) | st.just([]) | EDITS,
)


@dataclass(frozen=True)
class Kind:
    """One source.

    Attributes:
        write: its files by their paths, of some rows; of what is packed, the parts before they are.
        reader: of the folder that they are in.
        columns: what is mapped; one of these.
        pack: the parts as files.
    """

    write: Callable[[Sequence[Row]], Files]
    reader: Callable[[Path], Reader]
    columns: tuple[Columns, ...]
    pack: Callable[[Files], Files] = lambda files: files


def edited(files: Files, edits: Sequence[Edit]) -> Files:
    """The files after the edits; of several files each edit is of one."""
    changed = dict(files)
    for kind, place, count, times, piece in edits:
        name = sorted(changed)[times % len(changed)]
        content = changed[name]
        at = place % (len(content) + 1)
        if kind == "put":
            content = content[:at] + piece + content[at + count :]
        elif kind == "flip" and at < len(content):
            content = content[:at] + bytes([content[at] ^ 1 << count % 8]) + content[at + 1 :]
        elif kind == "cut":
            content = content[:at]
        elif kind == "again":
            part = content[at : at + count]
            content = content[:at] + part * min(times, MOST // (len(part) or 1)) + content[at:]
        changed[name] = content[:MOST]
    return changed


def placed(files: Mapping[str, bytes], folder: Path) -> None:
    """Write the files into the folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def zipped(parts: Mapping[str, bytes]) -> bytes:
    """An archive of these members."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return sink.getvalue()


def workbook(sheet: str, strings: str = "") -> dict[str, bytes]:
    """The parts of an Excel workbook, of the rows of its sheet as XML."""
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
        f'<Override PartName="/xl/sharedStrings.xml" ContentType="{kind}.sharedStrings+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kind}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" Type="{office}/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook {main} xmlns:r="{office}"><sheets><sheet name="a" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" Type="{office}/worksheet" '
        f'Target="worksheets/sheet1.xml"/><Relationship Id="r2" Type="{office}/sharedStrings" Target="sharedStrings.xml"/></Relationships>',
        "xl/sharedStrings.xml": f"<sst {main}>{strings}</sst>",
        "xl/worksheets/sheet1.xml": f"<worksheet {main}><sheetData>{sheet}</sheetData></worksheet>",
    }  # fmt: skip
    return {name: f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode() for name, text in parts.items()}


def pdf_with(stream: bytes, filters: bytes = b"") -> bytes:
    """A PDF of one page whose content is a stream."""
    objects = (
        b"<</Type /Catalog /Pages 2 0 R>>",
        b"<</Type /Pages /Kids [3 0 R] /Count 1>>",
        b"<</Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R /Resources <</Font <</F 5 0 R>>>>>>",
        b"<</Length %d %b>> stream\n%b\nendstream" % (len(stream), filters, stream),
        b"<</Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding>>",
    )
    pdf, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(pdf))
        pdf += b"%d 0 obj %b endobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return pdf + b"xref\n0 6\n0000000000 65535 f \n%btrailer <</Root 1 0 R /Size 6>>\nstartxref\n%d\n%%%%EOF" % (
        table, len(pdf),
    )  # fmt: skip


def _text(cell: Any) -> str:
    return json.dumps(cell, default=str) if isinstance(cell, list) else "" if cell is None else str(cell)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _table(rows: Sequence[Sequence[Any]], delimiter: str = ",", quoted: bool = True) -> bytes:
    sink = io.StringIO()
    if quoted:
        csv.writer(sink, delimiter=delimiter, lineterminator="\n").writerows(
            [[_text(cell) for cell in row] for row in rows]
        )
    else:
        sink.writelines(delimiter.join(map(_text, row)) + "\n" for row in rows)
    return _bytes(sink.getvalue())


def _csv(rows: Sequence[Row]) -> Files:
    return {"f.csv": _table([NAMES, *(list(row.values()) for row in rows)])}


def _lines(rows: Sequence[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _hh(row: Row) -> Row:
    return {
        "id": row["group"],
        "name": row["name"],
        "description": row["description"] if row["relevance"] else None,
        "snippet": {"requirement": row["description"], "responsibility": row["name"]},
        "key_skills": row["description"] if row["weight"] == 1.5 else [{"name": row["language"]}],
        "published_at": row["date"],
    }


def _column(cells: Sequence[Any]) -> pa.Array:
    """An Arrow column as near to the cells as one type allows."""
    try:
        return pa.array(cells)
    except (pa.ArrowException, OverflowError, UnicodeError):
        return pa.array([_bytes(_text(cell)) for cell in cells], pa.binary()).cast(pa.string(), safe=False)


def _parquet(columns: Mapping[str, Sequence[Any]]) -> bytes:
    sink = io.BytesIO()
    arrays = {name: _column(cells) for name, cells in columns.items()}
    pq.write_table(pa.table(arrays), sink, compression="none")
    return sink.getvalue()


def _by_name(rows: Sequence[Row], names: Sequence[str] = NAMES) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in names}


def _sqlite(rows: Sequence[Row]) -> Files:
    base = sqlite3.connect(":memory:")
    base.execute(f"CREATE TABLE jobs ({_QUOTED})")
    for row in rows:
        cells = [_bytes(_text(cell)) if not isinstance(cell, float | None) else cell for cell in row.values()]
        # As texts, of whatever bytes.
        base.execute(f"INSERT INTO jobs VALUES ({', '.join('CAST(? AS TEXT)' for _ in cells)})", cells)
    base.commit()
    return {"f.db": base.serialize()}


def _xlsx(rows: Sequence[Row]) -> Files:
    def cell(value: Any) -> str:
        if isinstance(value, bool):
            return f'<c t="b"><v>{int(value)}</v></c>'
        if isinstance(value, int | float):
            return f"<c><v>{value}</v></c>"
        text = escape(_text(value))
        if text.startswith("="):
            return f"<c><f>{text[1:]}</f><v>1</v></c>"
        return f'<c t="d"><v>{text}</v></c>' if text[:2].isdigit() else f'<c t="inlineStr"><is><t>{text}</t></is></c>'

    table = [list(NAMES), *(list(row.values()) for row in rows)]
    sheet = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in table)
    return workbook(sheet.encode("utf-8", "replace").decode())


def _benchmark(rows: Sequence[Row]) -> Files:
    return {
        "queries.tsv": _table([(f"q{n}", row["name"]) for n, row in enumerate(rows)], "\t", False),
        "corpus_elements.tsv": _table([("c_id", "skill_aliases"), *((f"c{n}", row["description"]) for n, row in enumerate(rows))], "\t", False),
        "annotations.tsv": _table([(f"q{n}", 0, f"c{n}", row["relevance"]) for n, row in enumerate(rows)], "\t", False),
    }  # fmt: skip


def _beir(rows: Sequence[Row]) -> Files:
    numbered = list(enumerate(rows))
    return {
        "corpus.jsonl": _lines([{"_id": f"c{n}", "title": row["name"], "text": row["description"]} for n, row in numbered]),
        "queries.jsonl": _lines([{"_id": row["group"], "text": row["name"]} for _, row in numbered]),
        "qrels/test.tsv": _table([("q", "c", "score"), *((row["group"], f"c{n}", row["relevance"]) for n, row in numbered)], "\t", False),
    }  # fmt: skip


def _mteb(rows: Sequence[Row]) -> Files:
    ids = [row["group"] for row in rows]
    return {
        "corpus/a.parquet": _parquet({"_id": ids, "title": [row["name"] for row in rows], "text": [row["description"] for row in rows]}),
        "queries/a.parquet": _parquet({"_id": ids, "text": [row["name"] for row in rows]}),
        "qrels/test.parquet": _parquet({"query-id": ids, "corpus-id": ids, "score": [row["relevance"] for row in rows]}),
    }  # fmt: skip


def _esco(rows: Sequence[Row]) -> Files:
    occupations = [("conceptUri", "preferredLabel", "altLabels", "description", "iscoGroup")]
    occupations += [(r["group"], r["name"], r["description"], r["description"], r["date"]) for r in rows]
    return {
        "occupations_en.csv": _table(occupations),
        "skills_en.csv": _table([("conceptUri", "preferredLabel"), *((r["group"], r["name"]) for r in rows)]),
        "occupationSkillRelations.csv": _table(
            [("occupationUri", "relationType", "skillUri"), *((r["group"], "essential", r["group"]) for r in rows)]
        ),
    }


def _onet(rows: Sequence[Row]) -> Files:
    code = "O*NET-SOC Code"
    occupations = [(code, "Title", "Description"), *((r["group"], r["name"], r["description"]) for r in rows)]
    titles = [(code, "Alternate Title", "Short Title"), *((r["group"], r["name"], r["language"]) for r in rows)]
    return {
        "Occupation Data.txt": _table(occupations, "\t", False),
        "Alternate Titles.txt": _table(titles, "\t", False),
    }


def _onet_work(rows: Sequence[Row]) -> Files:
    header = ("O*NET-SOC Code", "Title", "Task ID", "Task", "DWA ID", "DWA Title")
    cells = [(r["group"], r["name"], r["weight"], r["description"], r["date"], r["name"]) for r in rows]
    return {"f.csv": _table([header, *cells])}


@functools.cache
def _docx() -> Files:
    with zipfile.ZipFile(io.BytesIO(docx_of(("Position: welder", *LINES)))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _pdf(rows: Sequence[Row]) -> Files:
    shown = b"".join(b"(%b) Tj 0 -14 Td\n" % _text(r["description"])[:2000].encode("cp1251", "replace") for r in rows)
    return {"f.pdf": pdf_with(b"BT /F 12 Tf 50 780 Td (Objective: Cook) Tj 0 -14 Td\n" + shown + b"ET")}


@dataclass(frozen=True)
class _EscoHere(EscoReader):
    folder: str = ""

    def inputs(self) -> list[Path]:
        return [Path(self.folder, "f.csv")]


@dataclass(frozen=True)
class _OnetWorkHere(OnetWorkReader):
    folder: str = ""

    def inputs(self) -> list[Path]:
        return [Path(self.folder, "f.csv")]


def _packed(suffix: str, pack: Callable[[bytes], bytes]) -> Callable[[Files], Files]:
    return lambda parts: {f"{name}{suffix}": pack(content) for name, content in parts.items()}


def _path(name: str, reader: Any, **options: Any) -> Callable[[Path], Reader]:
    def make(folder: Path) -> Reader:
        own: Reader = reader(str(folder / name), **options)
        return own

    return make


_PLAIN = (
    Columns("name", "description"),
    Columns("name", "description", group="group", anchor_id="date", lists=["description"], joined=["description"]),
    Columns("description", "name", "language", relevance="relevance", weight="weight", positive_id="group"),
    Columns("name", "description", date="date", language="language", related="group"),
    Columns("name", "description", split="language"),
)
_JUDGED = (
    Columns("query", "positive", "negative", anchor_id="query-id", positive_id="corpus-id", split="split"),
    Columns("query", "positive", "negative", anchor_id="query-id", positive_id="corpus-id", relevance="relevance"),
)
_VACANCIES = (
    Columns("title", "description", anchor_id="vacancy_id"),
    Columns("title", "skills", date="published_at"),
)
_RESUMES = (Columns("text", "title", group="folder"), Columns("text", "text", anchor_id="file"))

KINDS = {
    "csv": Kind(_csv, _path("f.csv", CsvReader), _PLAIN),
    "csv-rejecting": Kind(_csv, _path("f.csv", CsvReader, errors="reject", escape="\\"), _PLAIN),
    "csv-cp1251": Kind(
        lambda rows: {
            "f.csv": _table([NAMES, *(list(row.values()) for row in rows)], ";", False).decode("utf-8", "replace").encode("cp1251", "replace")
        },
        _path("f.csv", CsvReader, delimiter=";", encoding="cp1251", quote=""),
        _PLAIN,
    ),
    "csv-utf16": Kind(
        lambda rows: {"f.csv": _csv(rows)["f.csv"].decode("utf-8", "replace").encode("utf-16")},
        _path("f.csv", CsvReader, encoding="utf-16", errors="replace"),
        _PLAIN,
    ),
    "jsonl": Kind(lambda rows: {"f.jsonl": _lines(rows)}, _path("f.jsonl", JsonLinesReader), _PLAIN),
    "json": Kind(lambda rows: {"f.json": json.dumps(rows, indent=1).encode()}, _path("f.json", JsonLinesReader), _PLAIN),
    "hh": Kind(lambda rows: {"f.json": _lines([_hh(row) for row in rows])}, _path("f.json", HhReader), _VACANCIES),
    "hh-page": Kind(
        lambda rows: {"f.json": json.dumps({"items": [_hh(row) for row in rows]}, indent=1).encode()},
        _path("f.json", HhReader),
        _VACANCIES,
    ),
    "hh-csv": Kind(
        lambda rows: {"f.csv": _table([list(_hh(SOUND[0])), *(list(_hh(row).values()) for row in rows)], ";")},
        _path("f.csv", HhReader),
        _VACANCIES,
    ),
    "gzip": Kind(_csv, _path("f.csv.gz", CsvReader), _PLAIN, _packed(".gz", gzip.compress)),
    "bzip2": Kind(_csv, _path("f.csv.bz2", CsvReader), _PLAIN, _packed(".bz2", bz2.compress)),
    "xz": Kind(lambda rows: {"f.jsonl": _lines(rows)}, _path("f.jsonl.xz", JsonLinesReader), _PLAIN, _packed(".xz", lzma.compress)),
    "zstd": Kind(
        lambda rows: {"f.jsonl": _lines(rows)},
        _path("f.jsonl.zst", JsonLinesReader),
        _PLAIN,
        _packed(".zst", lambda content: bytes(pa.compress(content, "zstd", asbytes=True))),
    ),
    "parquet": Kind(lambda rows: {"f.parquet": _parquet(_by_name(rows))}, _path("f.parquet", ParquetReader), _PLAIN),
    "pickle": Kind(
        lambda rows: {"f.pkl": pickle.dumps(pd.DataFrame(_by_name(rows), dtype=object))},
        _path("f.pkl", PickleReader),
        _PLAIN,
    ),
    "xlsx": Kind(_xlsx, _path("f.xlsx", XlsxReader), _PLAIN, lambda parts: {"f.xlsx": zipped(parts)}),
    "sql": Kind(
        _sqlite,
        lambda folder: SqlReader(f"sqlite:///{folder / 'f.db'}", f"SELECT {_QUOTED} FROM jobs"),
        _PLAIN,
    ),
    "beir": Kind(_beir, _path("", BeirReader), _JUDGED),
    "trec": Kind(_benchmark, _path("", TrecReader), _JUDGED),
    "mteb": Kind(_mteb, _path("", MtebReader), _JUDGED),
    "esco": Kind(
        lambda rows: {"f.csv": _table([("id", "description"), *((r["group"], f"{r['name']} The {r['description']}") for r in rows)])},
        lambda folder: _EscoHere(tables=["occupations"], folder=str(folder)),
        (Columns("labels", "description"), Columns("title", "masked", anchor_id="id")),
    ),
    "esco-download": Kind(
        _esco,
        _path("", EscoDownloadReader, relations=["essential", "optional"]),
        (Columns("title", "description", related="isco_group"), Columns("alt_titles", "skills", group="concept_id")),
    ),
    "onet": Kind(
        _onet,
        _path("", OnetReader, lists=["alt_titles"]),
        (Columns("alt_titles", "description", group="onet_code", related="occupation"),),
    ),
    "onet-work": Kind(
        _onet_work,
        lambda folder: _OnetWorkHere(folder=str(folder)),
        (Columns("task", "title", group="code"), Columns("task", "activity", related="activity_group")),
    ),
    "pdf": Kind(_pdf, _path("*", ResumeReader), _RESUMES),
    "docx": Kind(lambda rows: _docx(), _path("*", ResumeReader), _RESUMES, lambda parts: {"f.docx": zipped(parts)}),
    "resume-text": Kind(
        lambda rows: {"f.txt": _bytes("Objective: " + "\n".join(_text(row["description"]) for row in rows))},
        _path("*", ResumeReader),
        _RESUMES,
    ),
}  # fmt: skip
