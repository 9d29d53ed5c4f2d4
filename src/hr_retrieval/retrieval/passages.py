"""Exact search for documents of several passages each."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.grid import best_of_rows, check_k, full_precision
from hr_retrieval.retrieval.index import ExactIndex

# Scores held at a time: 64 MiB in float32.
_SCORES = 1 << 24


@dataclass(frozen=True)
class BestDocuments:
    """What is found for `Q` queries.

    Attributes:
        scores: of the documents, best first.
        documents: their places, from 0; equal scores by place.
        passages: the row of the best passage of each.
    """

    scores: Float[Tensor, "Q k"]
    documents: Int[Tensor, "Q k"]
    passages: Int[Tensor, "Q k"]


class PassageIndex:
    """Exact search over passages, the unit of the answer being the document.

    Args:
        embeddings: of the passages, those of a document in neighbouring rows.
        offsets: the passages of document `d` are the rows `offsets[d] : offsets[d + 1]`, at least
            one; begins with 0 and ends with `N`.

    Raises:
        UserError: a value is not finite, or there is no passage.
    """

    def __init__(self, embeddings: Float[Tensor, "N d"], offsets: Int[Tensor, " D_plus_1"]) -> None:
        self._index = ExactIndex(embeddings)
        self._offsets = offsets
        self._counts = offsets.diff()
        self._owners = torch.arange(len(self._counts)).repeat_interleave(self._counts)
        self._single = len(self._owners) == len(self._counts)

    def __len__(self) -> int:
        return len(self._counts)

    def search(
        self,
        queries: Float[Tensor, "Q d"],
        k: int,
        pooled: str = "max",
        allowed: Bool[Tensor, " D"] | None = None,
        added: Float[Tensor, "Q N"] | None = None,
    ) -> BestDocuments:
        """The best `k` documents of each query; of all that are allowed if there are fewer.

        Args:
            pooled: a document's score is the largest or the mean score of its passages.
            allowed: which documents may be found; `None` for all.
            added: to the scores of the passages.

        Raises:
            UserError: `k` is below 1, `pooled` is neither, the dimension is not the index's, or a
                value is not finite.
        """
        check_k(k)
        check_pooled(pooled)
        k = min(k, len(self) if allowed is None else int(allowed.sum()))
        if self._single and allowed is None and added is None and k:
            scores, rows = self._index.search(queries, k)
            return BestDocuments(scores, rows, rows)
        size = max(1, _SCORES // max(1, len(self._owners)))
        parts = [
            self._search(queries[rows], k, pooled, allowed, None if added is None else added[rows])
            for rows in torch.split(torch.arange(len(queries)), size)
        ]
        return BestDocuments(*(torch.cat([getattr(part, name) for part in parts]) for name in _FIELDS))

    def scores(self, queries: Float[Tensor, "b d"], pooled: str) -> Float[Tensor, "b D"]:
        """The scores of all documents, in their order.

        Raises:
            UserError: `pooled` is neither max nor mean.
        """
        check_pooled(pooled)
        scores = self._passage_scores(queries)
        return scores if self._single else self._of_documents(scores, pooled)

    @torch.no_grad()
    def _search(
        self, queries: Float[Tensor, "b d"], k: int, pooled: str, allowed: Tensor | None, added: Tensor | None
    ) -> BestDocuments:
        scores = self._passage_scores(queries)
        if added is not None:
            scores = scores + added
        found = scores if self._single else self._of_documents(scores, pooled)
        if allowed is not None:
            found = found.masked_fill(~allowed, -torch.inf)
        best, documents = best_of_rows(found, k) if k else (found[:, :0], found[:, :0].long())
        return BestDocuments(best, documents, documents if self._single else self._best_passages(scores, documents))

    def _passage_scores(self, queries: Float[Tensor, "b d"]) -> Float[Tensor, "b N"]:
        with full_precision():
            return queries.float() @ self._index.documents.T

    def _of_documents(self, scores: Float[Tensor, "b N"], pooled: str) -> Float[Tensor, "b D"]:
        empty = scores.new_full((len(scores), len(self)), 0.0 if pooled == "mean" else -torch.inf)
        owners = self._owners.expand_as(scores)
        if pooled == "max":
            return empty.scatter_reduce(1, owners, scores, "amax")
        return empty.scatter_add(1, owners, scores) / self._counts

    def _best_passages(self, scores: Float[Tensor, "b N"], documents: Int[Tensor, "b k"]) -> Int[Tensor, "b k"]:
        found = torch.empty_like(documents)
        for query, line in enumerate(documents.tolist()):
            for place, document in enumerate(line):
                begin, end = self._offsets[document : document + 2].tolist()
                found[query, place] = begin + scores[query, begin:end].argmax()
        return found


def check_pooled(pooled: str) -> None:
    """Raise `UserError` unless it is a way from the scores of passages to that of their document."""
    if pooled not in ("max", "mean"):
        raise UserError("passages to be max or mean", repr(pooled), "Choose one of them.")


_FIELDS = ("scores", "documents", "passages")
