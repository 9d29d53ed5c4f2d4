"""JSON objects as rows: one a line, or the elements of one array."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.clean import json_value
from hr_retrieval.prepare.readers.reader import (
    BATCH_ROWS,
    RawBatch,
    SourceFile,
    Unreadable,
    as_json,
    check_columns,
    sorted_out,
)
from hr_retrieval.prepare.readers.text_files import BROKEN, TextFiles, broken, text_lines


@dataclass(frozen=True)
class JsonLinesReader(TextFiles):
    """One JSON object a line, or one array of objects; a cell may be a list. A key that a row lacks is null there."""

    def batches(self, wanted: Sequence[str]) -> Iterator[RawBatch]:
        """The rows; a line that is no JSON object is rejected."""
        for file in self.inputs():
            checked = False
            numbered = enumerate(json_rows(file, self.encoding, self.errors))
            while block := list(itertools.islice(numbered, BATCH_ROWS)):
                kept, rejected = sorted_out(file, block)
                if kept and not checked:
                    # Keys may be left out where they are null; what no line of the first block has
                    # is misspelt.
                    check_columns(file, sorted({name for _, line in kept for name in line}), wanted)
                    checked = True
                values = [{name: line.get(name) for name in wanted} for _, line in kept]
                yield RawBatch(str(file), [row for row, _ in kept], values, rejected)


def json_rows(file: SourceFile, encoding: str, errors: str) -> Iterator[Mapping[str, Any] | Unreadable | None]:
    """The objects of a file of JSON lines, or of one JSON array; `None` for a blank line.

    Raises:
        UserError: as `text_lines`; or the file is empty, or an array that does not parse.
    """
    lines = text_lines(file, encoding, errors)
    blank = 0
    for first in lines:
        if first.strip():
            break
        blank += 1
    else:
        raise UserError("JSON lines", f"{file}, which is empty", "Give a file with rows.")
    everything = itertools.chain([first], lines)
    if first.lstrip().startswith("["):
        yield from map(_as_row, _elements(file, everything))
        return
    yield from [None] * blank
    yield from map(json_row, everything)


def json_row(line: str) -> Mapping[str, Any] | Unreadable | None:
    """The object that a line holds; `None` for a blank line."""
    if BROKEN in line:
        return broken(line)
    if not line.strip():
        return None
    try:
        return _as_row(json_value(line))
    except ValueError:
        return _no_object(as_json(line.rstrip("\r\n")))


def _as_row(value: Any) -> Mapping[str, Any] | Unreadable:
    return value if isinstance(value, Mapping) else _no_object(as_json(value))


def _no_object(content: str) -> Unreadable:
    remedy = (
        "Write one object a line: jq -c . rows.json > rows.jsonl (jq -c '.[]' where they are elements of an array)."
    )
    return Unreadable("not a JSON object", content, remedy)


def _elements(file: SourceFile, lines: Iterator[str]) -> Iterator[Any]:
    """The elements of one JSON array, each parsed as soon as its lines are there."""
    decoder = json.JSONDecoder()
    text, place, count = next(lines).lstrip(), 1, 0
    while True:
        while place < len(text) and text[place] in " \t\r\n,":
            place += 1
        if text[place : place + 1] == "]":
            if text[place + 1 :].strip() or any(line.strip() for line in lines):
                raise _broken_array(file, count, "text behind the array")
            return
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            # What is only cut off by the end of the lines is at fault there.
            more = _lines_of(lines, len(text) - place) if getattr(error, "pos", 0) >= len(text.rstrip()) else ""
            if not more:
                raise _broken_array(file, count, str(error)) from None
            text, place = text[place:] + more, 0
            continue
        yield value
        count += 1


def _lines_of(lines: Iterator[str], letters: int) -> str:
    """The next lines, of so many letters together: as many again as are there, so that none is parsed too often."""
    taken, size = [], 0
    for line in lines:
        taken.append(line)
        size += len(line)
        if size >= letters:
            break
    return "".join(taken)


def _broken_array(file: SourceFile, count: int, fault: str) -> UserError:
    return UserError(
        f"a JSON array of objects in {file}",
        f"element {count}: {fault}",
        "Write one object a line instead: then what is broken is left out alone.",
    )
