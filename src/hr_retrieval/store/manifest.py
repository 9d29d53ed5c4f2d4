"""What an index folder is: `index.json`, which changes when everything else is in its place."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from hr_retrieval.encoder.wording import Kind
from hr_retrieval.errors import UserError
from hr_retrieval.files import read_json, write_json
from hr_retrieval.program import called
from hr_retrieval.retrieval.mixing import Composition

FILE = "index.json"
VERSION = 3


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What an index was made with, and which state of its table is whole.

    Attributes:
        encoder: a run directory or whatever `Encoder` loads; a folder by its full path.
        fingerprint: `Encoder.embedding_fingerprint`.
        dimension: of the embeddings.
        side: as what the encoder reads the documents; queries are the other side.
        overlap: tokens that neighbouring passages share; `None` where the beginning of each text
            alone is read.
        lexical: what hybrid search counts; `None` where there is none.
        mixing: at ranking time.
        metadata: type of each column for filters: text, number, or yes/no.
        source: where the documents came from at first.
        place: of the table, an address in an object store; `None` for the index's folder.
        table: the version of the table that is whole; `None` while the first one is written.
        documents: how many that version has.
        passages: likewise.
    """

    encoder: str
    fingerprint: str
    dimension: int
    side: Kind = "document"
    overlap: int | None = 32
    lexical: str | None = "words"
    mixing: Composition = field(default_factory=Composition)
    metadata: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    place: str | None = None
    table: int | None = None
    documents: int = 0
    passages: int = 0

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """What stands in a folder.

        Raises:
            UserError: it is no index, or one of another version.
        """
        path = folder / FILE
        if not path.is_file():
            got = f"{folder} without it" if folder.is_dir() else f"{folder}, which is no folder"
            raise UserError(
                f"an index folder with {FILE}",
                got,
                f"Make one: {called('index')} encoder=<run or folder> corpus=<documents> output=<folder>.",
            )
        content = read_json(path)
        version = content.get("version") if isinstance(content, Mapping) else None
        if version != VERSION:
            raise UserError(
                f"version {VERSION} in {path}", repr(version), "Index the documents anew with this hr_retrieval."
            )
        own = {key: value for key, value in content.items() if key != "version"}
        try:
            return cls(**{**own, "mixing": Composition.from_json(own.get("mixing"), str(path))})
        except TypeError:
            raise UserError(
                f"what an index says of itself in {path}", ", ".join(map(str, own)), "Index the documents anew."
            ) from None

    def write(self, folder: Path) -> None:
        """Write the file, whole or not at all."""
        content: dict[str, Any] = {**asdict(self), "mixing": self.mixing.to_json(), "metadata": dict(self.metadata)}
        write_json(folder / FILE, {"version": VERSION, **content})

    def table_place(self, folder: Path) -> Path | str:
        """Where the table of the index in a folder lies."""
        return folder / "table" if self.place is None else self.place

    def with_table(self, version: int, documents: int, passages: int) -> "Manifest":
        """The same of another state of the table."""
        return replace(self, table=version, documents=documents, passages=passages)

    def check_encoder(self, fingerprint: str, folder: Path, name: str) -> None:
        """Raise `UserError` unless the encoder with this fingerprint made the index."""
        if fingerprint != self.fingerprint:
            raise UserError(
                f"the encoder that made the index in {folder} (fingerprint {self.fingerprint[:16]})",
                f"another one, {name} (fingerprint {fingerprint[:16]})",
                f"Name the folder of that encoder (encoder=), which was {self.encoder}, or index the documents anew.",
            )
