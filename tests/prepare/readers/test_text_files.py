"""Encodings, broken bytes, and files that are no text."""

from pathlib import Path
from typing import Any

import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.readers.csv import CsvReader
from hr_retrieval.prepare.readers.json_lines import JsonLinesReader
from tests.prepare.readers.sources import read, rejected_of, rows_of, write_text


def test_the_wrong_encoding_names_the_byte(tmp_path: Path) -> None:
    content = "position,description\n" + "a,b\n" * 300_000
    (tmp_path / "rows.csv").write_bytes(content.encode() + "я,b\n".encode("cp1251"))
    with pytest.raises(UserError, match=f"0xff at offset {len(content)}.*cp1251"):
        read(CsvReader(str(tmp_path / "rows.csv")))
    (tmp_path / "rows.jsonl").write_bytes('{"position": "я"}'.encode("cp1251"))
    with pytest.raises(UserError, match=r"offset 14.*data\.reader\.encoding"):
        read(JsonLinesReader(str(tmp_path / "rows.jsonl")), ["position"])


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_broken_bytes(tmp_path: Path, kind: str) -> None:
    rows = [f"работа {number}" for number in range(20)]
    reader: Any
    if kind == "csv":
        content, reader = "".join(["position\n", *(f"{text}\n" for text in rows)]).encode(), CsvReader
    else:
        content, reader = "".join(f'{{"position": "{text}"}}\n' for text in rows).encode(), JsonLinesReader
    broken = content.replace("работа 7".encode(), "работа 7".encode()[1:])
    path = write_text(tmp_path, broken)
    with pytest.raises(
        UserError, match=r"19 of the 20 lines beyond ASCII are utf-8.*errors=replace.*errors=reject"
    ) as raised:
        read(reader(path), ["position"])
    assert "encoding" not in raised.value.remedy
    batches = read(reader(path, errors="replace"), ["position"])
    assert [row["position"] for row in rows_of(batches)] == [*rows[:7], "\ufffdабота 7", *rows[8:]]
    batches = read(reader(path, errors="reject"), ["position"])
    assert [row["position"] for row in rows_of(batches)] == [*rows[:7], *rows[8:]]
    assert [(row, reason) for row, reason, _ in rejected_of(batches)] == [(7, "broken bytes")]
    assert "\ufffdабота 7" in rejected_of(batches)[0][2]
    # Another encoding decodes all of it, and every text is wrong.
    for encoding in ("latin-1", "koi8-r"):
        with pytest.raises(UserError, match=r"utf-8 in 19 of the first 20.*encoding=utf-8"):
            read(reader(path, encoding=encoding), ["position"])
    # And nothing is left of a file in another encoding, whatever broken bytes do.
    path = write_text(tmp_path, content.decode().encode("cp1251"))
    for errors in ("strict", "replace", "reject"):
        with pytest.raises(UserError, match=r"encoding=cp1251"):
            read(reader(path, errors=errors), ["position"])


@pytest.mark.parametrize(
    ("written", "said", "right"),
    [
        ("utf-16", "utf-8", "utf-16"),
        ("utf-16-le", "utf-8", "utf-16-le"),
        ("utf-16-be", "cp1251", "utf-16-be"),
        ("utf-16-le", "utf-16", "utf-16-le"),
        ("utf-8", "utf-16", "utf-8"),
        ("koi8-r", "utf-8", "koi8-r"),
    ],
)
def test_the_right_encoding_is_named(tmp_path: Path, written: str, said: str, right: str) -> None:
    content = "position,description\n" + "инженер производства,описание работы\n" * 5
    path = write_text(tmp_path, content.encode(written))
    with pytest.raises(UserError, match=rf"encoding={right}\b"):
        read(CsvReader(path, encoding=said))
    assert len(rows_of(read(CsvReader(path, encoding=right)))) == 5


def test_a_byte_order_mark_is_no_text_in_any_encoding(tmp_path: Path) -> None:
    for encoding in ("utf-8", "utf-16-le", "utf-16-be", "utf-16"):
        mark = "" if encoding == "utf-16" else "\ufeff"
        path = write_text(tmp_path, f"{mark}position,description\na,b\n".encode(encoding))
        assert rows_of(read(CsvReader(path, encoding=encoding))) == [{"position": "a", "description": "b"}]


@pytest.mark.parametrize("reader", [CsvReader, JsonLinesReader])
@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"\x1f\x8b\x08", "gzip"),
        (b"PK\x03\x04", "Excel"),
        (b"PAR1", "data=parquet"),
        (b"version https://git-lfs.gi", "git lfs pull"),
    ],
)
def test_what_is_no_text_is_named(tmp_path: Path, reader: Any, start: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(reader(write_text(tmp_path, start + bytes(100))))
