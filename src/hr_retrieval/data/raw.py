"""Raw files as batches of rows: one reader a format, none of which holds a whole file (but a pickle)."""

import codecs
import csv
import glob
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import pyarrow as pa
import pyarrow.parquet as pq

from hr_retrieval.data.pickles import read_frame
from hr_retrieval.errors import UserError

BATCH_ROWS = 2048
# An unclosed quote makes the rest of the file one cell; it is noticed here and not when memory is full.
_LONGEST_CELL = 1 << 24


@dataclass(frozen=True)
class Rejected:
    """A row that was left out.

    Attributes:
        source: the file.
        row: its place in the file, from 0, as the format counts: CSV records behind the header, JSON lines.
        reason: why.
        content: the row as JSON.
    """

    source: str
    row: int
    reason: str
    content: str


@dataclass(frozen=True)
class RawBatch:
    """Some rows of one file.

    Attributes:
        source: the file.
        rows: the place of each row in it, from 0.
        values: the wanted columns of each row.
        rejected: rows that could not be read.
        corpus_only: whether the rows only bring documents (their positives), without anchors.
    """

    source: str
    rows: Sequence[int]
    values: Sequence[Mapping[str, Any]]
    rejected: Sequence[Rejected] = field(default=())
    corpus_only: bool = False


@runtime_checkable
class Reader(Protocol):
    """A source of rows."""

    def inputs(self) -> list[Path]:
        """The files that are read, for their checksums."""
        ...

    def batches(self, wanted: Sequence[str]) -> Iterator[RawBatch]:
        """The rows in the order of the files, with the wanted columns.

        Raises:
            UserError: a wanted column is missing in a file, or a file is empty or cannot be decoded.
        """
        ...


@dataclass(frozen=True)
class CsvReader:
    """Delimited text with a header line.

    Args:
        path: a file, a glob pattern or a list of them.
        delimiter: one character: `,`, `;` (as in exports of hh.ru), or `\\t` for a tab, which a shell does not pass on easily.
        encoding: any encoding that Python knows: utf-8, cp1251, utf-16.
        quote: the quote character, or an empty string if quotes have no meaning.
    """

    path: str | Sequence[str]
    delimiter: str = ","
    encoding: str = "utf-8"
    quote: str = '"'

    def __post_init__(self) -> None:
        if len(self._separator()) != 1 or len(self.quote) > 1:
            raise UserError(
                "a delimiter of one character and a quote of at most one",
                f"{self.delimiter!r} and {self.quote!r}",
                "Mend the reader's settings; a tab is written \\t.",
            )
        _check_encoding(self.encoding)

    def inputs(self) -> list[Path]:
        """The files."""
        return find_files(self.path)

    def batches(self, wanted: Sequence[str]) -> Iterator[RawBatch]:
        """The rows; one whose number of cells is not that of the header is rejected."""
        files = self.inputs()
        for file in files:
            check_columns(file, self._header(file), wanted)
        for file in files:
            yield from self._read(file, wanted)

    def _separator(self) -> str:
        return "\t" if self.delimiter == "\\t" else self.delimiter

    def _header(self, file: Path) -> list[str]:
        header: list[str] = next(self._records(file), [])
        if not header:
            raise UserError("a header line", f"{file}, which is empty", "Give a file with rows.")
        return header

    def _read(self, file: Path, wanted: Sequence[str]) -> Iterator[RawBatch]:
        records = self._records(file)
        header = next(records)
        places = {name: header.index(name) for name in wanted}
        numbered = enumerate(records)
        while block := list(itertools.islice(numbered, BATCH_ROWS)):
            rows, values, rejected = [], [], []
            for row, cells in block:
                if len(cells) == len(header):
                    rows.append(row)
                    values.append({name: cells[place] for name, place in places.items()})
                elif cells:
                    reason = f"{len(cells)} cells under a header of {len(header)}"
                    rejected.append(Rejected(str(file), row, reason, json.dumps(cells, ensure_ascii=False)))
            yield RawBatch(str(file), rows, values, rejected)

    def _records(self, file: Path) -> Iterator[list[str]]:
        csv.field_size_limit(_LONGEST_CELL)
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE
        encoding = "utf-8-sig" if codecs.lookup(self.encoding).name == "utf-8" else self.encoding
        with file.open(encoding=encoding, newline="") as lines:
            records = csv.reader(
                lines,
                delimiter=self._separator(),
                quotechar=self.quote or None,
                quoting=quoting,
                strict=bool(self.quote),
            )
            try:
                yield from records
            except UnicodeError:
                raise undecodable(file, self.encoding) from None
            except csv.Error as error:
                raise UserError(
                    f"cells separated by {self.delimiter!r} and quoted by {self.quote!r}",
                    f"{file}, line {records.line_num}: {error}",
                    "Set delimiter and quote as the file has them (quote: '' if quotes have no meaning in it).",
                ) from None


@dataclass(frozen=True)
class ParquetReader:
    """Parquet files; a cell may be a list.

    Args:
        path: a file, a glob pattern or a list of them.
    """

    path: str | Sequence[str]

    def inputs(self) -> list[Path]:
        """The files."""
        return find_files(self.path)

    def batches(self, wanted: Sequence[str]) -> Iterator[RawBatch]:
        """The rows."""
        files = self.inputs()
        for file in files:
            with _open_parquet(file) as table:
                check_columns(file, table.schema_arrow.names, wanted)
        for file in files:
            row = 0
            with _open_parquet(file) as table:
                for batch in table.iter_batches(BATCH_ROWS, columns=list(wanted)):
                    yield RawBatch(str(file), range(row, row + batch.num_rows), batch.to_pylist())
                    row += batch.num_rows


