"""JSON: lines and arrays."""

import json
from pathlib import Path
from typing import Any

import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.readers import json_lines
from hr_retrieval.prepare.readers.json_lines import JsonLinesReader
from tests.prepare.readers.sources import ROWS, read, rejected_of, rows_of, write_text


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


def test_an_element_of_many_lines_is_parsed_a_few_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []

    class Counted(json.JSONDecoder):
        def raw_decode(self, s: str, idx: int = 0) -> tuple[Any, int]:
            parsed.append(len(s))
            return super().raw_decode(s, idx)

    monkeypatch.setattr(json_lines.json, "JSONDecoder", Counted)
    row = {"position": "a", "description": [str(number) for number in range(20_000)]}
    content = json.dumps([row, row], indent=1)
    assert rows_of(read(JsonLinesReader(write_text(tmp_path, content)))) == [row, row]
    # As often as the letters double, and not once a line.
    assert sum(parsed) < 8 * len(content)


def test_lines_that_python_reads_otherwise_are_rejected(tmp_path: Path) -> None:
    lines = ['{"position": "a"}', '{"position": ' + "9" * 5000 + "}", "[" * 100_000, '"text"', '{"position": "b"},']
    batches = read(JsonLinesReader(write_text(tmp_path, "\n".join(lines))), ["position"])
    assert rows_of(batches) == [{"position": "a"}]
    assert [(row, reason) for row, reason, _ in rejected_of(batches)] == [
        (row, "not a JSON object") for row in (1, 2, 3, 4)
    ]
