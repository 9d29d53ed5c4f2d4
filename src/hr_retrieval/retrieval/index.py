"""Exact search over a fixed matrix of documents."""

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.grid import (
    COLUMNS,
    best_of_grid,
    best_of_rows,
    check_k,
    full_precision,
    largest,
    score_grid,
    whole_tiles,
)

# Queries searched at a time, scores of one product, and scores held at a time: 128 MiB in float32.
_SEARCH_QUERIES = 256
_SEARCH_PRODUCT = 1 << 20
_SEARCH_SCORES = 1 << 25
# Single pairs scored at a time.
_PAIRED = 1 << 16


class ExactIndex:
    """Exact search over a fixed matrix of documents.

    Args:
        documents: their embeddings, on any device.

    The matrix is kept as it is if it is float32 and has a multiple of 64 rows, else a copy is.

    Raises:
        UserError: a value is not finite, or there is no document.
    """

    def __init__(self, documents: Float[Tensor, "N d"]) -> None:
        if not len(documents):
            raise UserError("at least one document", "none", "Fill the corpus first.")
        largest(documents, "document")
        self._count = len(documents)
        self._documents = whole_tiles(documents.detach().float().contiguous())

    def __len__(self) -> int:
        return self._count

    @property
    def documents(self) -> Float[Tensor, "N d"]:
        """The documents."""
        return self._documents[: self._count]

    def search(self, queries: Float[Tensor, "Q d"], k: int) -> tuple[Float[Tensor, "Q k"], Int[Tensor, "Q k"]]:
        """Scores and rows of the best `k` documents of each query (of all if there are fewer), best first.

        Raises:
            UserError: `k` is below 1, the dimension is not the index's, or a value is not finite.
        """
        check_k(k)
        if queries.shape[1] != self._documents.shape[1]:
            raise UserError(
                f"queries of {self._documents.shape[1]} dimensions, as the documents have",
                f"{queries.shape[1]}",
                "Embed both with the same encoder and the same truncation.",
            )
        largest(queries, "query")
        k = min(k, self._count)
        if len(queries) == 1 and queries.is_cpu and self._documents.is_cpu:
            return self._search_one(queries.detach().float(), k)
        with torch.no_grad(), full_precision():
            if queries.shape[0] <= _SEARCH_QUERIES:
                return self._search(queries.detach().float(), k)
            found = [self._search(block.float(), k) for block in torch.split(queries.detach(), _SEARCH_QUERIES)]
        return torch.cat([scores for scores, _ in found]), torch.cat([rows for _, rows in found])

    @torch.no_grad()
    def score(
        self, queries: Float[Tensor, "Q d"], query_rows: Int[Tensor, " P"], document_rows: Int[Tensor, " P"]
    ) -> Float[Tensor, " P"]:
        """Scores of the given pairs, up to rounding those that `search` gives."""
        device = self._documents.device
        blocks = [torch.split(rows.to(device), _PAIRED) for rows in (query_rows, document_rows)]
        parts = [(queries[q].float() * self._documents[d]).sum(dim=1) for q, d in zip(*blocks, strict=True)]
        return torch.cat(parts)

    def _search_one(self, query: Float[Tensor, "1 d"], k: int) -> tuple[Float[Tensor, "1 k"], Int[Tensor, "1 k"]]:
        # For a single query numpy's matrix-vector product can take half the time of torch's.
        scores = self._documents.numpy() @ query.numpy()[0]
        return _best_of_one(scores[: self._count], k)

    def _search(self, queries: Float[Tensor, "b d"], k: int) -> tuple[Float[Tensor, "b k"], Int[Tensor, "b k"]]:
        """The best `k` part by part, each merged with the best so far."""
        size = max(len(queries), 1)
        width = max(_SEARCH_PRODUCT // size // COLUMNS, 1) * COLUMNS
        step = max(_SEARCH_SCORES // size // width, 1) * width
        if len(self._documents) <= step:
            return best_of_grid(self._grid(queries, 0, step, width), k)
        parts = range(0, self._count, step)
        scores, rows = best_of_grid(self._grid(queries, 0, step, width), min(k, step))
        for begin in parts[1:]:
            grid = self._grid(queries, begin, step, width)
            best, at = best_of_grid(grid, min(k, grid.shape[0] * grid.shape[2]))
            # Rows so far come first and are smaller: the earlier place wins a tie, as the smaller
            # row should.
            scores, rows = torch.cat([scores, best], dim=1), torch.cat([rows, at + begin], dim=1)
            scores, at = best_of_rows(scores, min(k, scores.shape[1]))
            rows = rows.gather(1, at)
        return scores, rows

    def _grid(self, queries: Float[Tensor, "b d"], begin: int, step: int, width: int) -> Float[Tensor, "C b n"]:
        part = self._documents[begin : begin + step]
        chunks = (part,) if len(part) <= width else torch.split(part, width)
        return score_grid(queries, chunks, min(self._count - begin, step))


def top_k(
    queries: Float[Tensor, "Q d"], documents: Float[Tensor, "N d"], k: int
) -> tuple[Float[Tensor, "Q k"], Int[Tensor, "Q k"]]:
    """Scores and rows of the best `k` documents of each query, as of an `ExactIndex` that is used once."""
    return ExactIndex(documents).search(queries, k)


def _best_of_one(scores: npt.NDArray[np.float32], k: int) -> tuple[Float[Tensor, "1 k"], Int[Tensor, "1 k"]]:
    """What `best_of_rows` gives for the row `scores`. Its few small steps cost numpy a third of
    what they cost torch.
    """
    if k < len(scores):
        at = np.argpartition(scores, -k - 1)[-k - 1 :]
        at = at[np.argsort(-scores[at])]
        best = scores[at]
        if (best[1:] < best[:-1]).all():
            return torch.from_numpy(best[None, :k]), torch.from_numpy(at[None, :k])
    return best_of_rows(torch.from_numpy(scores[None]), k)
