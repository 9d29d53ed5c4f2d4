"""Readers: every format gives the same rows, and bad files say what is wrong."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.readers import files as raw
from hr_retrieval.prepare.readers.files import CsvReader, JsonLinesReader, ParquetReader, PickleReader, RawBatch, Reader

ROWS = [
    {"position": "Инженёр; ПТО", "description": 'строка\nи "ещё", одна'},
    {"position": "nan", "description": "b"},
    {"position": "c", "description": ""},
]
WANTED = ["position", "description"]


def read(reader: Reader, wanted: Sequence[str] = WANTED) -> list[RawBatch]:
    return list(reader.batches(wanted))


def rows_of(batches: list[RawBatch]) -> list[dict[str, Any]]:
    return [dict(row) for batch in batches for row in batch.values]


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
    monkeypatch.setattr(raw, "BATCH_ROWS", 2)
    batches = read(write(tmp_path, kind))
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


def test_the_wrong_encoding_names_the_byte(tmp_path: Path) -> None:
    content = "position,description\n" + "a,b\n" * 300_000
    (tmp_path / "rows.csv").write_bytes(content.encode() + "я,b\n".encode("cp1251"))
    with pytest.raises(UserError, match=f"0xff at offset {len(content)}.*cp1251"):
        read(CsvReader(str(tmp_path / "rows.csv")))
    (tmp_path / "rows.jsonl").write_bytes('{"position": "я"}'.encode("cp1251"))
    with pytest.raises(UserError, match=r"offset 14.*data\.reader\.encoding"):
        read(JsonLinesReader(str(tmp_path / "rows.jsonl")), ["position"])


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


def test_something_else_that_is_called_parquet(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_text("position,description\na,b\n")
    with pytest.raises(UserError, match="Parquet"):
        read(ParquetReader(str(tmp_path / "rows.parquet")))


def write_text(folder: Path, content: str | bytes, name: str = "rows.csv") -> str:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return str(folder / name)


def rejected_of(batches: list[RawBatch]) -> list[tuple[int, str, str]]:
    return [(fault.row, fault.reason, fault.content) for batch in batches for fault in batch.rejected]


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
    monkeypatch.setattr(raw, "_LONGEST_CELL", 100)
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


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("separators", [None, (",\n", ":")])
def test_a_json_array_is_rows(tmp_path: Path, indent: int | None, separators: Any) -> None:
    content = json.dumps([*ROWS, 7], indent=indent, separators=separators, ensure_ascii=False)
    batches = read(JsonLinesReader(write_text(tmp_path, f"\n{content}\n")))
    assert rows_of(batches) == ROWS
    assert rejected_of(batches) == [(3, "not a JSON object", "7")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"position": 1}, {"position": }]', "element 1"),
        ('[{"position": 1},\n{"position": "a', "element 1"),
        ('[{"position": 1}]\n[{"position": 2}]\n', "text behind"),
        ("[" * 100_000, "element 0"),
        ("[", "element 0"),
    ],
)
def test_arrays_that_do_not_parse(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(JsonLinesReader(write_text(tmp_path, content)), ["position"])


def test_lines_that_python_reads_otherwise_are_rejected(tmp_path: Path) -> None:
    lines = ['{"position": "a"}', '{"position": ' + "9" * 5000 + "}", "[" * 100_000, '"text"', '{"position": "b"},']
    batches = read(JsonLinesReader(write_text(tmp_path, "\n".join(lines))), ["position"])
    assert rows_of(batches) == [{"position": "a"}]
    assert [(row, reason) for row, reason, _ in rejected_of(batches)] == [
        (row, "not a JSON object") for row in (1, 2, 3, 4)
    ]


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


def test_a_damaged_page(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pd.DataFrame({"position": [f"text {number}" * 50 for number in range(500)]}).to_parquet(path)
    content = bytearray(path.read_bytes())
    content[100:2000] = bytes(1900)
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"a whole Parquet file at .*rows\.parquet"):
        read(ParquetReader(str(path)), ["position"])


@pytest.mark.parametrize("reader", [CsvReader, ParquetReader, JsonLinesReader, PickleReader])
def test_a_file_that_may_not_be_read(tmp_path: Path, reader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What root may read all the same."""
    path = write_text(tmp_path, "x")

    def refuse(*arguments: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(raw.pq, "ParquetFile", refuse)
    with pytest.raises(UserError, match="Permission denied"):
        read(reader(path))


def test_numbered_columns_of_a_frame(tmp_path: Path) -> None:
    pd.DataFrame([["a", "b"]]).to_pickle(tmp_path / "rows.pkl")
    assert rows_of(read(PickleReader(str(tmp_path / "rows.pkl")), ["0", "1"])) == [{"0": "a", "1": "b"}]
    frame = pd.DataFrame([["a", "b"]], columns=[0, "0"])
    frame.to_pickle(tmp_path / "rows.pkl")
    with pytest.raises(UserError, match="several"):
        read(PickleReader(str(tmp_path / "rows.pkl")), ["0"])


def test_settings_that_a_command_line_makes_numbers_of(tmp_path: Path) -> None:
    path = write_text(tmp_path, "position1description\na1b\n", "2024")
    reader = CsvReader([path], delimiter=1, encoding=1251, quote=None)
    assert rows_of(read(reader)) == [{"position": "a", "description": "b"}]
