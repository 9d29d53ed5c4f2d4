"""What every mixing strategy takes, gives back and shares."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hr_retrieval.errors import UserError
from hr_retrieval.objective.mixing.candidates import Neighbours
from hr_retrieval.objective.similarity import at_least_float32, synthetic_cosine

ABSENT = -1.0
"""Relevance of what counts for nothing: a document that is neither relevant nor a negative, a place that holds none."""


@dataclass(frozen=True)
class Mixed:
    """What the loss compares.

    Attributes:
        anchors: unit vectors, unless renormalising was switched off.
        documents: likewise.
        relevance: of each document to each anchor, in [0, 1]; -1 where it is neither relevant nor a
            negative.
        synthetic: `M` documents for each anchor, compared to that anchor only; `M` may be 0.
        synthetic_relevance: of these, in [0, 1]; -1 marks a place that holds no document.
        diagnostics: scalars without gradient; `mixed_share` (share of the anchors that mixing
            changed or gave something) always, and of the strategies that have it: `shift`, the mean
            cosine of what was mixed, before and after; `synthetic_hardness` and
            `synthetic_positive_score`, the mean cosines of anchors with their synthetic negatives
            and positives.
        relevant: how many entries of `relevance` are above 0, where it is known.
    """

    anchors: Float[Tensor, "B d"]
    documents: Float[Tensor, "D d"]
    relevance: Float[Tensor, "B D"]
    synthetic: Float[Tensor, "B M d"]
    synthetic_relevance: Float[Tensor, "B M"]
    diagnostics: dict[str, Tensor]
    relevant: int | None = None


@dataclass(frozen=True)
class Given:
    """What a strategy mixes in one training step.

    Attributes:
        anchors, documents, relevance, negative, identities: the batch, in float32 or wider.
        neighbours: further candidates, if the caller has any.
        ramp: in (0, 1]: how far the mixing has risen to full strength; it multiplies every share
            that is mixed in.
        random: the step's own random numbers.
        relevant: how many entries of `relevance` hold, where it is known.
        views: of the anchors, for a strategy with `view_drop`.
    """

    anchors: Float[Tensor, "B d"]
    documents: Float[Tensor, "D d"]
    relevance: Bool[Tensor, "B D"]
    negative: Bool[Tensor, "B D"]
    identities: Int[Tensor, " D"]
    neighbours: Neighbours | None
    ramp: float
    random: np.random.Generator
    relevant: int | None = None
    views: Float[Tensor, "B d"] | None = None

    @property
    def labels(self) -> Float[Tensor, "B D"]:
        """Relevance as the loss takes it: 1 relevant, 0 a negative, -1 neither."""
        labels = self.relevance.to(self.anchors.dtype)
        return labels.masked_fill(~(self.relevance | self.negative), ABSENT)

    def share(self, weight: float, random: bool, *shape: int) -> Float[Tensor, "..."]:
        """Shares to mix in: `weight`, or uniform in [0, weight), times the ramp."""
        values = self.random.uniform(0, weight, shape) if random else np.full(shape, weight)
        return self.tensor(values * self.ramp)

    def tensor(self, values: npt.NDArray[np.float64]) -> Float[Tensor, "..."]:
        """The values with the dtype and on the device of the anchors."""
        return torch.as_tensor(values, dtype=self.anchors.dtype).to(self.anchors.device)


# A dataclass, so that a strategy's signature is the shared options and its own, each with one
# default in one place.
@dataclass(eq=False, repr=False, kw_only=True)
class Mixing(nn.Module, ABC):
    """Changes or adds embeddings between encoder and loss. The identity in evaluation and before `start_step`.

    Random numbers follow from `seed` and the step alone: a resumed run draws what an uninterrupted
    one would, and so does every process of a distributed run.

    Args:
        start_step: first step that mixes.
        ramp_steps: steps over which the shares that are mixed in rise linearly to full strength; 0
            begins at full strength.
        detach: what is mixed in is a constant, so that gradients flow through the unmixed parts
            only.
        renormalise: scale mixed vectors to unit length.
        seed: of the random numbers.
        added: `None` compares what is mixed in place of the plain batch; a number adds that to the
            plain loss instead, `plain + added * mixed`, and it is then this weight that rises over
            `ramp_steps`, not the shares.
    """

    start_step: int = 0
    ramp_steps: int = 0
    detach: bool = False
    renormalise: bool = True
    seed: int = 0
    added: float | None = None

    def __post_init__(self) -> None:
        super().__init__()
        for key in ("start_step", "ramp_steps", "seed"):
            check(getattr(self, key) >= 0, key, "of at least 0", getattr(self, key), f"Leave {key} out to have 0.")
        remedy = "It is the weight beside the plain loss; null replaces that."
        check(self.added is None or self.added > 0, "added", "above 0, or null", self.added, remedy)

    def forward(
        self,
        anchors: Float[Tensor, "B d"],
        documents: Float[Tensor, "D d"],
        relevance: Bool[Tensor, "B D"],
        negative: Bool[Tensor, "B D"],
        identities: Int[Tensor, " D"],
        step: int,
        neighbours: Neighbours | None = None,
        relevant: int | None = None,
        views: Float[Tensor, "B d"] | None = None,
    ) -> Mixed:
        """Mix one batch.

        Args:
            anchors: unit vectors.
            documents: unit vectors, `D >= B`; the first `B` are the anchors' own positives.
            relevance: which document is relevant to which anchor; `relevance[i, i]` holds.
            negative: which document is a negative of which anchor; never a relevant one.
            identities: a code for each document, equal for duplicates, by which an anchor's own
                positive is known.
            step: optimizer steps taken so far.
            neighbours: further candidates, for strategies whose `source` is not the batch.
            relevant: how many entries of `relevance` hold, if the caller knows: a GPU need not be
                asked for it.
            views: unit vectors of the anchors' texts without some of their tokens, for a strategy
                with `view_drop`.
        """
        ramp = self.risen(step) if self.added is None else 1.0
        random = np.random.default_rng((self.seed, step))
        wide = at_least_float32(anchors), at_least_float32(documents)
        given = Given(*wide, relevance, negative, identities, neighbours, ramp, random, relevant, views)
        return self.mix(given) if self.training and step >= self.start_step else unmixed(given)

    @property
    def view_drop(self) -> float:
        """Chance of a token to be left out of the anchors' views that are mixed; 0 where none are."""
        return 0.0

    def risen(self, step: int) -> float:
        """How far the mixing has risen to its full strength, from 0 before `start_step` to 1."""
        return min(1.0, max(0, step - self.start_step + 1) / max(1, self.ramp_steps))

    @abstractmethod
    def mix(self, given: Given) -> Mixed:
        """Mix one batch of a training step."""

    def held(self, values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The values, as constants if `detach` says so."""
        return values.detach() if self.detach else values

    def unit(self, values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The values at unit length, if `renormalise` says so."""
        return F.normalize(values, dim=-1) if self.renormalise else values


def unmixed(given: Given) -> Mixed:
    """The batch as it is."""
    diagnostics = {"mixed_share": torch.zeros((), device=given.anchors.device)}
    return without_synthetic(given.anchors, given.documents, given.labels, diagnostics, given.relevant)


def without_synthetic(
    anchors: Float[Tensor, "B d"],
    documents: Float[Tensor, "D d"],
    relevance: Float[Tensor, "B D"],
    diagnostics: dict[str, Tensor],
    relevant: int | None = None,
) -> Mixed:
    """What was mixed, where no anchor has documents of its own."""
    nothing = anchors.new_zeros(len(anchors), 0, anchors.shape[1])
    return Mixed(anchors, documents, relevance, nothing, nothing.sum(2), diagnostics, relevant)


def with_synthetic(
    given: Given, synthetic: Float[Tensor, "B M d"], present: Bool[Tensor, "B M"], relevance: list[float]
) -> Mixed:
    """The batch as it is and, where present, `M` synthetic documents an anchor, each 0 or 1 by relevance."""
    labels = synthetic.new_tensor(relevance).expand(present.shape).masked_fill(~present, ABSENT)
    scores = synthetic_cosine(given.anchors, synthetic).detach()
    diagnostics = {"mixed_share": present.any(1).float().mean()}
    for name, label in (("synthetic_hardness", 0.0), ("synthetic_positive_score", 1.0)):
        if label in relevance:
            chosen = labels == label
            diagnostics[name] = scores.masked_fill(~chosen, 0).sum() / chosen.sum().clamp(min=1)
    return Mixed(given.anchors, given.documents, given.labels, synthetic, labels, diagnostics, given.relevant)


def check(right: bool, key: str, expected: str, got: object, remedy: str) -> None:
    """Raise `UserError` about `model.mixing.<key>` unless the value is right."""
    if not right:
        raise UserError(f"model.mixing.{key} {expected}", str(got), remedy)
