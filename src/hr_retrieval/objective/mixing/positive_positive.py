"""Synthetic points between documents of one group, the hardest kept (Embedding Expansion)."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hr_retrieval.objective.mixing.base import Given, Mixed, check, with_synthetic
from hr_retrieval.objective.mixing.candidates import Neighbours, nearest
from hr_retrieval.objective.mixing.neighbour import NeighbourMixing, own_positives
from hr_retrieval.objective.similarity import cosine, synthetic_cosine


@dataclass(eq=False, repr=False, kw_only=True)
class PositivePositiveMixing(NeighbourMixing):
    """Each anchor gets the hardest point between its positives and, likewise, between negatives of one group.

    The segment from `x` to `y` is cut by `n` inner division points, `normalise(((n + 1 - j) x + j
    y) / (n + 1))` for `j` from 1 to `n`. Positive: `x` is the own positive, `y` each of the `k`
    nearest other relevant documents, and the point least similar to the anchor is kept. Negative:
    `x` is each of the `k` hardest negatives, `y` the hardest other negative of its group, and the
    most similar point is kept. Documents are of one group here if they are relevant to a common
    anchor. Compared to their anchor only. Source: Ko & Gu 2020 (Embedding Expansion, arXiv
    2003.02546), which takes all pairs of a class.

    Args:
        points: `n`.
        random: draw the points uniformly on the segment.
        negatives: whether to add the hard negatives.
    """

    points: int = 3
    random: bool = False
    negatives: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.points >= 1, "points", "of at least 1", self.points, "model/mixing=none adds no points.")

    def mix(self, given: Given) -> Mixed:
        candidates = self.candidates(given)
        parts = [self._hard_positives(given, candidates)]
        if self.negatives:
            parts.append(self._hard_negatives(given, candidates))
        points, present = (torch.cat(values, 1) for values in zip(*parts, strict=True))
        return with_synthetic(given, points, present, [1.0, 0.0][: len(parts)])

    def _hard_positives(
        self, given: Given, candidates: Neighbours
    ) -> tuple[Float[Tensor, "B 1 d"], Bool[Tensor, "B 1"]]:
        anchors = self.held(given.anchors)
        others = candidates.relevance & ~own_positives(given, candidates)
        partners = nearest(anchors, candidates.embeddings, others, self.k)
        own = candidates.embeddings[: len(anchors)].unsqueeze(1).expand_as(partners.embeddings)
        points = self._between(given, own, partners.embeddings)
        scores = self._scores(anchors, points).masked_fill(~partners.found.unsqueeze(2), torch.inf)
        return _picked(points, scores.flatten(1).argmin(1)), partners.found.any(1, keepdim=True)

    def _hard_negatives(
        self, given: Given, candidates: Neighbours
    ) -> tuple[Float[Tensor, "B 1 d"], Bool[Tensor, "B 1"]]:
        anchors = self.held(given.anchors)
        hardest = nearest(anchors, candidates.embeddings, candidates.negative, self.k)
        mates = _mates(candidates.relevance)[hardest.rows] & candidates.negative.unsqueeze(1)
        mates &= hardest.found.unsqueeze(2)
        mate_scores = cosine(anchors, candidates.embeddings).unsqueeze(1).masked_fill(~mates, -torch.inf)
        partners = candidates.embeddings[mate_scores.argmax(2)]
        points = self._between(given, hardest.embeddings, partners)
        scores = self._scores(anchors, points).masked_fill(~mates.any(2, keepdim=True), -torch.inf)
        return _picked(points, scores.flatten(1).argmax(1)), mates.flatten(1).any(1, keepdim=True)

    def _between(
        self, given: Given, begin: Float[Tensor, "B k d"], end: Float[Tensor, "B k d"]
    ) -> Float[Tensor, "B k n d"]:
        inner = np.arange(1, self.points + 1) / (self.points + 1)
        shares = given.random.random((*begin.shape[:2], self.points)) if self.random else inner
        share = given.tensor(shares * given.ramp).unsqueeze(-1)
        return self.unit((1 - share) * begin.unsqueeze(2) + share * end.unsqueeze(2))

    def _scores(self, anchors: Float[Tensor, "B d"], points: Float[Tensor, "B k n d"]) -> Float[Tensor, "B k n"]:
        return synthetic_cosine(anchors, points.flatten(1, 2)).view(points.shape[:3])


def _picked(points: Float[Tensor, "B k n d"], place: Int[Tensor, " B"]) -> Float[Tensor, "B 1 d"]:
    return points.flatten(1, 2).take_along_dim(place.view(-1, 1, 1), dim=1)


def _mates(relevance: Bool[Tensor, "B C"]) -> Bool[Tensor, "C C"]:
    """Which other documents are relevant to an anchor that a document is relevant to."""
    together = relevance.float().T @ relevance.float() > 0
    return together.fill_diagonal_(False)
