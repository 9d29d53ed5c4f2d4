"""Delimited text as rows."""

import csv
import itertools
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.readers.reader import (
    BATCH_ROWS,
    MAP_COLUMNS,
    FilesReader,
    RawBatch,
    Rejected,
    SourceFile,
    Unreadable,
    as_json,
    check_columns,
)
from hr_retrieval.prepare.readers.text_files import (
    BROKEN,
    BROKEN_BYTES,
    broken,
    check_encoding,
    text_lines,
    undecodable,
)

# An unclosed quote makes the rest of the file one cell; it is noticed here and not when memory is
# full.
_LONGEST_CELL = 1 << 24


@dataclass(frozen=True)
class CsvReader(FilesReader):
    """Delimited text.

    A record whose quotes do not match loses its first line only, which is rejected; the next one
    begins behind it.

    Args:
        delimiter: one character: `,`, `;` (as in exports of hh.ru), or `\\t` for a tab, which a
            shell does not pass on easily.
        encoding: any encoding that Python knows: utf-8, cp1251, utf-16.
        errors: what bytes do that the encoding does not know: `strict` is an error, `replace` puts
            U+FFFD in their place, `reject` leaves the row out.
        quote: the quote character, or an empty string if quotes have no meaning.
        escape: what stands before a quote, a delimiter, a line end or itself that is text: `\\` in
            files of Spark and MySQL; before anything else it is text. Empty for none.
        header: whether the first line names the columns; otherwise they are called 0, 1, 2, ...
        skip: lines before the header.
    """

    # A command line makes numbers of digits, and null of nothing: `Any` until `__post_init__` has
    # made text of it.
    delimiter: Any = ","
    encoding: Any = "utf-8"
    errors: str = "strict"
    quote: Any = '"'
    escape: Any = ""
    header: bool = True
    skip: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("delimiter", "encoding", "quote", "escape"):
            value = getattr(self, name)
            object.__setattr__(self, name, "" if value is None else str(value))
        signs = [sign for sign in (self._separator(), self.quote, self.escape) if sign]
        if (
            len(self._separator()) != 1
            or max(map(len, signs)) > 1
            or len(set(signs)) < len(signs)
            or not {"\r", "\n"}.isdisjoint(signs)
        ):
            raise UserError(
                "a delimiter of one character, a quote and an escape of at most one, all different",
                f"{self.delimiter!r}, {self.quote!r} and {self.escape!r}",
                "Set data.reader.delimiter, quote and escape so; a tab is written \\t.",
            )
        if self.skip < 0:
            raise UserError(
                "data.reader.skip of at least 0", str(self.skip), "Say how many lines stand before the header."
            )
        check_encoding(self.encoding, self.errors)

    def batches(self, wanted: Sequence[str]) -> Iterator[RawBatch]:
        """The rows; one whose number of cells is not that of the header is rejected."""
        files = self.inputs()
        for file in files:
            self._places(file, wanted)
        for file in files:
            yield from self._read(file, wanted)

    def _places(self, file: SourceFile, wanted: Sequence[str]) -> tuple[int, dict[str, int]]:
        """How many cells a row has, and where the wanted ones stand."""
        header = self.names(file)
        return len(header), check_columns(file, header, wanted, self._column_remedy(header))

    def _separator(self) -> str:
        return "\t" if self.delimiter == "\\t" else self.delimiter

    def names(self, file: SourceFile) -> list[str]:
        """The names of the columns."""
        first = next(self._records(file), [])
        if isinstance(first, Unreadable):
            if first.reason == BROKEN_BYTES:
                raise undecodable(file, self.encoding)
            raise UserError(f"a first line of cells in {file}", f"{first.content} ({first.reason})", first.remedy)
        if not first:
            raise UserError("a first line of cells", f"{file}, which has none", "Give a file with rows.")
        return first if self.header else [str(place) for place in range(len(first))]

    def _column_remedy(self, header: Sequence[str]) -> str:
        others = [sign for sign in (";", "\t", "|", ",") if sign != self._separator()]
        likely = [sign for sign in others if len(header) == 1 and sign in header[0]]
        if likely:
            sign = "\\t" if likely[0] == "\t" else likely[0]
            return f"The cells look separated by {sign!r}: set 'data.reader.delimiter=\"{sign}\"'."
        return (
            f"{MAP_COLUMNS} If its columns have no names: data.reader.header=false calls them 0, 1, ...; if lines "
            "stand before them: data.reader.skip=1."
        )

    def _read(self, file: SourceFile, wanted: Sequence[str]) -> Iterator[RawBatch]:
        name, (width, places) = str(file), self._places(file, wanted)
        numbered = enumerate(itertools.islice(self._records(file), int(self.header), None))
        while block := list(itertools.islice(numbered, BATCH_ROWS)):
            rows, values, rejected = [], [], []
            for row, cells in block:
                if isinstance(cells, Unreadable):
                    rejected.append(Rejected.of(file, row, cells))
                elif len(cells) == width:
                    rows.append(row)
                    values.append({column: cells[place] for column, place in places.items()})
                elif cells:
                    reason = f"{len(cells)} cells under a header of {width}"
                    content = as_json(cells)
                    rejected.append(Rejected(name, row, reason, content, self._quote_remedy(content)))
            yield RawBatch(name, rows, values, rejected)

    def _records(self, file: SourceFile) -> Iterator[list[str] | Unreadable]:
        csv.field_size_limit(_LONGEST_CELL)
        lines = _RecordLines(self._lines(file))
        records = self._parser(lines)
        while True:
            lines.record.clear()
            try:
                cells = next(records)
            except StopIteration:
                return
            except csv.Error as error:
                # The parser begins anew at each record.
                first = lines.give_back()
                yield Unreadable(str(error), as_json(first), self._quote_remedy(first))
                continue
            if self.errors == "reject" and any(BROKEN in line for line in lines.record):
                yield broken("".join(lines.record))
            else:
                yield cells

    def _lines(self, file: SourceFile) -> Iterator[str]:
        lines = itertools.islice(text_lines(file, self.encoding, self.errors), self.skip, None)
        if not self.escape:
            return lines
        # The parser takes any escaped character for text and drops the escape: before others it is
        # doubled.
        escape, meant = re.escape(self.escape), re.escape(self.escape + self.quote + self._separator() + "\r\n")
        lone = re.compile(f"{escape}(?:(?P<meant>[{meant}])|)")
        return (lone.sub(lambda found: found[0] if found["meant"] else found[0] * 2, line) for line in lines)

    def _parser(self, lines: Iterator[str]) -> Any:
        return csv.reader(
            lines,
            delimiter=self._separator(),
            quotechar=self.quote or None,
            escapechar=self.escape or None,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            strict=bool(self.quote),
        )

    def _quote_remedy(self, content: str) -> str:
        if self.quote and not self.escape and "\\" + self.quote in content:
            return "Quotes stand behind backslashes: set 'data.reader.escape=\\\\', as for files of Spark and MySQL."
        other = "quote='' if quotes have no meaning in it" if self.quote else "quote='\"' if its cells are quoted"
        return f"Set data.reader.delimiter, quote and escape as the file has them (data.reader.{other})."


class _RecordLines:
    """Lines, of which those of the present record are remembered and can be given back."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.record: list[str] = []
        self._lines, self._waiting = lines, deque[str]()

    def __iter__(self) -> "_RecordLines":
        return self

    def __next__(self) -> str:
        line = self._waiting.popleft() if self._waiting else next(self._lines)
        self.record.append(line)
        return line

    def give_back(self) -> str:
        """The record's first line; the others come again."""
        first, *others = self.record
        self._waiting.extendleft(reversed(others))
        return first
