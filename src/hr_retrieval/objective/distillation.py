"""Distillation: a batch is to be scored as a teacher scores it, beside being told apart."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hr_retrieval.errors import UserError
from hr_retrieval.objective.similarity import at_least_float32
from hr_retrieval.objective.triplet import LossResult

FORMS = ("kl", "margin_mse")


@dataclass(frozen=True)
class Distillation:
    """`(1 - share) L + share D`, where `D` compares scores `s` with the teacher's `t` over the
    documents of the batch that it has scored, whatever they are said to be relevant to.

    * `kl`: `D = sum_j p_j log(p_j / q_j)`, `p = softmax(t / temperature)`, `q = softmax(scale s)`,
      over the documents `j` of each anchor with at least two of them (Hinton et al. 2015, arXiv
      1503.02531).
    * `margin_mse`: `D = (scale (s_p - s_n) - (t_p - t_n) / temperature)^2` for the anchor's own
      document `p` and each other one `n` (Hofstätter et al. 2020, arXiv 2010.02666).

    Both are means. Anchors and documents are compared as they were encoded, without mixing and
    whole.

    Args:
        form: one of these.
        share: of `D`, above 0 and up to 1, which trains by the teacher alone.
        temperature: of the teacher, above 0: .05 suits cosines, 1 the logits of a cross-encoder.
        scale: of the encoder's cosines, above 0.

    Raises:
        UserError: a value is out of range.
    """

    form: str = "kl"
    share: float = 0.5
    temperature: float = 0.05
    scale: float = 20.0

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise UserError(
                f"model.distillation.form to be one of {', '.join(FORMS)}", str(self.form), "Choose one of these."
            )
        if not 0 < self.share <= 1:
            raise UserError(
                "model.distillation.share above 0 and up to 1",
                str(self.share),
                "Without datamodule.teacher nothing is distilled.",
            )
        for key in ("temperature", "scale"):
            if getattr(self, key) <= 0:
                usual = "For cosines, .05 and 20 are usual."
                raise UserError(f"model.distillation.{key} above 0", str(getattr(self, key)), usual)

    def __call__(self, result: LossResult, scores: Float[Tensor, "B D"], teacher: Float[Tensor, "B D"]) -> LossResult:
        """The loss with what the teacher adds; `taught` among the diagnostics is `D`.

        Args:
            scores: of each anchor with each document; the first `B` documents are the anchors' own.
            teacher: its scores, NaN where it has none.
        """
        scores, teacher = at_least_float32(scores), at_least_float32(teacher)
        known = torch.isfinite(teacher)
        compare = self._divergence if self.form == "kl" else self._margins
        taught = compare(self.scale * scores, teacher.masked_fill(~known, 0) / self.temperature, known)
        loss = (1 - self.share) * result.loss + self.share * taught
        return LossResult(loss, {**result.diagnostics, "taught": taught.detach()})

    @staticmethod
    def _divergence(scores: Tensor, teacher: Tensor, known: Tensor) -> Tensor:
        several = known.sum(1) > 1
        # A row that is not counted keeps its documents: a softmax of nothing has no gradient.
        kept = known | ~several.unsqueeze(1)
        student, right = (
            side.masked_fill(~kept, -torch.inf).log_softmax(1).masked_fill(~kept, 0) for side in (scores, teacher)
        )
        found = (right.exp().masked_fill(~kept, 0) * (right - student)).sum(1)
        return (found * several).sum() / several.sum().clamp(min=1)

    @staticmethod
    def _margins(scores: Tensor, teacher: Tensor, known: Tensor) -> Tensor:
        own = torch.eye(*known.shape, dtype=torch.bool, device=known.device)
        off = scores.diagonal().unsqueeze(1) - scores - (teacher.diagonal().unsqueeze(1) - teacher)
        counted = known & known.diagonal().unsqueeze(1) & ~own
        return (off.square() * counted).sum() / counted.sum().clamp(min=1)
