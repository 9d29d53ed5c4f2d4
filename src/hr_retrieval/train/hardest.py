"""The documents that score highest for a query and may be its negatives."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from hr_retrieval.data.guard import Guard
from hr_retrieval.data.negatives import HardNegatives, MiningOptions, Rows
from hr_retrieval.retrieval.index import ExactIndex


@dataclass(frozen=True, eq=False)
class Hardest(HardNegatives):
    """Those of a block of queries, and how many documents were looked at, were relevant, and were too close."""

    looked_at: int
    relevant: int
    close: int


def hardest_allowed(
    index: ExactIndex,
    candidates: Rows,
    queries: Float[Tensor, "b d"],
    query_rows: Rows,
    guard: Guard,
    options: MiningOptions,
) -> Hardest:
    """The hardest allowed negatives of a block of queries.

    Args:
        index: of the embeddings of `candidates`.
        candidates: rows in the corpus, ascending; the positives of the queries are among them.
        queries: embeddings of `query_rows`.
        query_rows: rows in the query table, ascending, each with a positive.
    """
    found_scores, found = index.search(queries, options.depth)
    scores, documents = found_scores.cpu().numpy(), candidates[found.cpu().numpy()]
    positive = _best_positives(index, candidates, queries, query_rows, guard)
    relevant = _guarded(guard, query_rows, documents)
    ranks = (~relevant).cumsum(axis=1)
    beyond = ~relevant & (ranks > options.skip)
    close = beyond & (scores.astype(np.float64) >= _limits(positive, options.positive_share)[:, None])
    allowed = beyond & ~close
    at = np.nonzero(allowed & (allowed.cumsum(axis=1) <= options.per_query))
    return Hardest(
        query_rows[at[0]],
        documents[at].astype(np.int32),
        ranks[at].astype(np.int32),
        scores[at],
        positive[at[0]],
        scores.size,
        int(relevant.sum()),
        int(close.sum()),
    )


def _limits(positive: npt.NDArray[np.float32], share: float | None) -> npt.NDArray[np.float64]:
    wide = positive.astype(np.float64)
    return np.full_like(wide, np.inf) if share is None else wide - (1 - share) * np.abs(wide)


def _best_positives(
    index: ExactIndex, candidates: Rows, queries: Float[Tensor, "b d"], query_rows: Rows, guard: Guard
) -> npt.NDArray[np.float32]:
    """The score of each query's best stated positive."""
    offsets, documents = guard.tables.positive_offsets, guard.tables.positive_documents
    counts = offsets[query_rows + 1] - offsets[query_rows]
    stated = np.concatenate([documents[offsets[row] : offsets[row + 1]] for row in query_rows])
    owners, at = np.repeat(np.arange(len(query_rows)), counts), np.searchsorted(candidates, stated)
    scores = index.score(queries, torch.from_numpy(owners), torch.from_numpy(at)).cpu().numpy()
    return np.maximum.reduceat(scores, np.cumsum(counts) - counts)


def _guarded(guard: Guard, query_rows: Rows, documents: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which `[b, k]` of each query's own documents are no negatives of it."""
    distinct, at = np.unique(documents, return_inverse=True)
    _, negative = guard.judge(query_rows, distinct)
    return ~negative[np.arange(len(query_rows))[:, None], at.reshape(documents.shape)]
