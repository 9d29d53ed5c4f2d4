"""Says during training that it cannot work: embeddings all alike, scores that tie, weights or ranks
that do not move.
"""

import logging
from typing import Any, cast

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn
from torch.nn import functional as F

from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.extremes import TIED, extremes, what_ties
from hr_retrieval.retrieval.metrics import Embedded
from hr_retrieval.train.ranker import Ranker

log = logging.getLogger(__name__)

# Embeddings of each side, and values of each weight, that are looked at.
_SAMPLE = 500


class Alarms(Callback):
    """Warns at the end of a validation, once for each cause, and goes on.

    * All validation embeddings are alike: no ranking of them means anything.
    * Many scores tie: one text is to the encoder as another.
    * From the first to the second validation no weight has changed, or weights have and not one
      rank has.

    Args:
        alike: mean cosine between validation embeddings above which they are called alike.
        tied: share of queries, above which scores are said to tie, of which a document that is not
            relevant scores exactly as the best relevant one.
    """

    def __init__(self, alike: float = 0.999, tied: float = TIED) -> None:
        if not 0 < alike <= 1:
            raise UserError(
                "callbacks.alarms.alike above 0 and up to 1",
                str(alike),
                "0.999 is the default; callbacks.alarms=null sounds none.",
            )
        if not 0 < tied <= 1:
            raise UserError("callbacks.alarms.tied above 0 and up to 1", str(tied), "Take 0.05, or 1 for no alarm.")
        self.alike, self.tied = alike, tied
        self._alike_said = self._tied_said = False
        self._first: tuple[int, Tensor, list[Tensor]] | None = None
        self._compared = False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        module = cast(Ranker, pl_module)
        if not trainer.is_global_zero or trainer.sanity_checking:
            return
        if module.embedded:
            self._check_spread(module, trainer.global_step)
            self._check_ties(module, trainer.global_step)
        if not self._compared:
            self._check_movement(trainer, module)

    def _check_spread(self, module: Ranker, step: int) -> None:
        sides = (side for one in module.embedded for side in (one.queries, one.documents))
        sample = torch.cat([_spread_out(side, _SAMPLE) for side in sides]).cpu()
        cosine = mean_cosine(sample)
        if cosine > self.alike and not self._alike_said:
            self._alike_said = True
            log.warning(
                "All embeddings of the validation are alike: the mean cosine between %d of them is %.5f at step %d, and no "
                "ranking of them means anything. If it is so before training, check model.encoder.name_or_path and "
                "model.encoder.pooling; if training has made it so, lower optimizer.lr, lengthen scheduler.warmup or use "
                "model.loss.form=smooth.",
                len(sample),
                cosine,
                step,
            )

    def _check_ties(self, module: Ranker, step: int) -> None:
        share = max(map(_tied, module.embedded))
        if share > self.tied and not self._tied_said:
            self._tied_said = True
            log.warning("Scores of the validation tie at step %d: %s", step, what_ties(share))

    def _check_movement(self, trainer: pl.Trainer, module: Ranker) -> None:
        reciprocal, weights = torch.cat([values["mrr"] for values in module.query_values]), _weights(module)
        if self._first is None:
            self._first = trainer.global_step, reciprocal, weights
            return
        step, first_reciprocal, first_weights = self._first
        steps = trainer.global_step - step
        if steps == 0:
            return
        self._compared, self._first = True, None
        if all(torch.equal(new, old) for new, old in zip(weights, first_weights, strict=True)):
            log.warning(
                "Nothing is learnt: no weight has changed in %d steps, with optimizer.lr=%g and trainer.precision=%s. Raise "
                "the rate (a common one is 2e-5).",
                steps,
                _peak_rate(trainer),
                trainer.precision,
            )
        elif torch.equal(reciprocal, first_reciprocal) and bool((reciprocal < 1).any()):
            log.warning(
                "The validation did not move: after %d steps with optimizer.lr=%g every query has the rank that it had "
                "before. Raise the rate, or validate less often (trainer.val_check_interval) or on more queries "
                "(datamodule.evaluation_queries).",
                steps,
                _peak_rate(trainer),
            )


def mean_cosine(embeddings: Float[Tensor, "n d"]) -> float:
    """Mean cosine of all pairs of different rows, `(|sum x|^2 - n) / (n (n - 1))` of unit rows `x`;
    0 for a single row.
    """
    count = len(embeddings)
    total = float(F.normalize(embeddings.double(), dim=1).sum(dim=0).square().sum())
    return (total - count) / (count * (count - 1)) if count > 1 else 0.0


def _tied(embedded: Embedded) -> float:
    """The share of a source's queries whose scores tie."""
    measured = embedded.relevance.counts.nonzero().squeeze(1)
    return extremes(embedded, _spread_out(measured, _SAMPLE)).tied


def _spread_out(values: Tensor, count: int) -> Tensor:
    """About `count` of the first axis, at equal distances."""
    return values[:: max(1, len(values) // count)]


def _weights(module: nn.Module) -> list[Tensor]:
    """Some values of each weight, also of those that are frozen for a while."""
    return [_spread_out(weight.detach().flatten(), _SAMPLE).cpu().clone() for weight in module.parameters()]


def _peak_rate(trainer: pl.Trainer) -> float:
    groups: list[dict[str, Any]] = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
    return max(float(group.get("initial_lr", group["lr"])) for group in groups)
