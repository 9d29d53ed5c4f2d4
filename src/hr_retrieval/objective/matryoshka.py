"""The comparison of a batch, over whole vectors and, where asked for, over their first numbers alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from hr_retrieval.errors import UserError
from hr_retrieval.objective.mixing import ABSENT, Mixed, Neighbours
from hr_retrieval.objective.similarity import cosine, synthetic_cosine
from hr_retrieval.objective.triplet import LossResult, TripletLoss


@dataclass(frozen=True)
class Matryoshka:
    """Losses at several dimensions, so that the first numbers of a vector serve as a shorter one.

    `L = (L_d + sum_k w_k L_k) / (1 + sum_k w_k)`: `L_d` compares whole vectors, `L_k` the first `k`
    numbers of each, at unit length. As a mean, it asks for no other rate than `L_d`. Vectors are
    mixed before they are cut. Source: Kusupati et al. 2022 (Matryoshka Representation Learning,
    arXiv 2205.13147).

    Args:
        dimensions: the `k`, each below the encoder's own; `None` compares whole vectors only.
        weights: the `w_k`, above 0; `None` for 1 each.

    Raises:
        UserError: a dimension is below 1 or named twice, or weights are not one above 0 for each.
    """

    # With `float`, so that a config's 4.5 comes as far as the message.
    dimensions: Sequence[int | float] | None = None
    weights: Sequence[int | float] | None = None

    def __post_init__(self) -> None:
        dimensions = self.dimensions or ()
        whole = all(isinstance(one, int) and not isinstance(one, bool) for one in dimensions)
        if not whole or any(one < 1 for one in dimensions) or len(set(dimensions)) < len(dimensions):
            raise UserError(
                "model.matryoshka.dimensions to be different whole numbers of at least 1, or null",
                str(list(dimensions)),
                "For vectors of 768 numbers, [384,192,96] is usual.",
            )
        weights = self.weights
        if weights is not None and (
            len(weights) != len(dimensions) or not all(0 < weight < math.inf for weight in weights)
        ):
            raise UserError(
                f"a weight above 0 for each of model.matryoshka.dimensions {list(dimensions)}",
                f"model.matryoshka.weights={list(weights)}",
                "Give as many as dimensions, or leave them out (null): each weighs 1 then, as whole vectors do.",
            )

    def check(self, whole: int) -> None:
        """Raise `UserError` unless every dimension is below the encoder's own."""
        if any(one >= whole for one in self.dimensions or ()):
            raise UserError(
                f"model.matryoshka.dimensions below {whole}, the encoder's own",
                str(list(self.dimensions or ())),
                "Leave out what is not shorter: whole vectors are compared in any case.",
            )

    def __call__(
        self,
        loss: TripletLoss,
        mixed: Mixed,
        past: Neighbours | None = None,
        weights: Float[Tensor, "B D"] | None = None,
    ) -> LossResult:
        """The loss of a mixed batch; its diagnostics are those of whole vectors, and the loss at each `k` as `at_<k>`.

        Args:
            past: documents beyond the batch, which each anchor is compared with where they are its
                negatives.
            weights: as `TripletLoss` takes them.
        """
        whole = _compared(loss, mixed, past, weights, None)
        if not self.dimensions:
            return whole
        shares = [float(weight) for weight in self.weights or [1.0] * len(self.dimensions)]
        shorter = [_compared(loss, mixed, past, weights, int(k)).loss for k in self.dimensions]
        total = whole.loss + sum(share * one for share, one in zip(shares, shorter, strict=True))
        said = {f"at_{k}": one.detach() for k, one in zip(self.dimensions, shorter, strict=True)}
        return LossResult(total / (1 + sum(shares)), {**whole.diagnostics, **said})


def first(vectors: Float[Tensor, "*n d"], k: int | None) -> Float[Tensor, "*n _"]:
    """The first `k` numbers of each vector, at unit length; the vectors as they are for `None`."""
    return vectors if k is None else F.normalize(vectors[..., :k], dim=-1)


def _compared(
    loss: TripletLoss, mixed: Mixed, past: Neighbours | None, weights: Float[Tensor, "B D"] | None, k: int | None
) -> LossResult:
    """The loss over the mixed batch by the first `k` numbers, with the synthetic documents of each
    anchor and its negatives of the past beside.
    """
    anchors, documents, synthetic = (first(part, k) for part in (mixed.anchors, mixed.documents, mixed.synthetic))
    scores, labels = synthetic_cosine(anchors, synthetic), mixed.synthetic_relevance
    if past is not None:
        scores = torch.cat([scores, cosine(anchors, first(past.embeddings, k))], 1)
        places = labels.new_full(past.negative.shape, ABSENT).masked_fill(past.negative, 0)
        labels = torch.cat([labels, places], 1)
    result: LossResult = loss(cosine(anchors, documents), mixed.relevance, scores, labels, mixed.relevant, weights)
    return result
