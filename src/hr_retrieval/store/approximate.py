"""Search in an inverted file on disk, for more passages than are searched exactly."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hr_retrieval.retrieval.passages import PassageIndex
from hr_retrieval.store.filters import Condition, sql
from hr_retrieval.store.found import Found
from hr_retrieval.store.manifest import Manifest
from hr_retrieval.store.table import PassageTable, matrix, numbers

# Passages looked at for each document that is asked for, and at least.
_PASSAGES, _LEAST = 4, 40


class ApproximateSearch:
    """The passages of one version of an index: they stay on disk.

    Args:
        manifest: of the index.
        table: at that version.
    """

    exact = False

    def __init__(self, manifest: Manifest, table: PassageTable) -> None:
        self._table = table
        self._metadata = [*manifest.metadata]
        self._single = manifest.documents == manifest.passages

    def find(
        self,
        embeddings: Float[Tensor, "Q d"],
        texts: Sequence[str],
        k: int,
        pooled: str,
        wanted: tuple[Condition, ...] = (),
    ) -> list[list[Found]]:
        """About the best `k` documents of each query, best first."""
        return [self._find(query, k, pooled, sql(wanted)) for query in embeddings]

    def among(self, embedding: Float[Tensor, "1 d"], text: str, ids: Sequence[str], pooled: str) -> list[Found]:
        """These documents, best first."""
        rows = self._table.passages(ids)
        if not len(rows):
            return []
        first = np.flatnonzero(numbers(rows["passage"]) == 0)
        index = PassageIndex(
            torch.from_numpy(np.array(matrix(rows["vector"]))), torch.from_numpy(np.append(first, len(rows)))
        )
        best = index.search(embedding, len(index), pooled)
        own = rows.select(["document_id", "begin", "end"]).take(best.passages[0].numpy()).to_pylist()
        return [
            Found(row["document_id"], score, row["begin"], row["end"])
            for row, score in zip(own, best.scores[0].tolist(), strict=True)
        ]

    def contents(self, ids: Sequence[str]) -> dict[str, tuple[str, dict[str, object]]]:
        """Text and metadata of documents by id; those that are not there are left out."""
        return {own: self._content(row) for own, row in self._table.documents(ids, self._metadata).items()}

    def sentences(self, found: Sequence[Found]) -> list[bytes | None]:
        """Vectors of the sentences of each passage, as `store.marks.packed` has them."""
        there = self._table.sentences([own.document for own in found]) if found else {}
        return [there[own.document, own.begin] for own in found]

    def values(self, column: str, most: int) -> list[str]:
        """The values of a metadata column of texts, the commonest first; none if there are more than that."""
        return self._table.values(column, most)

    def embedding_of(self, document: str) -> Float[Tensor, "1 d"] | None:
        """The unit mean of a document's passages; `None` if it is not there."""
        rows = self._table.passages([document])
        if not len(rows):
            return None
        mean = torch.from_numpy(np.array(matrix(rows["vector"]))).mean(dim=0, keepdim=True)
        return torch.nn.functional.normalize(mean, dim=1)

    def _find(self, query: Float[Tensor, " d"], k: int, pooled: str, where: str | None) -> list[Found]:
        count = k if self._single else max(_LEAST, _PASSAGES * k)
        # Where a passage is its document, the text says where it ends, and is wanted next.
        columns = ["text", *self._metadata] if self._single else ["begin", "end"]
        rows = self._table.nearest(query.numpy(), count, where, ["document_id", *columns]).to_pylist()
        found: dict[str, Found] = {}
        for row in rows:
            own = (
                Found(row["document_id"], row["_score"], 0, len(row["text"]), self._content(row))
                if self._single
                else Found(row["document_id"], row["_score"], row["begin"], row["end"])
            )
            found.setdefault(own.document, own)
        if pooled == "mean" and not self._single:
            return self.among(query[None], "", [*found], pooled)[:k]
        return [*found.values()][:k]

    def _content(self, row: Mapping[str, Any]) -> tuple[str, dict[str, object]]:
        return row["text"], {name: row[name] for name in self._metadata}
