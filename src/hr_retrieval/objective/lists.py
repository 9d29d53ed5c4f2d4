"""The loss of lists: of the documents that were scored for a query, the right one should come first."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hr_retrieval.errors import UserError
from hr_retrieval.objective.triplet import COLLAPSED_SPREAD, LossResult, ratio

FORMS = ("softmax", "binary")


class ListLoss(nn.Module):
    """Over the logits `s_0` of the right document and `s_1 ... s_n` of its negatives.

    * `softmax`: `-log(exp(s_0) / sum_j exp(s_j))` (localised contrastive estimation, Gao et al. 2021,
      arXiv 2101.08751).
    * `binary`: the mean of `-log sigmoid(s_0)` and of each `-log(1 - sigmoid(s_j))`, which judges each
      document by itself (Nogueira and Cho 2019, arXiv 1901.04085).

    The loss is the mean over the lists by their weights; a list without a negative has nothing to
    tell apart, and counts for nothing.

    Args:
        form: one of these.

    Raises:
        UserError: there is no such form.
    """

    def __init__(self, form: str = "softmax") -> None:
        super().__init__()
        if form not in FORMS:
            raise UserError(f"model.loss.form to be one of {', '.join(FORMS)}", form, "Choose one of these.")
        self.form = form

    def forward(
        self, scores: Float[Tensor, "L C"], there: Bool[Tensor, "L C"], weights: Float[Tensor, " L"] | None = None
    ) -> LossResult:
        """The loss of a batch.

        Args:
            scores: of each list, the right document's first.
            there: which places hold a document; the first one does.
            weights: of the lists, above 0; `None` for 1 each.
        """
        negatives = there.clone()
        negatives[:, 0] = False
        if self.form == "softmax":
            first = torch.zeros_like(scores[:, 0], dtype=torch.long)
            each = F.cross_entropy(scores.masked_fill(~there, -torch.inf), first, reduction="none")
        else:
            right = torch.zeros_like(scores)
            right[:, 0] = 1
            judged = F.binary_cross_entropy_with_logits(scores, right, reduction="none")
            each = judged.masked_fill(~there, 0).sum(1) / there.sum(1)
        weight = negatives.any(1).to(scores.dtype) * (1 if weights is None else weights)
        return LossResult(ratio((weight * each).sum(), weight.sum()), _diagnostics(scores.detach(), there, negatives))


def _diagnostics(
    scores: Float[Tensor, "L C"], there: Bool[Tensor, "L C"], negatives: Bool[Tensor, "L C"]
) -> dict[str, Tensor]:
    best = scores.masked_fill(~negatives, -torch.inf).amax(1)
    spread = scores.masked_fill(~there, -torch.inf).amax() - scores.masked_fill(~there, torch.inf).amin()
    return {
        "active": (best >= scores[:, 0]).to(scores.dtype).mean(),
        "without_negatives": (~negatives.any(1)).to(scores.dtype).mean(),
        "positive_score": scores[:, 0].mean(),
        "negative_score": ratio(scores.masked_fill(~negatives, 0).sum(), negatives.to(scores.dtype).sum()),
        "collapsed": ((spread < COLLAPSED_SPREAD) & negatives.any()).to(scores.dtype),
    }
