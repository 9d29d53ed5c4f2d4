"""Documents that an anchor may take its neighbours from, and the nearest of them."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hr_retrieval.objective.similarity import cosine


@dataclass(frozen=True)
class Neighbours:
    """Candidates for an anchor's neighbours: those beyond the batch come from a memory queue or the embedded corpus.

    Attributes:
        embeddings: unit vectors.
        relevance: which of them is relevant to which anchor, by the same rule as in the batch.
        negative: likewise, which is a negative; what is neither is never taken.
        identities: a code for each, equal for duplicates, from the same codes as in the batch.
    """

    embeddings: Float[Tensor, "K d"]
    relevance: Bool[Tensor, "B K"]
    negative: Bool[Tensor, "B K"]
    identities: Int[Tensor, " K"]


@dataclass(frozen=True)
class Nearest:
    """The nearest candidates of each anchor, nearest first. Where an anchor has fewer than `k`, the
    rest is not `found`.

    Attributes:
        embeddings: unit vectors; arbitrary candidates where none was found.
        rows: where they stand among the candidates.
        scores: their cosines with the anchor; -inf where none was found.
        found: whether there is one.
    """

    embeddings: Float[Tensor, "B k d"]
    rows: Int[Tensor, "B k"]
    scores: Float[Tensor, "B k"]
    found: Bool[Tensor, "B k"]

    def weights(self, kind: str, temperature: float) -> Float[Tensor, "B k"]:
        """Weights with sum 1, "mean" or "softmax" of cosine / temperature; all 0 where none was found."""
        if kind == "mean":
            return self.found / self.found.sum(1, keepdim=True).clamp(min=1)
        # The lowest finite number: where nothing was found at all, the softmax of -inf and its
        # gradient are NaN.
        lowest = torch.finfo(self.scores.dtype).min
        weights = (self.scores / temperature).masked_fill(~self.found, lowest).softmax(1)
        return weights.masked_fill(~self.found, 0)

    def blend(self, weights: Float[Tensor, "B k"]) -> Float[Tensor, "B d"]:
        """Weighted sum of the neighbours, not renormalised."""
        return (weights.to(self.embeddings.dtype).unsqueeze(2) * self.embeddings).sum(1)


def blended_relevance(
    candidates: Neighbours, near: Nearest, own: Float[Tensor, "N 1"], others: Float[Tensor, "N k"]
) -> Float[Tensor, "B N"]:
    """Relevance to each anchor of `N` documents that were blended with others: their parts'
    relevance, in the parts' weights; -1 where a part is neither relevant nor a negative.

    Args:
        candidates: the first `N` are the documents as they were.
        near: what they were blended with.
        own: their own weights.
        others: those of the neighbours, 0 where none was found; all weights of a document have the
            sum 1.
    """
    size, width = len(own), len(candidates.identities)
    weights = own.new_zeros(size, width).scatter(1, near.rows, others.to(own.dtype))
    weights = weights + own * torch.eye(size, width, dtype=own.dtype, device=own.device)
    unjudged = ~(candidates.relevance | candidates.negative)
    with torch.autocast(weights.device.type, enabled=False):
        blended = candidates.relevance.to(weights.dtype) @ weights.T
        neither = unjudged.to(weights.dtype) @ (weights > 0).to(weights.dtype).T > 0
    # Rounding must not make a document whose parts are all relevant partly a negative.
    return blended.masked_fill(blended > 1 - 1e-6, 1).masked_fill(neither, -1)


def nearest(
    queries: Float[Tensor, "B d"], candidates: Float[Tensor, "C d"], allowed: Bool[Tensor, "B C"], k: int
) -> Nearest:
    """The `k` allowed candidates nearest to each query, or all `C` if there are fewer."""
    # -inf and not a product with the mask: a masked score of 0 would beat every true score below 0.
    scores, rows = (
        cosine(queries, candidates).masked_fill(~allowed, -torch.inf).topk(min(k, candidates.shape[0]), dim=1)
    )
    return Nearest(candidates[rows], rows, scores, scores > -torch.inf)
