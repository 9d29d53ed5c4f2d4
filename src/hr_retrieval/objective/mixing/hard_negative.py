"""Synthetic hard negatives mixed from an anchor's hardest negatives (MoCHi)."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from hr_retrieval.objective.mixing.base import Given, Mixed, check, with_synthetic
from hr_retrieval.objective.mixing.candidates import Nearest, nearest
from hr_retrieval.objective.mixing.neighbour import NeighbourMixing


@dataclass(eq=False, repr=False, kw_only=True)
class NegativeNegativeMixing(NeighbourMixing):
    """Synthetic negatives between two of an anchor's hardest negatives.

    `h = normalise((1 - alpha) n_i + alpha n_j)` of two different ones of the `k` hardest, drawn for
    each point; of a single negative, that one. Compared to their anchor only. Source: Kalantidis et
    al. 2020 (MoCHi, arXiv 2010.01028).

    Args:
        count: points for each anchor.
        alpha: the partner's share, in (0, 1].
        random: draw the share uniformly in [0, alpha).
    """

    k: int = 16
    detach: bool = True
    count: int = 8
    alpha: float = 1.0
    random: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.count >= 1, "count", "of at least 1", self.count, "model/mixing=none adds no points.")
        check(0 < self.alpha <= 1, "alpha", "in (0, 1]", self.alpha, "It is the partner's share; 1 is the default.")

    def mix(self, given: Given) -> Mixed:
        candidates = self.candidates(given)
        hardest = nearest(self.held(given.anchors), candidates.embeddings, candidates.negative, self.k)
        first, second = _drawn_pairs(given, hardest, self.count)
        share = given.share(self.alpha, self.random, len(given.anchors), self.count, 1)
        points = self.unit((1 - share) * _at(hardest, first) + share * _at(hardest, second))
        return _as_negatives(given, points, hardest)


@dataclass(eq=False, repr=False, kw_only=True)
class AnchorNegativeMixing(NeighbourMixing):
    """Synthetic negatives between an anchor and one of its hardest negatives: harder than any real one.

    `h = normalise(beta a + (1 - beta) n)` of one of the `k` hardest, drawn for each point. The
    anchor's share is below one half, so that the negative dominates. Compared to their anchor only.
    Source: Kalantidis et al. 2020 (MoCHi, arXiv 2010.01028).

    Args:
        count: points for each anchor.
        beta: the anchor's share, in (0, 0.5].
        random: draw the share uniformly in [0, beta).
    """

    k: int = 16
    detach: bool = True
    count: int = 8
    beta: float = 0.5
    random: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.count >= 1, "count", "of at least 1", self.count, "model/mixing=none adds no points.")
        remedy = "It is the anchor's share, which is the smaller one; 0.5 is the default."
        check(0 < self.beta <= 0.5, "beta", "in (0, 0.5]", self.beta, remedy)

    def mix(self, given: Given) -> Mixed:
        candidates = self.candidates(given)
        anchors = self.held(given.anchors)
        hardest = nearest(anchors, candidates.embeddings, candidates.negative, self.k)
        drawn, _ = _drawn_pairs(given, hardest, self.count)
        share = given.share(self.beta, self.random, len(anchors), self.count, 1)
        points = self.unit(share * anchors.unsqueeze(1) + (1 - share) * _at(hardest, drawn))
        return _as_negatives(given, points, hardest)


def _drawn_pairs(given: Given, hardest: Nearest, count: int) -> tuple[Int[Tensor, "B M"], Int[Tensor, "B M"]]:
    """Places of `count` pairs of neighbours for each anchor, two different ones wherever it has two."""
    found = hardest.found.sum(1, keepdim=True).clamp(min=1)
    shape = (len(found), count)
    first = (given.tensor(given.random.random(shape)) * found).long().minimum(found - 1)
    further = (given.tensor(given.random.random(shape)) * (found - 1)).long().minimum((found - 2).clamp(min=0))
    return first, (first + 1 + further) % found


def _at(hardest: Nearest, places: Int[Tensor, "B M"]) -> Float[Tensor, "B M d"]:
    return hardest.embeddings.take_along_dim(places.unsqueeze(2), dim=1)


def _as_negatives(given: Given, points: Float[Tensor, "B M d"], hardest: Nearest) -> Mixed:
    present = hardest.found.any(1, keepdim=True).expand(points.shape[:2])
    return with_synthetic(given, points, present, [0.0] * points.shape[1])
