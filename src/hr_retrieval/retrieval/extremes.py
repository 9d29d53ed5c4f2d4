"""The best positive and the hardest negative of each query, with their scores."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hr_retrieval.retrieval.metrics import Embedded

# Scores held at a time: 64 MiB in float32.
_SCORES = 1 << 24


@dataclass(frozen=True)
class Extremes:
    """Of each of `S` queries, on the processor; of documents that score alike the first counts.

    Attributes:
        positives: the row of the relevant document that scores highest.
        positive_scores: its score.
        negatives: the row of the document that scores highest among all others that take part in the ranking.
        negative_scores: its score; -inf where there is none.
    """

    positives: Int[Tensor, " S"]
    positive_scores: Float[Tensor, " S"]
    negatives: Int[Tensor, " S"]
    negative_scores: Float[Tensor, " S"]


@torch.no_grad()
def extremes(embedded: Embedded, queries: Int[Tensor, " S"]) -> Extremes:
    """Best positive and hardest negative of the given query rows, each of which has a relevant document."""
    queries = queries.to(embedded.queries.device)
    size = max(1, _SCORES // len(embedded.documents))
    parts: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    for rows in torch.split(queries, size):
        scores = embedded.queries[rows] @ embedded.documents.T
        relevant = torch.zeros_like(scores, dtype=torch.bool)
        relevant[embedded.relevance.pairs(rows)] = True
        positive_scores, positives = scores.masked_fill(~relevant, -torch.inf).max(dim=1)
        if embedded.relevance.left_out is not None:
            relevant[embedded.relevance.left_out.pairs(rows)] = True
        negative_scores, negatives = scores.masked_fill(relevant, -torch.inf).max(dim=1)
        parts.append((positives, positive_scores, negatives, negative_scores))
    return Extremes(*(torch.cat(values).cpu() for values in zip(*parts, strict=True)))
