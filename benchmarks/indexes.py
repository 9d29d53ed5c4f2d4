"""Indexes that read less than exact search does: a matrix rounded to bfloat16, and a graph of near neighbours."""

import faiss
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hr_retrieval.retrieval.grid import as_rows, chunked, score_grid, scores_at

# Documents of one maximum.
_GROUP = 32


class RoundedIndex:
    """Search over documents stored in bfloat16.

    Over four times as many candidates as are asked for are chosen by rounded scores, any of those
    that tie, and ordered by the float32 query's score with the stored document.
    """

    def __init__(self, documents: Float[Tensor, "N d"]) -> None:
        self._documents = documents.bfloat16()
        self._chunks = chunked(self._documents)

    def search(self, queries: Float[Tensor, "b d"], k: int) -> Int[Tensor, "b k"]:
        """Rows of nearly the best `k` documents, best first."""
        count = len(self._documents)
        rows = _candidates(score_grid(queries.bfloat16(), self._chunks, count), min(4 * k + 16, count))
        scores = (self._documents[rows].float() * queries.unsqueeze(1)).sum(dim=2)
        return rows.gather(1, scores.topk(min(k, count), dim=1).indices)


class GraphIndex:
    """Hierarchical navigable small worlds (Malkov and Yashunin 2016, arXiv 1603.09320) by inner product, in faiss."""

    def __init__(
        self, documents: Float[Tensor, "N d"], neighbours: int = 32, ef_construction: int = 200, ef_search: int = 64
    ) -> None:
        self._index = faiss.IndexHNSWFlat(documents.shape[1], neighbours, faiss.METRIC_INNER_PRODUCT)
        self._index.hnsw.efConstruction, self._index.hnsw.efSearch = ef_construction, ef_search
        self._index.add(documents.numpy())

    def search(self, queries: Float[Tensor, "Q d"], k: int) -> Int[Tensor, "Q k"]:
        """Rows of what it takes for the best `k` documents, best first; -1 where it finds fewer."""
        return torch.from_numpy(self._index.search(queries.numpy(), k)[1])


def _candidates(grid: Float[Tensor, "C b n"], k: int) -> Int[Tensor, "b k"]:
    """Rows of `k` documents of each query that no other outscores; any of those that tie."""
    chunks, queries, width = grid.shape
    stride = width // _GROUP
    if chunks * stride < 4 * k:
        return as_rows(grid).topk(k, dim=1).indices
    # Groups of documents far apart: maxima over a dimension that is not the last are vectorised in
    # bfloat16 too.
    chosen = as_rows(grid.view(chunks, queries, _GROUP, stride).amax(dim=2)).topk(k, dim=1, sorted=False).indices
    firsts = chosen // stride * width + chosen % stride
    rows = (firsts.unsqueeze(2) + torch.arange(0, width, stride)).flatten(1)
    return rows.gather(1, scores_at(grid, rows).topk(k, dim=1).indices)
