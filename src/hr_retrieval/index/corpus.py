"""The documents to index: a prepared data set, Parquet, CSV or JSON lines, read block by block."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.dataset as pa_dataset

from hr_retrieval.errors import UserError, said
from hr_retrieval.store.table import OWN
from hr_retrieval.text import normalise

# Documents at a time: what a kill loses at most, and enough texts of like length to encode together.
BATCH = 2048
_IDS, _TEXTS = ("document_id", "id"), ("text", "description")
_SUFFIXES = {".parquet": "parquet", ".csv": "csv", ".tsv": "csv", ".jsonl": "json", ".ndjson": "json"}


@dataclass(frozen=True)
class Columns:
    """Which columns are read.

    Attributes:
        id: of the ids; `None` for `document_id` or `id`.
        text: of the text, or several, which are joined by lines; `None` for `text` or
            `description`.
        metadata: kept for filters; `None` for all others, of a prepared data set none.
    """

    id: str | None = None
    text: Any = None
    metadata: Any = None


@dataclass(frozen=True)
class Document:
    """One document to index."""

    id: str
    text: str
    metadata: tuple[Any, ...]

    @property
    def digest(self) -> str:
        """Changes with its content."""
        content = json.dumps([self.text, *self.metadata], ensure_ascii=False, default=str)
        return hashlib.sha256(content.encode()).hexdigest()[:32]


class Corpus:
    """The documents at a path.

    Args:
        path: a prepared data set, a file, or a folder of files of one kind.
        columns: which are read.
        delimiter: of CSV.
        encoding: of CSV.

    Attributes:
        name: the path.
        metadata: the type of each column for filters, `text`, `number` or `yes/no`.

    Raises:
        UserError: there is nothing of a known kind, or a column is missing or of no plain type.
    """

    def __init__(self, path: str, columns: Columns, delimiter: str = ",", encoding: str = "utf-8") -> None:
        self.name = str(Path(path).resolve())
        place = Path(path)
        prepared = (place / "corpus.parquet").is_file()
        with _readable(self.name):
            self._dataset = _open(place / "corpus.parquet" if prepared else place, delimiter, encoding)
        names = self._dataset.schema.names
        self._id = self._named(columns.id, _IDS, "id")
        asked = columns.text if isinstance(columns.text, list | tuple) else [columns.text]
        self._texts = [self._named(name, _TEXTS, "text") for name in asked]
        wanted = [] if prepared and columns.metadata is None else columns.metadata
        if wanted is None:
            rest = [name for name in names if name not in (self._id, *self._texts)]
            wanted = [name for name in rest if not pa.types.is_null(self._type(name))]
        self.metadata = {name: self._kind(self._named(name, (), "metadata")) for name in wanted}

    def check(self) -> int:
        """How many documents there are, once each has an id of its own and a text.

        Raises:
            UserError: one has not; it names the row.
        """
        seen: set[str] = set()
        for document in self._documents([], BATCH * 8):
            if document.id in seen:
                raise UserError(
                    f"ids that are of one document each in {self.name}",
                    f"{document.id!r} twice, the second time in row {len(seen):,}",
                    "Name another columns.id, or remove one of them.",
                )
            seen.add(document.id)
        if not seen:
            raise UserError(f"at least one document in {self.name}", "none", "Fill the corpus first.")
        return len(seen)

    def batches(self) -> Iterator[list[Document]]:
        """All documents, in blocks."""
        documents = self._documents([*self.metadata], BATCH)
        while batch := list(islice(documents, BATCH)):
            yield batch

    def _documents(self, metadata: Sequence[str], size: int) -> Iterator[Document]:
        row = 0
        columns = [*dict.fromkeys([self._id, *self._texts, *metadata])]
        with _readable(self.name):
            for block in self._dataset.to_batches(columns=columns, batch_size=size):
                values = {name: _plain(block[name]).to_pylist() for name in columns}
                for place in range(len(block)):
                    yield self._document({name: own[place] for name, own in values.items()}, metadata, row)
                    row += 1

    def _document(self, values: Mapping[str, Any], metadata: Sequence[str], row: int) -> Document:
        own = "" if values[self._id] is None else str(values[self._id]).strip()
        text = "\n".join(str(values[name]).strip() for name in self._texts if values[name] is not None)
        if not own:
            raise UserError(
                f"an id in each row of {self.name}", f"none in row {row:,}", "Fill it in, or name another columns.id."
            )
        if not normalise(text):
            raise UserError(
                f"a text in each row of {self.name}",
                f"none in row {row:,} (id {own!r})",
                "Fill it in, remove the row, or name another columns.text.",
            )
        kept = tuple(_value(values[name], self.metadata[name]) for name in metadata)
        return Document(own, text, kept)

    def _named(self, name: str | None, usual: Sequence[str], what: str) -> str:
        names = self._dataset.schema.names
        found = [one for one in ([name] if name is not None else usual) if one in names]
        if found:
            return found[0]
        asked = repr(name) if name is not None else " or ".join(map(repr, usual))
        raise UserError(
            f"the column {asked} in {self.name}",
            f"the columns {', '.join(map(repr, names))}",
            f"Name the column: columns.{what}=<name>. Columns of CSV may need delimiter= too.",
        )

    def _type(self, name: str) -> pa.DataType:
        return self._dataset.schema.field(name).type

    def _kind(self, name: str) -> str:
        if name in OWN or name.startswith("_"):
            raise UserError(
                f"other metadata columns than {', '.join(OWN)}, and none that begins with _",
                repr(name),
                "Rename it, or name the columns to keep: columns.metadata=[...].",
            )
        kind = self._type(name)
        if pa.types.is_boolean(kind):
            return "yes/no"
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            return "number"
        if pa.types.is_nested(kind) or pa.types.is_binary(kind):
            raise UserError(
                f"plain values in the metadata column {name!r} of {self.name}",
                str(kind),
                "Name the columns to keep: columns.metadata=[...].",
            )
        return "text"


def _open(path: Path, delimiter: str, encoding: str) -> pa_dataset.Dataset:
    files = sorted(file for file in path.rglob("*") if file.suffix in _SUFFIXES) if path.is_dir() else [path]
    kinds = {_SUFFIXES.get(file.suffix.lower()) for file in files}
    if not path.exists() or len(kinds) != 1 or None in kinds:
        got = "no such file" if not path.exists() else f"{len(files)} files of {len(kinds)} kinds"
        raise UserError(
            f"a prepared data set, Parquet, CSV (.csv, .tsv) or JSON lines (.jsonl) at {path}",
            got if path.is_dir() or not path.exists() else path.name,
            "Name such a file, or a folder of files of one kind.",
        )
    (kind,) = kinds
    form: Any = kind
    if kind == "csv":
        form = pa_dataset.CsvFileFormat(
            parse_options=pa_csv.ParseOptions(
                delimiter="\t" if files[0].suffix == ".tsv" else delimiter, newlines_in_values=True
            ),
            read_options=pa_csv.ReadOptions(encoding=encoding),
        )
    return pa_dataset.dataset([str(file) for file in files], format=form)


def _plain(column: pa.Array) -> pa.Array:
    """Dates and the like as their texts."""
    kind = column.type
    plain = pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return column if plain or pa.types.is_decimal(kind) else column.cast(pa.string())


def _value(value: Any, kind: str) -> Any:
    return float(value) if kind == "number" and value is not None else value


@contextmanager
def _readable(path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException, UnicodeError, LookupError) as error:
        raise UserError(
            f"a table of documents at {path}", said(error), "Check delimiter= and encoding=, or write the file anew."
        ) from error
