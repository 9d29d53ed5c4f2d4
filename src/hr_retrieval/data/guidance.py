"""What a guide encoder thinks of all queries and documents, embedded once and memory-mapped afterwards."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch

from hr_retrieval.data.arrays import Rows
from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.tokens import progress
from hr_retrieval.encoder.wording import Kind
from hr_retrieval.errors import UserError
from hr_retrieval.files import whole_folder
from hr_retrieval.retrieval.mixing import Composition, Corpus, Side

Embeddings = npt.NDArray[np.float16]
_TEACHER_MIXINGS = ("none", "auto")


class StackedEmbeddings:
    """Tables of several data sets one behind the other, looked up by the rows among all."""

    def __init__(self, tables: Sequence[Embeddings]) -> None:
        self.tables, self.ends = list(tables), np.cumsum([len(table) for table in tables])

    def __getitem__(self, rows: Rows) -> Embeddings:
        found = np.empty((len(rows), self.tables[0].shape[1]), np.float16)
        numbers = np.searchsorted(self.ends, rows, side="right")
        for number, table in enumerate(self.tables):
            mine = numbers == number
            found[mine] = table[rows[mine] - (self.ends[number] - len(table))]
        return found


@runtime_checkable
class Guide(Protocol):
    """What the data module needs of a frozen encoder."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same text could get another embedding."""
        ...

    @property
    def dimension(self) -> int:
        """Length of the embeddings."""
        ...

    @property
    def mixing(self) -> Composition:
        """With which it ranks; of no parts for none. It needs nothing beside the embeddings."""
        ...

    def embed(self, blocks: Iterable[list[str]], kind: Kind) -> Iterator[Embeddings]:
        """Unit embeddings `[n, g]` of each block of `n` texts."""
        ...


@dataclass(frozen=True)
class Guidance:
    """The guide's embeddings of one prepared data set, or of several one behind the other.

    Attributes:
        queries: vectors `[Q, g]` by the rows of `queries.parquet`, of unit length unless mixed.
        documents: vectors `[N, g]` by the rows of `corpus.parquet`, likewise.
        margin: how far below the positive a document may lie and still be no negative.
    """

    queries: Embeddings | StackedEmbeddings
    documents: Embeddings | StackedEmbeddings
    margin: float = 0.0

    def scores(self, query_rows: Rows, document_rows: Rows) -> npt.NDArray[np.float32]:
        """Inner products `[B, D]` of each query with each document: cosines, unless mixed."""
        found: npt.NDArray[np.float32] = _float32(self.queries, query_rows) @ _float32(self.documents, document_rows).T
        return found

    def pair_scores(self, query_rows: Rows, document_rows: Rows) -> npt.NDArray[np.float32]:
        """Cosines `[P]` of each query with its own document."""
        found: npt.NDArray[np.float32] = np.einsum(
            "pg,pg->p", _float32(self.queries, query_rows), _float32(self.documents, document_rows)
        )
        return found


@dataclass(frozen=True)
class Ensemble:
    """Several teachers, whose scores count alike."""

    members: Sequence[Guidance]

    def scores(self, query_rows: Rows, document_rows: Rows) -> npt.NDArray[np.float32]:
        """The mean `[B, D]` of their scores."""
        found: npt.NDArray[np.float32] = np.mean(
            [member.scores(query_rows, document_rows) for member in self.members], axis=0
        )
        return found


def guidance(
    places: Sequence[tuple[Path, PreparedDataset]], guide: Guide, margin: float, mixed: bool = False
) -> Guidance:
    """Open the guide's embeddings of data sets, making them first if they are not there.

    Args:
        places: the cache of each data set; the guide's and the data's fingerprints name the place
            in it.
        mixed: whether scores are those by which the guide ranks, with its mixing at ranking time, of
            each data set by itself. All embeddings are then held at once, in float32.
    """
    queries, documents = [], []
    for folder, dataset in places:
        place = folder / f"guide-{guide.fingerprint[:16]}-{dataset.fingerprint[:16]}"
        tables = (
            _table(place, "queries", dataset.texts("queries"), dataset.query_count, guide, "query"),
            _table(place, "corpus", dataset.texts("corpus"), dataset.document_count, guide, "document"),
        )
        if mixed:
            tables = _mixed(place, tables, guide.mixing)
        queries.append(tables[0])
        documents.append(tables[1])
    if len(places) == 1:
        return Guidance(queries[0], documents[0], margin)
    return Guidance(StackedEmbeddings(queries), StackedEmbeddings(documents), margin)


def check_teacher_mixing(mixing: str, teachers: int) -> None:
    """Raise `UserError` unless it is known, and there is a teacher that could mix."""
    if mixing not in _TEACHER_MIXINGS:
        raise UserError(
            f"datamodule.teacher_mixing to be {' or '.join(_TEACHER_MIXINGS)}", repr(mixing), "Choose one of them."
        )
    if mixing == "auto" and not teachers:
        raise UserError("a teacher for datamodule.teacher_mixing=auto", "none", "Set datamodule.teacher=<run>.")


def _table(folder: Path, name: str, texts: Iterable[list[str]], total: int, guide: Guide, kind: Kind) -> Embeddings:
    place = folder / name
    if not (place / "embeddings.npy").exists():
        with whole_folder(place, replace=True, first_stands=True) as partial:
            _write(partial / "embeddings.npy", name, texts, total, guide, kind)
    table: Embeddings = np.load(place / "embeddings.npy", mmap_mode="r")
    return table


def _mixed(folder: Path, plain: tuple[Embeddings, Embeddings], mixing: Composition) -> tuple[Embeddings, Embeddings]:
    """Queries and documents as they are ranked; the options of the mixing name the place."""
    options = json.dumps(mixing.to_json(), sort_keys=True)
    place = folder / f"mixed-{hashlib.sha256(options.encode()).hexdigest()[:16]}"
    if not place.exists():
        queries, documents = (Side(torch.from_numpy(table.astype(np.float32))) for table in plain)
        mixed = mixing(queries, Corpus(documents))
        with whole_folder(place, replace=True, first_stands=True) as partial:
            for name, table in (("queries", mixed.queries), ("corpus", mixed.documents)):
                np.save(partial / f"{name}.npy", table.numpy().astype(np.float16))
    return np.load(place / "queries.npy", mmap_mode="r"), np.load(place / "corpus.npy", mmap_mode="r")


def _write(path: Path, name: str, texts: Iterable[list[str]], total: int, guide: Guide, kind: Kind) -> None:
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(total, guide.dimension))
    begin = 0
    with progress(f"guide: {name}", total) as advance:
        for block in guide.embed(texts, kind):
            array[begin : begin + len(block)] = block
            begin += len(block)
            advance(len(block))
    array.flush()


def _float32(table: Embeddings | StackedEmbeddings, rows: Rows) -> npt.NDArray[np.float32]:
    return table[rows].astype(np.float32)