@dataclass(frozen=True)
class JsonLinesReader:
    """One JSON object a line; a cell may be a list. A key that a line lacks is null there.

    Args:
        path: a file, a glob pattern or a list of them.
        encoding: of the files.
    """

    path: str | Sequence[str]
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        _check_encoding(self.encoding)

    def inputs(self) -> list[Path]:
        """The files."""
        return find_files(self.path)

    def batches(self, wanted: Sequence[str]) -> Iterator[RawBatch]:
        """The rows; a line that is no JSON object is rejected."""
        for file in self.inputs():
            names: set[str] = set()
            checked = False
            lines = enumerate(json_lines(file, self.encoding))
            while block := list(itertools.islice(lines, BATCH_ROWS)):
                rows, values, rejected = [], [], []
                for row, line in block:
                    if isinstance(line, Mapping):
                        rows.append(row)
                        values.append({name: line.get(name) for name in wanted})
                        names.update(line)
                    elif line is not None:
                        content = json.dumps(line, ensure_ascii=False)
                        rejected.append(Rejected(str(file), row, "not a JSON object", content))
                if rows and not checked:
                    # Keys may be left out where they are null; what no line of the first block has is misspelt.
                    check_columns(file, sorted(names), wanted)
                    checked = True
                yield RawBatch(str(file), rows, values, rejected)


@dataclass(frozen=True)
class PickleReader:
    """A pickled DataFrame, such as the original system's `train.pkl`; nothing that a pickle may carry is run.

    Args:
        path: the file.
    """

    path: str

    def inputs(self) -> list[Path]:
        """The file."""
        return find_files(self.path)

    def batches(self, wanted: Sequence[str]) -> Iterator[RawBatch]:
        """The rows of the frame."""
        for file in self.inputs():
            frame = read_frame(file)
            check_columns(file, [str(name) for name in frame.columns], wanted)
            for begin in range(0, len(frame), BATCH_ROWS):
                part = frame.iloc[begin : begin + BATCH_ROWS]
                columns = [part[name].tolist() for name in wanted]
                values = [dict(zip(wanted, cells, strict=True)) for cells in zip(*columns, strict=True)]
                yield RawBatch(str(file), range(begin, begin + len(part)), values)


def find_files(path: str | Sequence[str]) -> list[Path]:
    """The files that a path, a glob pattern or a list of them names, each once, patterns in sorted order.

    Raises:
        UserError: one of them names no file.
    """
    files: dict[Path, None] = {}
    for name in (path,) if isinstance(path, str) else path:
        found = [Path(name)] if Path(name).is_file() else sorted(map(Path, glob.glob(str(name), recursive=True)))
        found = [file for file in found if file.is_file()]
        if not found:
            raise UserError(f"a file at {name}", "none", "Check data.reader.path.")
        files.update(dict.fromkeys(found))
    return list(files)


def check_columns(file: Path, found: Sequence[str], wanted: Sequence[str]) -> None:
    """Raise `UserError` if a wanted column is missing or stands twice."""
    missing = [name for name in wanted if name not in found]
    if missing:
        raise UserError(
            f"the column {', '.join(map(repr, missing))} in {file}",
            f"the columns {', '.join(map(repr, found))}",
            "Map data.columns.* to the columns of the file (and check the delimiter, if this is CSV).",
        )
    twice = [name for name in wanted if list(found).count(name) > 1]
    if twice:
        raise UserError(f"one column {twice[0]!r} in {file}", "several of that name", "Rename the others.")


def json_lines(file: Path, encoding: str = "utf-8") -> Iterator[Any]:
    """What each line holds: parsed JSON, the text of a line that does not parse, `None` for a blank line."""
    encoding = "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
    empty = True
    with file.open(encoding=encoding) as lines:
        try:
            for line in lines:
                empty = False
                yield parse_line(line)
        except UnicodeError:
            raise undecodable(file, encoding) from None
    if empty:
        raise UserError("JSON lines", f"{file}, which is empty", "Give a file with rows.")


def parse_line(line: str) -> Any:
    """See `json_lines`."""
    if not line.strip():
        return None
    try:
        return json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        return line.rstrip("\r\n")


def undecodable(file: Path, encoding: str) -> UserError:
    """The error for a file that is not in the encoding, with the first byte that is wrong."""
    decoder = codecs.getincrementaldecoder(encoding)()
    offset, value = 0, b""
    with file.open("rb") as data:
        while True:
            block = data.read(1 << 20)
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                offset, value = offset - pending + error.start, error.object[error.start : error.start + 1]
                break
            except UnicodeError:
                break
            if not block:
                break
            offset += len(block)
    return UserError(
        f"{file} to be {encoding}",
        f"byte 0x{value.hex()} at offset {offset}",
        "Set data.reader.encoding: cp1251 is usual for Russian files from Windows, utf-16 for exports of Excel; "
        "others are koi8-r and latin-1.",
    )


def _check_encoding(encoding: str) -> None:
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise UserError(
            "an encoding that Python knows", repr(encoding), "Say utf-8, cp1251, utf-16 or the like."
        ) from None


def _open_parquet(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except pa.ArrowInvalid as error:
        raise UserError(
            f"a Parquet file at {file}", str(error), "Check the file, or use the reader of its format."
        ) from None
