"""Own positives smoothed over their group (IS-CSE), up to the group's centroid."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from hr_retrieval.objective.mixing.base import Given, Mixed, check, without_synthetic
from hr_retrieval.objective.mixing.candidates import blended_relevance, nearest
from hr_retrieval.objective.mixing.neighbour import NeighbourMixing, own_positives


@dataclass(eq=False, repr=False, kw_only=True)
class PositiveGroupMixing(NeighbourMixing):
    """Each own positive `p` becomes a weighted mean of itself and its group, and anchors are told the groups apart.

    `p' = normalise(sum_b softmax(beta p.b) b)` over `p` itself and the `k` other relevant documents
    nearest to it. Compared with each anchor are the smoothed positives of all anchors, and the
    batch's further documents as they are. `beta=0` makes `p'` the centroid of the group, told from
    other groups' centroids. A smoothed positive is as relevant to the other anchors as its parts
    are in sum; where a part is neither relevant nor a negative of theirs, so is `p'`. Sources: He
    et al. 2023 (IS-CSE, arXiv 2305.07424), whose group is a plain neighbourhood, beside the plain
    loss; for the centroid Snell et al. 2017 (prototypical networks, arXiv 1703.05175).

    Args:
        beta: at least 0; more favours what is near to `p`.
    """

    k: int = 16
    ramp_steps: int = 50
    source: str = "corpus"
    added: float | None = 0.1
    beta: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.beta >= 0, "beta", "of at least 0", self.beta, "0 is the plain mean of the group.")

    def mix(self, given: Given) -> Mixed:
        size = len(given.anchors)
        candidates = self.candidates(given)
        positives = given.documents[:size]
        near = nearest(
            self.held(positives),
            candidates.embeddings,
            candidates.relevance & ~own_positives(given, candidates),
            self.k,
        )
        own = self.held((positives * positives).sum(1, keepdim=True))
        lowest = torch.finfo(own.dtype).min
        scores = torch.cat([own, near.scores.to(own.dtype).masked_fill(~near.found, 0)], 1)
        found = torch.cat([torch.ones_like(own, dtype=torch.bool), near.found], 1)
        weights = (self.beta * scores).masked_fill(~found, lowest).softmax(1)
        # While the mixing rises, the own positive keeps the rest.
        weights = torch.cat([1 - given.ramp * (1 - weights[:, :1]), given.ramp * weights[:, 1:]], 1)
        smoothed = self.unit(weights[:, :1] * positives + near.blend(weights[:, 1:]))
        constant = weights.detach()
        relevance = blended_relevance(candidates, near, constant[:, :1], constant[:, 1:])
        labels = torch.cat([relevance, given.labels[:, size:]], 1)
        diagnostics = {
            "mixed_share": near.found.any(1).float().mean(),
            "shift": F.cosine_similarity(positives, smoothed).detach().mean(),
        }
        return without_synthetic(given.anchors, torch.cat([smoothed, given.documents[size:]]), labels, diagnostics)
