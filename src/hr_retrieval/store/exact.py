"""Exact search: all passages of an index in memory, with the mixing at ranking time that it was made with."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Float
from torch import Tensor

from hr_retrieval.encoder.embedder import Embedder
from hr_retrieval.errors import UserError
from hr_retrieval.files import whole_file
from hr_retrieval.ranking.sides import Sides
from hr_retrieval.retrieval.mixing import Composition
from hr_retrieval.retrieval.passages import PassageIndex
from hr_retrieval.store.filters import Condition, expression
from hr_retrieval.store.found import Found
from hr_retrieval.store.manifest import Manifest
from hr_retrieval.store.snapshot import read_snapshot
from hr_retrieval.store.table import commonest, matrix, numbers

# Passages that are searched exactly: more take an inverted file.
MOST = 100_000


class ExactSearch:
    """The passages of one version of an index.

    Args:
        manifest: of the index, which is whole.
        encoder: that made it.
        folder: of the index, where the passages and their mixed embeddings lie.
    """

    exact = True

    def __init__(self, manifest: Manifest, encoder: Embedder, folder: Path) -> None:
        assert manifest.table is not None, "the index is whole"
        self._rows = read_snapshot(folder, manifest.table)
        self._plain = torch.from_numpy(np.array(matrix(self._rows["vector"])))
        self._rows = self._rows.drop_columns(["vector"])
        self._sentences = self._rows["sentences"]
        self._rows = self._rows.drop_columns(["sentences"])
        first = np.flatnonzero(numbers(self._rows["passage"]) == 0)
        # Of one passage each, documents are the rows as they are.
        several = len(first) < len(self._rows)
        self._documents = self._rows.filter(pc.equal(self._rows["passage"], 0)) if several else self._rows
        self._offsets = torch.from_numpy(np.append(first, len(self._rows)))
        self._ids: list[str] = self._documents["document_id"].to_pylist()
        self._places = {own: place for place, own in enumerate(self._ids)}
        self._spans = torch.from_numpy(
            np.stack([numbers(self._rows[name]) for name in ("begin", "end")], axis=1).astype(np.int64)
        )
        self._metadata = [*manifest.metadata]
        self._mixing = manifest.mixing
        if not self._mixing.parts:
            self._index = PassageIndex(self._plain, self._offsets)
            return
        mixed = torch.from_numpy(np.load(mixed_file(folder, manifest.table)))
        self._index = PassageIndex(mixed, self._offsets)
        self._looked = self._mixing.searched(mixed, self._plain.shape[1])
        self._sides = Sides(self._mixing, encoder, self._passage_texts, self._plain)

    def find(
        self,
        embeddings: Float[Tensor, "Q d"],
        texts: Sequence[str],
        k: int,
        pooled: str,
        wanted: tuple[Condition, ...] = (),
    ) -> list[list[Found]]:
        """The best `k` documents of each query, best first."""
        allowed = self._allowed(wanted) if wanted else None
        return self._find(embeddings, texts, k, pooled, allowed)

    def among(self, embedding: Float[Tensor, "1 d"], text: str, ids: Sequence[str], pooled: str) -> list[Found]:
        """These documents, best first."""
        allowed = torch.zeros(len(self._ids), dtype=torch.bool)
        allowed[[self._places[own] for own in ids]] = True
        return self._find(embedding, [text], max(1, len(ids)), pooled, allowed)[0]

    def contents(self, ids: Sequence[str]) -> dict[str, tuple[str, dict[str, object]]]:
        """Text and metadata of documents by id; those that are not there are left out."""
        texts, columns = self._documents["text"], {name: self._documents[name] for name in self._metadata}
        own = {name: self._places[name] for name in ids if name in self._places}
        return {
            name: (texts[place].as_py(), {key: column[place].as_py() for key, column in columns.items()})
            for name, place in own.items()
        }

    def sentences(self, found: Sequence[Found]) -> list[bytes | None]:
        """Vectors of the sentences of each passage, as `store.marks.packed` has them."""
        return [self._sentences[self._row(own)].as_py() for own in found]

    def values(self, column: str, most: int) -> list[str]:
        """The values of a metadata column of texts, the commonest first; none if there are more than that."""
        return commonest([self._documents[column]], most)

    def embedding_of(self, document: str) -> Float[Tensor, "1 d"] | None:
        """The unit mean of a document's passages; `None` if it is not there."""
        place = self._places.get(document)
        if place is None:
            return None
        begin, end = self._offsets[place : place + 2].tolist()
        return torch.nn.functional.normalize(self._plain[begin:end].mean(dim=0, keepdim=True), dim=1)

    def _find(
        self, embeddings: Tensor, texts: Sequence[str], k: int, pooled: str, allowed: Tensor | None
    ) -> list[list[Found]]:
        added = None
        if self._mixing.parts:
            side = self._sides.queries(lambda: list(texts), embeddings)
            embeddings = self._mixing.mix_queries(side, self._looked)
            if self._mixing.lexical is not None:
                documents = self._sides.ngrams
                assert side.ngrams is not None, "asked for by `needs`"
                assert documents is not None, "asked for by `needs`"
                scores = (side.ngrams * self._mixing.lexical.weight) @ documents.T
                added = torch.from_numpy(scores.toarray().astype(np.float32))
        best = self._index.search(embeddings, k, pooled, allowed, added)
        lines = zip(best.scores.tolist(), best.documents.tolist(), best.passages.tolist(), strict=True)
        return [
            [
                Found(self._ids[document], score, *self._spans[row].tolist())
                for score, document, row in zip(*line, strict=True)
            ]
            for line in lines
        ]

    def _row(self, found: Found) -> int:
        begin, end = self._offsets[self._places[found.document] :][:2].tolist()
        within: int = self._spans[begin:end, 0].tolist().index(found.begin)
        return int(begin) + within

    def _allowed(self, wanted: tuple[Condition, ...]) -> Tensor:
        numbered = self._documents.append_column("#", pa.array(np.arange(len(self._ids))))
        allowed = torch.zeros(len(self._ids), dtype=torch.bool)
        allowed[torch.from_numpy(np.array(numbers(numbered.filter(expression(wanted))["#"])))] = True
        return allowed

    def _passage_texts(self) -> list[str]:
        return passage_texts(self._rows)


