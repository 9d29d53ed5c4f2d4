"""What a reader is: a source of rows, batch by batch, with what is no row set apart."""

import glob
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import pyarrow as pa

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.readers.remote_file import RemoteFile, check_url, is_url, remote_files

Row = TypeVar("Row")

# What a reader opens for bytes.
SourceFile = Path | RemoteFile
BATCH_ROWS = 2048
# Letters of a rejected row that are kept.
KEPT = 1 << 12
# A row as it stands in `rejected.parquet`.
as_json = json.JSONEncoder(ensure_ascii=False).encode
MAP_COLUMNS = "Map data.columns.* to the columns of the file."


@dataclass(frozen=True)
class Unreadable:
    """A piece of a file that is no row.

    Attributes:
        reason: why, for `rejected.parquet`.
        content: the piece, or its beginning.
        remedy: what helps where many pieces are so.
    """

    reason: str
    content: str
    remedy: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "content", self.content[:KEPT])


@dataclass(frozen=True)
class Rejected:
    """A row that was left out.

    Attributes:
        source: the file.
        row: its place in the file, from 0, as the format counts: CSV records behind the header,
            JSON lines.
        reason: why.
        content: the row as JSON, or its beginning.
        remedy: what helps where many rows are so; empty if that is to map other columns.
    """

    source: str
    row: int
    reason: str
    content: str
    remedy: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "content", self.content[:KEPT])

    @classmethod
    def of(cls, source: SourceFile, row: int, piece: Unreadable) -> "Rejected":
        """A piece of a file that is no row."""
        return cls(str(source), row, piece.reason, piece.content, piece.remedy)


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

    def inputs(self) -> Sequence[SourceFile]:
        """The files that are read, for their checksums."""
        ...

    def batches(self, wanted: Sequence[str]) -> Iterator[RawBatch]:
        """The rows in the order of the files, with the wanted columns.

        Raises:
            UserError: a wanted column is missing in a file, or a file is empty, damaged or cannot
                be decoded.
        """
        ...


@dataclass(frozen=True)
class FilesReader:
    """A reader of files.

    Args:
        path: a file, a folder, a glob pattern or a list of them; or URLs, see `RemoteFile`.
    """

    path: str | Sequence[str]

    def __post_init__(self) -> None:
        for name in self.path if isinstance(self.path, list | tuple) else (self.path,):
            if is_url(name):
                check_url(str(name))

    def inputs(self) -> list[SourceFile]:
        """The files."""
        return find_files(self.path)


def find_files(path: str | Sequence[str]) -> list[SourceFile]:
    """The files that a path, a folder, a glob pattern or a list of them names, each once, in sorted order within each.

    Of a folder these are all files below it but those whose name, or whose folder's, begins with a
    dot or an underscore: so Spark marks what is no data.

    Raises:
        UserError: one of them names no file.
    """
    files: dict[SourceFile, None] = {}
    for name in (path,) if not isinstance(path, list | tuple) else path:
        if is_url(name):
            files.update(dict.fromkeys(remote_files(str(name))))
            continue
        found = [Path(str(name))]
        if not found[0].exists():
            found = sorted(map(Path, glob.glob(str(name), recursive=True)))
        there = [file for place in found for file in (_parts(place) if place.is_dir() else [place])]
        if not there:
            came = f"no file in the folder {found[0]}" if found else f"nothing under the folder {Path.cwd()}"
            raise UserError(f"a file at {name}", came, "Check data.reader.path.")
        files.update(dict.fromkeys(there))
    return list(files)


def check_columns(
    file: SourceFile, found: Sequence[str], wanted: Sequence[str], remedy: str = MAP_COLUMNS
) -> dict[str, int]:
    """Where each wanted column stands among those that are found.

    Raises:
        UserError: one is missing or stands twice.
    """
    counts = Counter(found)
    missing = [name for name in wanted if name not in counts]
    if missing:
        raise UserError(
            f"the column{'s' * (len(missing) > 1)} {', '.join(map(repr, missing))} in {file}",
            f"the columns {', '.join(map(repr, found))}",
            remedy,
        )
    twice = next((name for name in wanted if counts[name] > 1), None)
    if twice is not None:
        raise UserError(f"one column {twice!r} in {file}", "several of that name", "Rename the others.")
    places = {name: place for place, name in enumerate(found)}
    return {name: places[name] for name in wanted}


@contextmanager
def readable(file: SourceFile, kind: str) -> Iterator[None]:
    """Turn what the system and the libraries raise while a file is read into one message.

    Args:
        kind: what the file should be, as a noun phrase.
    """
    try:
        yield
    except MemoryError:
        # Arrow's own is one of its errors, too.
        raise
    except (OSError, pa.ArrowException, UnicodeError, OverflowError) as error:
        reason = (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")
        raise UserError(
            f"{kind} at {file}", reason, "Check that the file is whole and may be read, or write it anew."
        ) from error


def sorted_out(
    file: SourceFile, block: Iterable[tuple[int, Row | Unreadable | None]]
) -> tuple[list[tuple[int, Row]], list[Rejected]]:
    """What of numbered lines is a row, and what is rejected; a blank line, `None`, is neither."""
    rejected = [Rejected.of(file, row, line) for row, line in block if isinstance(line, Unreadable)]
    return [(row, line) for row, line in block if line is not None and not isinstance(line, Unreadable)], rejected


def _parts(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.rglob("*")
        if file.is_file() and not any(part.startswith((".", "_")) for part in file.relative_to(folder).parts)
    )
