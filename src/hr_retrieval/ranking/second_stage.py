"""The best documents of a first ranking in the order of whoever reads query and document together."""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from hr_retrieval.retrieval.ranking import Ranking
from hr_retrieval.retrieval.relevance import Relevance
from hr_retrieval.retrieval.reordering import reordered

# A query and passages to a score each; higher is better.
Score = Callable[[str, Sequence[str]], Sequence[float]]


def ordered_anew(
    score: Score,
    ranking: Ranking,
    relevance: Relevance,
    queries: Sequence[str],
    documents: Mapping[int, str] | Sequence[str],
    depth: int,
) -> tuple[Int[Tensor, " nnz"], int]:
    """The rank of each relevant document behind both stages, and how many pairs were scored.

    Args:
        ranking: of the first stage, on the CPU as `relevance`.
        documents: at least those that it ranks, by their rows.
        depth: documents of each measured query that are ordered anew; all, if it ranks fewer.
    """
    depth = min(depth, ranking.rows.shape[1])
    scores, pairs = torch.zeros(len(queries), depth), 0
    for row in relevance.counts.nonzero().squeeze(1).tolist():
        found = [document for document in ranking.rows[row, :depth].tolist() if document >= 0]
        scores[row, : len(found)] = torch.tensor(score(queries[row], [documents[document] for document in found]))
        pairs += len(found)
    return reordered(ranking, relevance, scores), pairs
