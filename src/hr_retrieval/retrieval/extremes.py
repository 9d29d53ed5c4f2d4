"""The best positive and the hardest negative of each query, with their scores, and what ties with the positive."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hr_retrieval.retrieval.grid import as_rows, chunked, full_precision, score_grid
from hr_retrieval.retrieval.metrics import Embedded

# Share of queries (`Extremes.tied`) of which a document that is not relevant scores exactly as
# the best relevant one, above which ranks are in good part drawn by lot.
TIED = 0.05
# Scores held at a time: 64 MiB in float32.
_SCORES = 1 << 24


@dataclass(frozen=True)
class Extremes:
    """Of each of `S` queries, on the processor; of documents that score alike the first counts.

    Attributes:
        positives: the row of the relevant document that scores highest.
        positive_scores: its score.
        negatives: the row of the document that scores highest among all others that take part in
            the ranking.
        negative_scores: its score; -inf where there is none.
        ties: documents that are not relevant, take part, and score exactly as `positives` does.
    """

    positives: Int[Tensor, " S"]
    positive_scores: Float[Tensor, " S"]
    negatives: Int[Tensor, " S"]
    negative_scores: Float[Tensor, " S"]
    ties: Int[Tensor, " S"]

    @property
    def tied(self) -> float:
        """Share of the queries whose first rank the scores alone do not tell."""
        return float((self.ties > 0).double().mean()) if len(self.ties) else 0.0


@torch.no_grad()
def extremes(embedded: Embedded, queries: Int[Tensor, " S"]) -> Extremes:
    """Best positive and hardest negative of the given query rows, each of which has a relevant document.

    Scores are those of `exact_ranks`.
    """
    queries = queries.to(embedded.queries.device)
    count, chunks = len(embedded.documents), chunked(embedded.documents)
    parts: list[tuple[Tensor, ...]] = []
    with full_precision():
        for rows in torch.split(queries, max(1, _SCORES // count)):
            scores = as_rows(score_grid(embedded.queries[rows].float(), chunks, count))[:, :count]
            relevant = torch.zeros_like(scores, dtype=torch.bool)
            relevant[embedded.relevance.pairs(rows)] = True
            positive_scores, positives = scores.masked_fill(~relevant, -torch.inf).max(dim=1)
            if embedded.relevance.left_out is not None:
                relevant[embedded.relevance.left_out.pairs(rows)] = True
            negatives = scores.masked_fill(relevant, -torch.inf)
            ties = (negatives == positive_scores.unsqueeze(1)).sum(dim=1)
            negative_scores, hardest = negatives.max(dim=1)
            parts.append((positives, positive_scores, hardest, negative_scores, ties))
    return Extremes(*(torch.cat(values).cpu() for values in zip(*parts, strict=True)))


def what_ties(share: float) -> str:
    """What it means that scores tie in this share of the queries, and where to look."""
    return (
        f"for {share:.0%} of the queries a document that is not relevant scores exactly as high as the best relevant one, and "
        "lots decide which stands first. To the encoder their texts are one: they may differ only beyond "
        "model.encoder.max_length, or in letters that its tokenizer does not know or does not tell apart."
    )