def passage_texts(rows: pa.Table) -> list[str]:
    """The text of each passage, of rows in the order of documents and passages."""
    texts, document = [], ""
    for number, begin, end, text in zip(
        *(rows[name].to_pylist() for name in ("passage", "begin", "end", "text")), strict=True
    ):
        document = text if number == 0 else document
        texts.append(document[begin:end])
    return texts


def mix(manifest: Manifest, version: int, encoder: Embedder, folder: Path) -> None:
    """Write what is ranked in the place of the embeddings of the passages, which the folder has in that version."""
    mixing, rows = manifest.mixing, read_snapshot(folder, version)
    plain = torch.from_numpy(np.array(matrix(rows["vector"])))
    mixed = mixing.mix_documents(Sides(mixing, encoder, lambda: passage_texts(rows), plain).corpus)
    _write_matrix(mixed_file(folder, version), mixed.numpy())


def mixed_file(folder: Path, version: int) -> Path:
    """Where the mixed embeddings of a version lie."""
    return folder / f"mixed-{version}.npy"


def _write_matrix(path: Path, content: npt.NDArray[np.float32]) -> None:
    with whole_file(path) as partial, partial.open("wb") as file:
        np.save(file, content)


def check_mixable(mixing: Composition, documents: int, passages: int) -> None:
    """Raise `UserError` if there are documents of several passages, too many or too few to be mixed, or a strategy
    needs what an index does not have.
    """
    remedy = "Run the same command with ranking/mixing=none: nothing is encoded anew."
    if passages > MOST:
        raise UserError(f"at most {MOST:,} passages to mix at ranking time ({mixing})", f"{passages:,}", remedy)
    if passages > documents:
        raise UserError(
            f"documents of one passage each, as mixing at ranking time was chosen on ({mixing})",
            f"{passages:,} passages of {documents:,} documents",
            f"{remedy} Or read the beginning of each text only: overlap=null.",
        )
    if "anchors" in mixing.needs:
        raise UserError("mixing that an index has all for", f"{mixing}", remedy)
    mixing.check(documents)
