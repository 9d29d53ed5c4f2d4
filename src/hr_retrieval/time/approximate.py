"""Approximate search: a graph of near neighbours, which reads a small part of the documents for each query."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hr_retrieval.errors import UserError


class ApproximateIndex:
    """Hierarchical navigable small worlds (Malkov and Yashunin 2016, arXiv 1603.09320) by inner product, in faiss.

    Args:
        documents: their embeddings.
        neighbours: of each document in the graph (`M`; twice as many in its lowest layer).
        ef_construction: candidates that are kept while a document is linked.
        ef_search: candidates that are kept while a query is answered; more are slower and find more.

    Raises:
        UserError: faiss is not installed, there is no document, or a number is below 1.
    """

    def __init__(
        self, documents: Float[Tensor, "N d"], neighbours: int = 32, ef_construction: int = 200, ef_search: int = 64
    ) -> None:
        if not len(documents):
            raise UserError("at least one document", "none", "Fill the corpus first.")
        for name, value in (
            ("neighbours", neighbours),
            ("ef_construction", ef_construction),
            ("ef_search", ef_search),
        ):
            if value < 1:
                raise UserError(f"{name} of at least 1", str(value), f"Set {name} to 64, for example.")
        faiss = _faiss()
        self._index = faiss.IndexHNSWFlat(documents.shape[1], neighbours, faiss.METRIC_INNER_PRODUCT)
        self._index.hnsw.efConstruction = ef_construction
        self._index.hnsw.efSearch = ef_search
        self._index.add(documents.detach().cpu().float().numpy())

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def search(self, queries: Float[Tensor, "Q d"], k: int) -> tuple[Float[Tensor, "Q k"], Int[Tensor, "Q k"]]:
        """Scores and rows of what it takes for the best `k` documents (all if there are fewer), best first, on the CPU.

        Row -1, with a score of -inf or nearly so, where it finds fewer.

        Raises:
            UserError: `k` is below 1, or the dimension is not the index's.
        """
        if k < 1:
            raise UserError("k of at least 1", str(k), "Ask for one or more documents.")
        if queries.shape[1] != self._index.d:
            raise UserError(
                f"queries of {self._index.d} dimensions, as the documents have",
                str(queries.shape[1]),
                "Embed both with the same encoder and the same truncation.",
            )
        scores, rows = self._index.search(queries.detach().cpu().float().numpy(), min(k, len(self)))
        return torch.from_numpy(scores), torch.from_numpy(rows)


def _faiss() -> Any:
    try:
        import faiss
    except ModuleNotFoundError:
        raise UserError(
            "the package faiss-cpu, which builds the graph", "none", 'pip install "hr-retrieval[search]"'
        ) from None
    return faiss
