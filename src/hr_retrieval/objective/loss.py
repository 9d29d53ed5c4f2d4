"""Losses over scores and relevance: every relevant document should score above every other one."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hr_retrieval.errors import UserError
from hr_retrieval.objective.similarity import at_least_float32

# Scores of a batch that lie closer together than this carry no order.
_COLLAPSED_SPREAD = 1e-3


@dataclass(frozen=True)
class LossResult:
    """A loss and what it was made of.

    Attributes:
        loss: a scalar with a gradient graph, also where there was nothing to learn (then 0).
        diagnostics: scalars without gradient, of the anchors' direction:
            `active`: share of the comparisons that still violate the margin;
            `without_negatives`: share of the anchors that have no negative and so teach nothing;
            `positive_score`, `negative_score`: mean scores of the relevant documents and of the negatives;
            `collapsed`: 1 if all scores lie within 0.001, where a triplet loss stands still at its margin; else 0.
    """

    loss: Float[Tensor, ""]
    diagnostics: dict[str, Tensor]


@dataclass(frozen=True)
class Pairs:
    """The `Q` pairs of a row (an anchor, or in the other direction a document) and one of its relevant columns.

    Attributes:
        column: where the relevant column stands.
        positive: its score.
        label: its relevance, in (0, 1].
        scores: all scores of the row.
        labels: relevance of all columns of the row, in [0, 1]; -1 where the column counts for nothing.
    """

    column: Int[Tensor, " Q"]
    positive: Float[Tensor, " Q"]
    label: Float[Tensor, " Q"]
    scores: Float[Tensor, "Q C"]
    labels: Float[Tensor, "Q C"]


class RetrievalLoss(nn.Module, ABC):
    """Compares the scores of relevant documents with those of all others, in float32 or wider.

    Args:
        symmetric: also rank the anchors for each document that has a relevant one, and average both directions.
            Synthetic documents belong to one anchor each and take no part in that.
    """

    def __init__(self, symmetric: bool) -> None:
        super().__init__()
        self.symmetric = symmetric

    def forward(
        self,
        scores: Float[Tensor, "B D"],
        relevance: Bool[Tensor, "B D"] | Float[Tensor, "B D"],
        synthetic_scores: Float[Tensor, "B M"] | None = None,
        synthetic_relevance: Float[Tensor, "B M"] | None = None,
        relevant: int | None = None,
    ) -> LossResult:
        """The loss of a batch.

        Args:
            scores: of each anchor with each document; higher is better.
            relevance: of each document to each anchor, in [0, 1]; -1 where a document is neither relevant nor a negative and
                counts for nothing, in either direction.
            synthetic_scores: of each anchor with its own synthetic documents.
            synthetic_relevance: of these, in [0, 1]; -1 marks a place that holds no document.
            relevant: how many entries of `relevance` are above 0, if the caller knows: a GPU need not be waited for.
        """
        scores = at_least_float32(scores)
        labels = relevance.to(scores.dtype)
        all_scores, all_labels, all_relevant = scores, labels, relevant
        if synthetic_scores is not None and synthetic_relevance is not None and synthetic_scores.shape[1]:
            all_scores = torch.cat([scores, at_least_float32(synthetic_scores)], 1)
            all_labels, all_relevant = torch.cat([labels, synthetic_relevance.to(scores.dtype)], 1), None
        loss, active = self.compare(_pairs(all_scores, all_labels, all_relevant))
        if self.symmetric:
            loss = (loss + self.compare(_pairs(scores.T, labels.T, relevant))[0]) / 2
        return LossResult(loss, {"active": active.detach(), **_diagnostics(all_scores.detach(), all_labels)})

    @abstractmethod
    def compare(self, pairs: Pairs) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """The loss of one direction, and the share of its comparisons that still violate the margin."""


class TripletLoss(RetrievalLoss):
    """Hinge loss over triplets: each relevant document should score above each other one by a margin.

    `relu(margin - s_p + s_n)` for each relevant document `p` and each less relevant document `n` of an anchor.

    With relevance between 0 and 1, `n` is a negative of `p` where it is less relevant, and the triplet weighs
    `r_p (1 - r_n)`: 1 for plain relevance. Sources: Schroff et al. 2015 (FaceNet, arXiv 1503.03832: triplets, semi-hard
    negatives); Hermans et al. 2017 (arXiv 1703.07737: all and hardest of a batch, mean over the violating ones).

    Args:
        margin: how far a relevant document's score should lie above, at least 0.
        negatives: "all"; "hardest", the highest-scoring one of each relevant pair; or "semi-hard", those that score
            below the relevant document but by less than the margin (those above it are left out: early in training
            they lead to collapse).
        reduction: "active" takes the mean over the triplets that violate the margin, "all" over all chosen triplets.
        symmetric: also rank the anchors for each document.
    """

    def __init__(
        self, margin: float = 0.1, negatives: str = "all", reduction: str = "active", symmetric: bool = False
    ) -> None:
        super().__init__(symmetric)
        if margin < 0:
            raise UserError("model.loss.margin of at least 0", str(margin), "Cosine margins from 0.1 to 0.5 are usual.")
        _check_choice("negatives", negatives, ("all", "hardest", "semi-hard"))
        _check_choice("reduction", reduction, ("active", "all"))
        self.margin, self.negatives, self.reduction = margin, negatives, reduction

    def compare(self, pairs: Pairs) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        hinge = F.relu(self.margin - pairs.positive.unsqueeze(1) + pairs.scores)
        weight = (pairs.label.unsqueeze(1) * (1 - pairs.labels)).masked_fill(~self._chosen(pairs), 0)
        violating = weight.masked_fill(hinge <= 0, 0)
        counted = violating if self.reduction == "active" else weight
        return _ratio((weight * hinge).sum(), counted.sum()), _ratio(violating.sum(), weight.sum())

    def _chosen(self, pairs: Pairs) -> Bool[Tensor, "Q C"]:
        less_relevant = (pairs.labels >= 0) & (pairs.labels < pairs.label.unsqueeze(1))
        if self.negatives == "hardest":
            hardest = pairs.scores.masked_fill(~less_relevant, -torch.inf).argmax(1, keepdim=True)
            return less_relevant & torch.zeros_like(less_relevant).scatter(1, hardest, True)
        if self.negatives == "semi-hard":
            positive = pairs.positive.unsqueeze(1)
            return less_relevant & (pairs.scores < positive) & (pairs.scores > positive - self.margin)
        return less_relevant


class SoftmaxLoss(RetrievalLoss):
    """In-batch softmax with an additive margin: each relevant document is to be told from the others of its anchor.

    `-log exp(scale (s_p - margin)) / (exp(scale (s_p - margin)) + sum over n of exp(scale s_n))`, where `n` runs over
    the documents that are not fully relevant: other relevant documents are left out, not pushed away. The relevant
    documents of an anchor share its weight by their relevance, so that relevance between 0 and 1 gives the
    cross-entropy against the relevance distribution (i-Mix, Lee et al. 2021, arXiv 2010.08887), and relevance 0 or 1
    the plain form. The mean is over the anchors that have a negative. Source: Yang et al. 2019 (arXiv 1902.08564).

    Args:
        scale: inverse temperature, above 0.
        margin: how far a relevant document's score should lie above, at least 0.
        symmetric: also rank the anchors for each document.
    """

    def __init__(self, scale: float = 20.0, margin: float = 0.0, symmetric: bool = True) -> None:
        super().__init__(symmetric)
        if scale <= 0:
            raise UserError("model.loss.scale above 0", str(scale), "For cosine scores, 20 is usual.")
        if margin < 0:
            raise UserError("model.loss.margin of at least 0", str(margin), "0 is the plain softmax; 0.3 is usual.")
        self.scale, self.margin = scale, margin

    def compare(self, pairs: Pairs) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        own = torch.zeros_like(pairs.labels, dtype=torch.bool).scatter(1, pairs.column.unsqueeze(1), True)
        left_out = ((pairs.labels < 0) | (pairs.labels >= 1)) & ~own
        lowered = torch.where(own, pairs.scores - self.margin, pairs.scores).masked_fill(left_out, -torch.inf)
        entropy = F.cross_entropy(self.scale * lowered, pairs.column, reduction="none")
        weight = pairs.label / pairs.labels.clamp(min=0).sum(1)
        weight = weight.masked_fill(~(~left_out & ~own).any(1), 0)
        outscored = lowered.masked_fill(own, -torch.inf).amax(1) > pairs.positive - self.margin
        return _ratio((weight * entropy).sum(), weight.sum()), _ratio((weight * outscored).sum(), weight.sum())


def _pairs(scores: Float[Tensor, "R C"], labels: Float[Tensor, "R C"], relevant: int | None) -> Pairs:
    # Relevant documents are few: a row for each of them is far smaller than all triplets [R, C, C].
    above = labels > 0
    found = above.nonzero() if relevant is None else torch.nonzero_static(above, size=relevant)
    row, column = found.unbind(1)
    own_scores, own_labels = scores[row], labels[row]
    positive = own_scores.gather(1, column.unsqueeze(1)).squeeze(1)
    return Pairs(column, positive, own_labels.gather(1, column.unsqueeze(1)).squeeze(1), own_scores, own_labels)


def _diagnostics(scores: Float[Tensor, "B C"], labels: Float[Tensor, "B C"]) -> dict[str, Tensor]:
    there = labels >= 0
    positive, negative = labels.clamp(min=0), (1 - labels).masked_fill(~there, 0)
    spread = scores.masked_fill(~there, -torch.inf).amax() - scores.masked_fill(~there, torch.inf).amin()
    return {
        "without_negatives": (negative <= 0).all(1).to(scores.dtype).mean(),
        "positive_score": _ratio((positive * scores).sum(), positive.sum()),
        "negative_score": _ratio((negative * scores).sum(), negative.sum()),
        "collapsed": ((spread < _COLLAPSED_SPREAD) & (negative > 0).any()).to(scores.dtype),
    }


def _ratio(part: Float[Tensor, ""], whole: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """`part / whole`, and `part` (0 then, with its gradient graph) where `whole` is 0."""
    return part / torch.where(whole > 0, whole, 1)


def _check_choice(key: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UserError(f"model.loss.{key} to be one of {', '.join(choices)}", value, "Choose one of these.")
