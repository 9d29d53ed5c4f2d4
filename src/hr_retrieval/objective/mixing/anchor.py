"""Mixing of near positives and near negatives into the anchors."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from hr_retrieval.objective.mixing.base import Given, Mixed, check, without_synthetic
from hr_retrieval.objective.mixing.candidates import Nearest, Neighbours, nearest
from hr_retrieval.objective.mixing.neighbour import NeighbourMixing, own_positives


@dataclass(eq=False, repr=False, kw_only=True)
class AnchorMixing(NeighbourMixing):
    """Each anchor is moved a little towards its nearest positives and its nearest negatives.

    `a' = normalise((1 - w_p - w_n) a + w_p P + w_n N)`, where `P` and `N` are weighted means of the
    `k` nearest relevant documents and the `k` nearest negatives. Candidates for `P` are also the
    other anchors that share a relevant document. The part of `N` makes the triplet harder, since
    the anchor now lies closer to what it must tell apart; that of `P` ties the texts of one group
    together. An anchor that has no neighbour of one kind keeps that kind's share itself. Documents
    and relevance stay as they are. Diagnostics also: `with_positive` and `with_negative`, the share
    of anchors that have such neighbours; `neighbours_true`, the share of true positives among the
    `k` nearest documents (an own positive counts where it may be mixed in): what relevance spares
    the mixing.

    Args:
        positive_weight: `w_p`, at least 0.
        negative_weight: `w_n`, at least 0; `w_p + w_n` is below 1, so that the anchor keeps a part.
        random: draw each anchor's weights uniformly from 0 up to these.
        own_positive: count the anchor's own positive, and duplicates of it, among its neighbours. A
            fixed share of it would satisfy part of the triplet for free; a random one varies how
            hard the triplet is.
        weights: "mean", or "softmax" of the neighbours' cosines with the anchor.
        temperature: of that softmax; a lower one favours the nearest.
    """

    k: int = 1
    positive_weight: float = 0.3
    negative_weight: float = 0.3
    random: bool = True
    own_positive: bool = True
    weights: str = "mean"
    temperature: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        check(
            self.positive_weight >= 0,
            "positive_weight",
            "of at least 0",
            self.positive_weight,
            "0 leaves positives out.",
        )
        check(
            self.negative_weight >= 0,
            "negative_weight",
            "of at least 0",
            self.negative_weight,
            "0 leaves negatives out.",
        )
        total = self.positive_weight + self.negative_weight
        check(
            total < 1, "positive_weight + negative_weight", "below 1", total, "Lower one: the rest is the anchor's own."
        )
        remedy = "mean weighs neighbours alike, softmax the nearest one most."
        check(self.weights in ("mean", "softmax"), "weights", 'to be "mean" or "softmax"', self.weights, remedy)
        remedy = "The smaller it is, the more the nearest neighbour weighs; 0.05 is the default."
        check(self.temperature > 0, "temperature", "above 0", self.temperature, remedy)

    def mix(self, given: Given) -> Mixed:
        candidates = self.candidates(given)
        # One's own text again would be the nearest positive, and satisfy the triplet for free.
        allowed = torch.ones_like(candidates.relevance) if self.own_positive else ~own_positives(given, candidates)
        positives = self._positive_candidates(given, candidates, allowed)
        anchors = self.held(given.anchors)
        near_positives = nearest(anchors, *positives, self.k)
        near_negatives = nearest(anchors, candidates.embeddings, candidates.negative, self.k)
        positive_share, positive = self._part(given, near_positives, self.positive_weight)
        negative_share, negative = self._part(given, near_negatives, self.negative_weight)
        mixed = self.unit((1 - positive_share - negative_share) * given.anchors + positive + negative)
        diagnostics = {
            "mixed_share": (positive_share + negative_share > 0).float().mean(),
            "shift": F.cosine_similarity(given.anchors, mixed).detach().mean(),
            "with_positive": near_positives.found.any(1).float().mean(),
            "with_negative": near_negatives.found.any(1).float().mean(),
            "neighbours_true": self._true_share(anchors, candidates, allowed),
        }
        return without_synthetic(mixed, given.documents, given.labels, diagnostics, given.relevant)

    def _part(self, given: Given, near: Nearest, weight: float) -> tuple[Float[Tensor, "B 1"], Float[Tensor, "B d"]]:
        """Each anchor's share of one kind of neighbour, and that share of their weighted mean."""
        share = given.share(weight, self.random, len(given.anchors), 1) * near.found.any(1, keepdim=True)
        return share, share * near.blend(near.weights(self.weights, self.temperature))

    def _positive_candidates(
        self, given: Given, candidates: Neighbours, allowed: Bool[Tensor, "B C"]
    ) -> tuple[Float[Tensor, "P d"], Bool[Tensor, "B P"]]:
        """The documents and the anchors, and which of them are another positive of each anchor."""
        embeddings = torch.cat([candidates.embeddings, self.held(given.anchors)])
        relevance = torch.cat([candidates.relevance & allowed, _siblings(given.relevance)], 1)
        return embeddings, relevance

    def _true_share(
        self, anchors: Float[Tensor, "B d"], candidates: Neighbours, allowed: Bool[Tensor, "B C"]
    ) -> Float[Tensor, ""]:
        near = nearest(anchors.detach(), candidates.embeddings.detach(), allowed, self.k)
        true = candidates.relevance.gather(1, near.rows) & near.found
        return true.sum() / near.found.sum().clamp(min=1)


def _siblings(relevance: Bool[Tensor, "B D"]) -> Bool[Tensor, "B B"]:
    """Which other anchors share a relevant document with an anchor."""
    shared = relevance.float() @ relevance.float().T > 0
    return shared.fill_diagonal_(False)
