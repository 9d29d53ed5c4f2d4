"""Own positives replaced or accompanied by their nearest relevant neighbours (NNCLR)."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from hr_retrieval.objective.mixing.base import ABSENT, Given, Mixed, check, with_synthetic, without_synthetic
from hr_retrieval.objective.mixing.candidates import Nearest, Neighbours, blended_relevance, nearest
from hr_retrieval.objective.mixing.neighbour import NeighbourMixing, own_positives


@dataclass(eq=False, repr=False, kw_only=True)
class NeighbourPositiveMixing(NeighbourMixing):
    """The own positive `p` of each anchor is moved to the nearest other documents that are relevant to the anchor.

    `p' = normalise((1 - w) p + w Q)`, where `Q` is the mean of the `k` relevant documents nearest
    to `p`. Only relevant documents are taken, so a wrong neighbour is never a positive. The moved
    document is as relevant to the other anchors as its parts are in sum: what is relevant to them
    never becomes their negative; where a part is neither relevant nor a negative of theirs, so is
    the moved document. Diagnostics also: `neighbours_true`, how often the nearest document is a
    relevant one, which is how often the lookup of the source, without relevance, would be right.
    Source: Dwibedi et al. 2021 (NNCLR, arXiv 2104.14548).

    Args:
        weight: `w`, the neighbours' share, in (0, 1]; 1 replaces the positive.
        random: draw each anchor's share uniformly in [0, weight).
        add: keep the own positive, and add `p'` as a further positive that is compared to its
            anchor only.
    """

    k: int = 1
    weight: float = 1.0
    random: bool = False
    add: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check(0 < self.weight <= 1, "weight", "in (0, 1]", self.weight, "1 replaces the positive by its neighbours.")

    def mix(self, given: Given) -> Mixed:
        size = len(given.anchors)
        candidates = self.candidates(given)
        positives = given.documents[:size]
        others = ~own_positives(given, candidates)
        near = nearest(positives, candidates.embeddings, candidates.relevance & others, self.k)
        share = given.share(self.weight, self.random, size, 1) * near.found.any(1, keepdim=True)
        moved = self.unit((1 - share) * positives + share * near.blend(near.weights("mean", 1.0)))
        diagnostics = {
            "shift": F.cosine_similarity(positives, moved).detach().mean(),
            "neighbours_true": _true_share(positives, candidates, nearest(positives, candidates.embeddings, others, 1)),
        }
        if self.add:
            mixed = with_synthetic(given, moved.unsqueeze(1), near.found.any(1, keepdim=True), [1.0])
            return replace(mixed, diagnostics=mixed.diagnostics | diagnostics)
        diagnostics["mixed_share"] = (share > 0).float().mean()
        documents = torch.cat([moved, given.documents[size:]])
        relevance = _moved_relevance(given, candidates, near, share)
        return without_synthetic(given.anchors, documents, relevance, diagnostics)


def _moved_relevance(
    given: Given, candidates: Neighbours, near: Nearest, share: Float[Tensor, "B 1"]
) -> Float[Tensor, "B D"]:
    """Relevance of the documents after the first `B` of them moved."""
    size = len(share)
    parts = share * near.weights("mean", 1.0).to(share.dtype)
    # A document that was neither stays so where nothing of it is left, too.
    moved = blended_relevance(candidates, near, 1 - share, parts).masked_fill(given.labels[:, :size] == ABSENT, ABSENT)
    return torch.cat([moved, given.labels[:, size:]], 1)


def _true_share(positives: Float[Tensor, "B d"], candidates: Neighbours, near: Nearest) -> Float[Tensor, ""]:
    relevant = candidates.relevance.take_along_dim(near.rows, dim=1)
    return (relevant & near.found).float().mean()
