"""The triplet loss over scores and relevance: every relevant document should score above every other one."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hr_retrieval.errors import UserError
from hr_retrieval.objective.similarity import at_least_float32

# Scores of a batch that lie closer together than this carry no order.
COLLAPSED_SPREAD = 1e-3


@dataclass(frozen=True)
class LossResult:
    """A loss and what it was made of.

    Attributes:
        loss: a scalar with a gradient graph, also where there was nothing to learn (then 0).
        diagnostics: scalars without gradient, of the anchors' direction:
            `active`: share of the comparisons that still violate the margin;
            `without_negatives`: share of the anchors that have no negative and so teach nothing;
            `positive_score`, `negative_score`: mean scores of the relevant documents and of the
            negatives;
            `collapsed`: 1 if all scores lie within 0.001, where a triplet loss stands still at its
            margin; else 0.
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
        labels: relevance of all columns of the row, in [0, 1]; -1 where the column counts for
            nothing.
        weight: of the pair.
    """

    column: Int[Tensor, " Q"]
    positive: Float[Tensor, " Q"]
    label: Float[Tensor, " Q"]
    scores: Float[Tensor, "Q C"]
    labels: Float[Tensor, "Q C"]
    weight: Float[Tensor, " Q"] | float


class TripletLoss(nn.Module):
    """Over all triplets of an anchor, a relevant document `p` and another one `n`, `s_p` should
    exceed `s_n` by a margin.

    * `smooth`: `log(1 + sum over n of exp(scale (margin - s_p + s_n)))` for each `p`, where `n`
      runs over the documents that are not fully relevant: other relevant documents are left out,
      not pushed away. That is the cross-entropy of a softmax over `p` and all `n`. The relevant
      documents of an anchor share its weight by their relevance, so that relevance between 0 and 1
      gives the cross-entropy against the relevance distribution (i-Mix, Lee et al. 2021, arXiv
      2010.08887). The mean is over the anchors that have a negative. Other names: N-tuplet or
      N-pairs loss (Sohn 2016, NeurIPS), InfoNCE (arXiv 1807.03748), NT-Xent (arXiv 2002.05709),
      MultipleNegativesRankingLoss or in-batch softmax (with a margin: Yang et al. 2019, arXiv
      1902.08564); over the hardest `n` alone the soft margin of Hermans et al. 2017 (arXiv
      1703.07737).
    * `hinge`: `relu(margin - s_p + s_n)`. With relevance between 0 and 1, `n` is a negative of `p`
      where it is less relevant, and the triplet weighs `r_p (1 - r_n)`: 1 for plain relevance.
      Sources: Schroff et al. 2015 (FaceNet, arXiv 1503.03832: triplets, semi-hard negatives);
      Hermans et al. 2017 (all and hardest of a batch, mean over the violating ones).

    Where relevant documents have weights, each pair of an anchor with one of them counts by its own
    in these means. Scores are compared in float32 or wider. `None` is what the form takes by itself.

    Args:
        form: "smooth" or "hinge".
        margin: how far a relevant document's score should lie above, at least 0; by itself 0, of
            the hinge .1.
        negatives: "all"; "hardest", the highest-scoring one of each relevant document; or
            "semi-hard", those that score below the relevant document but by less than the margin
            (those above it are left out: early in training they lead to collapse).
        scale: of the smooth form, the inverse temperature, above 0; by itself 20. The hinge has
            none.
        reduction: of the hinge: "active" (by itself) takes the mean over the triplets that violate
            the margin, "all" over all chosen triplets. To the smooth form every triplet is active.
        symmetric: also rank the anchors for each document that has a relevant one, and average both
            directions; by itself so for the smooth form only. Synthetic documents belong to one
            anchor each and take no part in that.

    Raises:
        UserError: a value is out of range, or has no meaning beside the others.
    """

    def __init__(
        self,
        form: str = "smooth",
        margin: float | None = None,
        negatives: str = "all",
        scale: float | None = None,
        reduction: str | None = None,
        symmetric: bool | None = None,
    ) -> None:
        super().__init__()
        _check_choice("form", form, ("smooth", "hinge"))
        _check_choice("negatives", negatives, ("all", "hardest", "semi-hard"))
        smooth = form == "smooth"
        _check_alone("scale", scale, "smooth", smooth)
        _check_alone("reduction", reduction, "hinge", not smooth)
        self.form, self.negatives = form, negatives
        self.margin = (0.0 if smooth else 0.1) if margin is None else margin
        self.scale = 20.0 if scale is None else scale
        self.reduction = "active" if reduction is None else reduction
        self.symmetric = smooth if symmetric is None else symmetric
        _check_choice("reduction", self.reduction, ("active", "all"))
        if self.margin < 0:
            raise UserError("model.loss.margin of at least 0", str(margin), "For cosines, the hinge takes 0.1 to 0.5.")
        if self.margin == 0 and negatives == "semi-hard":
            raise UserError(
                "model.loss.margin above 0 with negatives=semi-hard, which lie within it",
                "0",
                "Set model.loss.margin=0.1, or model.loss.negatives=hardest.",
            )
        if self.scale <= 0:
            raise UserError("model.loss.scale above 0", str(scale), "For cosine scores, 20 is usual.")

    def forward(
        self,
        scores: Float[Tensor, "B D"],
        relevance: Bool[Tensor, "B D"] | Float[Tensor, "B D"],
        synthetic_scores: Float[Tensor, "B M"] | None = None,
        synthetic_relevance: Float[Tensor, "B M"] | None = None,
        relevant: int | None = None,
        weights: Float[Tensor, "B D"] | None = None,
    ) -> LossResult:
        """The loss of a batch.

        Args:
            scores: of each anchor with each document; higher is better.
            relevance: of each document to each anchor, in [0, 1]; -1 where a document is neither
                relevant nor a negative and counts for nothing, in either direction.
            synthetic_scores: of each anchor with its own synthetic documents.
            synthetic_relevance: of these, in [0, 1]; -1 marks a place that holds no document.
            relevant: how many entries of `relevance` are above 0, if the caller knows: a GPU need
                not be waited for.
            weights: of each anchor's relevant documents, above 0; `None` for 1 each. The first `B`
                documents are the anchors' own, whose weights synthetic documents have.
        """
        scores = at_least_float32(scores)
        labels = relevance.to(scores.dtype)
        weights = None if weights is None else weights.to(scores.dtype)
        all_scores, all_labels, all_relevant, all_weights = scores, labels, relevant, weights
        if synthetic_scores is not None and synthetic_relevance is not None and synthetic_scores.shape[1]:
            all_scores = torch.cat([scores, at_least_float32(synthetic_scores)], 1)
            all_labels, all_relevant = torch.cat([labels, synthetic_relevance.to(scores.dtype)], 1), None
            if weights is not None:
                own = weights.diagonal().unsqueeze(1).expand_as(synthetic_scores)
                all_weights = torch.cat([weights, own], 1)
        compare = self._smooth if self.form == "smooth" else self._hinge
        loss, active = compare(_pairs(all_scores, all_labels, all_relevant, all_weights))
        if self.symmetric:
            loss = (loss + compare(_pairs(scores.T, labels.T, relevant, None if weights is None else weights.T))[0]) / 2
        return LossResult(loss, {"active": active.detach(), **_diagnostics(all_scores.detach(), all_labels)})

    def _smooth(self, pairs: Pairs) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """The loss of one direction, and the share of its relevant documents that a negative
        outscores by the margin.
        """
        own = torch.zeros_like(pairs.labels, dtype=torch.bool).scatter(1, pairs.column.unsqueeze(1), True)
        chosen = self._chosen(pairs, (pairs.labels >= 0) & (pairs.labels < 1) & ~own)
        lowered = torch.where(own, pairs.scores - self.margin, pairs.scores).masked_fill(~(chosen | own), -torch.inf)
        entropy = F.cross_entropy(self.scale * lowered, pairs.column, reduction="none")
        share = pairs.weight * pairs.label / pairs.labels.clamp(min=0).sum(1)
        weight = share.masked_fill(~chosen.any(1), 0)
        outscored = lowered.masked_fill(own, -torch.inf).amax(1) > pairs.positive - self.margin
        return ratio((weight * entropy).sum(), weight.sum()), ratio((weight * outscored).sum(), weight.sum())

    def _hinge(self, pairs: Pairs) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """The loss of one direction, and the share of its triplets that violate the margin."""
        hinge = F.relu(self.margin - pairs.positive.unsqueeze(1) + pairs.scores)
        chosen = self._chosen(pairs, (pairs.labels >= 0) & (pairs.labels < pairs.label.unsqueeze(1)))
        weight = ((pairs.weight * pairs.label).unsqueeze(1) * (1 - pairs.labels)).masked_fill(~chosen, 0)
        violating = weight.masked_fill(hinge <= 0, 0)
        counted = violating if self.reduction == "active" else weight
        return ratio((weight * hinge).sum(), counted.sum()), ratio(violating.sum(), weight.sum())

    def _chosen(self, pairs: Pairs, allowed: Bool[Tensor, "Q C"]) -> Bool[Tensor, "Q C"]:
        if self.negatives == "hardest":
            hardest = pairs.scores.masked_fill(~allowed, -torch.inf).argmax(1, keepdim=True)
            return allowed & torch.zeros_like(allowed).scatter(1, hardest, True)
        if self.negatives == "semi-hard":
            positive = pairs.positive.unsqueeze(1)
            return allowed & (pairs.scores < positive) & (pairs.scores > positive - self.margin)
        return allowed


def _pairs(
    scores: Float[Tensor, "R C"],
    labels: Float[Tensor, "R C"],
    relevant: int | None,
    weights: Float[Tensor, "R C"] | None,
) -> Pairs:
    # Relevant documents are few: a row for each of them is far smaller than all triplets [R, C, C].
    above = labels > 0
    found = above.nonzero() if relevant is None else torch.nonzero_static(above, size=relevant)
    row, column = found.unbind(1)
    own_scores, own_labels = scores[row], labels[row]
    positive = own_scores.gather(1, column.unsqueeze(1)).squeeze(1)
    label = own_labels.gather(1, column.unsqueeze(1)).squeeze(1)
    return Pairs(column, positive, label, own_scores, own_labels, 1.0 if weights is None else weights[row, column])


def _diagnostics(scores: Float[Tensor, "B C"], labels: Float[Tensor, "B C"]) -> dict[str, Tensor]:
    there = labels >= 0
    positive, negative = labels.clamp(min=0), (1 - labels).masked_fill(~there, 0)
    spread = scores.masked_fill(~there, -torch.inf).amax() - scores.masked_fill(~there, torch.inf).amin()
    return {
        "without_negatives": (negative <= 0).all(1).to(scores.dtype).mean(),
        "positive_score": ratio((positive * scores).sum(), positive.sum()),
        "negative_score": ratio((negative * scores).sum(), negative.sum()),
        "collapsed": ((spread < COLLAPSED_SPREAD) & (negative > 0).any()).to(scores.dtype),
    }


def ratio(part: Float[Tensor, ""], whole: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """`part / whole`, and `part` (0 then, with its gradient graph) where `whole` is 0."""
    return part / torch.where(whole > 0, whole, 1)


def _check_choice(key: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UserError(f"model.loss.{key} to be one of {', '.join(choices)}", value, "Choose one of these.")


def _check_alone(key: str, value: object, form: str, right: bool) -> None:
    if value is not None and not right:
        raise UserError(
            f"model.loss.{key} with model.loss.form={form} only",
            f"{key}={value} with the other form",
            f"Leave model.loss.{key} out (null), or set model.loss.form={form}.",
        )
