"""The hardest of a pool of negatives that hold a part of the positive (MixGCF)."""

from dataclasses import dataclass

from hr_retrieval.objective.mixing.base import Given, Mixed, check, with_synthetic
from hr_retrieval.objective.mixing.candidates import nearest
from hr_retrieval.objective.mixing.neighbour import NeighbourMixing
from hr_retrieval.objective.similarity import synthetic_cosine


@dataclass(eq=False, repr=False, kw_only=True)
class PoolNegativeMixing(NeighbourMixing):
    """Each anchor gets one synthetic negative: the one of a pool that scores highest.

    `h = argmax_m a.h_m` of `h_m = normalise(alpha_m p + (1 - alpha_m) n_m)`, where the pool `n_m`
    are the anchor's `k` hardest negatives, `p` is its own positive and `alpha_m` is uniform in [0,
    weight). Only what the guard calls a negative is in the pool. The gradient flows through the
    negative, too. Compared to its anchor only. Source: Huang et al. 2021 (MixGCF, KDD, doi
    10.1145/3447548.3467408), which draws the pool at random and `alpha` from [0, 1).

    Args:
        weight: the positive's largest share, in (0, 1].
    """

    k: int = 16
    ramp_steps: int = 50
    source: str = "corpus"
    added: float | None = 0.1
    weight: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        remedy = "It is the positive's largest share; the source takes 1, where half of the points are more positive."
        check(0 < self.weight <= 1, "weight", "in (0, 1]", self.weight, remedy)

    def mix(self, given: Given) -> Mixed:
        candidates = self.candidates(given)
        anchors = self.held(given.anchors)
        pool = nearest(anchors, candidates.embeddings, candidates.negative, self.k)
        positives = self.held(given.documents[: len(anchors)]).unsqueeze(1)
        share = given.share(self.weight, True, len(anchors), self.k, 1)[:, : pool.found.shape[1]]
        points = self.unit(share * positives + (1 - share) * pool.embeddings)
        scores = synthetic_cosine(anchors, points).masked_fill(~pool.found, float("-inf"))
        hardest = points.take_along_dim(scores.argmax(1).view(-1, 1, 1), dim=1)
        return with_synthetic(given, hardest, pool.found.any(1, keepdim=True), [0.0])
