"""Synthetic negatives that hold a part of the anchor's own positive (MixCSE)."""

from dataclasses import dataclass

from hr_retrieval.objective.mixing.base import Given, Mixed, check, with_synthetic
from hr_retrieval.objective.mixing.candidates import nearest
from hr_retrieval.objective.mixing.neighbour import NeighbourMixing


@dataclass(eq=False, repr=False, kw_only=True)
class PositiveNegativeMixing(NeighbourMixing):
    """Synthetic negatives between an anchor's own positive and each of its `k` hardest negatives.

    `h = normalise(lambda p + (1 - lambda) n)`, a constant in the backward pass unless `detach` is
    off: the anchor is pushed away from the point, the positive and the negative are not. Compared
    to their anchor only. Source: Zhang et al. 2022 (MixCSE, "Unsupervised Sentence Representation
    via Contrastive Learning with Mixing Negatives", AAAI 2022).

    Args:
        weight: `lambda`, the positive's share, in (0, 0.5]: beyond that the point is more positive
            than negative.
        random: draw the share uniformly in [0, weight).
    """

    k: int = 1
    detach: bool = True
    weight: float = 0.2
    random: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        remedy = "It is the positive's share: beyond a half the point is more positive than negative."
        check(0 < self.weight <= 0.5, "weight", "in (0, 0.5]", self.weight, remedy)

    def mix(self, given: Given) -> Mixed:
        candidates = self.candidates(given)
        hardest = nearest(self.held(given.anchors), candidates.embeddings, candidates.negative, self.k)
        positives = self.held(given.documents[: len(given.anchors)]).unsqueeze(1)
        share = given.share(self.weight, self.random, *hardest.found.shape, 1)
        points = self.unit(share * positives + (1 - share) * hardest.embeddings)
        return with_synthetic(given, points, hardest.found, [0.0] * points.shape[1])
