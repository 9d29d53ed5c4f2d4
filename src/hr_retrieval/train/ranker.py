"""A module that is trained to rank: what moves its weights, what is measured of it, and the watch over its steps."""

import logging
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from hr_retrieval.data.batch import Batch, EvaluationBatch
from hr_retrieval.data.source import mean_of
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.errors import UserError
from hr_retrieval.objective.triplet import LossResult
from hr_retrieval.retrieval.metrics import Embedded, RankingMetrics
from hr_retrieval.train.reading import Reading
from hr_retrieval.train.schedule import total_steps

log = logging.getLogger(__name__)

# So many collapsed steps in a row are no accident of one batch.
_COLLAPSED_STEPS = 20


class Ranker(pl.LightningModule):
    """What is trained to rank documents: an encoder, or a cross-encoder behind one.

    Args:
        encoder: token batches to unit embeddings.
        optimizer: given parameter groups, makes the optimizer.
        scheduler: given the optimizer and the total number of steps, makes the schedule; `None`
            keeps the rate constant.
        mini_batch: texts or pairs read at a time, their activations recomputed in the backward pass,
            so that a large batch trains in the memory of a small one; `None` reads all at once.

    Attributes:
        learner: the name of the part that is trained, measured and exported.
        query_values: of each source the metrics of each measured query in the last validation or
            test, as `RankingMetrics.query_values`.
        embedded: what the validation ranked of each source by embeddings alone, for callbacks at
            `on_validation_end`, behind which it is empty again; or what the test did, for whoever
            has asked for the test, and then empties it.
    """

    learner: Literal["encoder", "cross_encoder"]

    def __init__(
        self,
        encoder: Encoder,
        optimizer: Callable[[list[dict[str, Any]]], Optimizer] | None = None,
        scheduler: Callable[..., LRScheduler] | None = None,
        mini_batch: int | None = None,
    ) -> None:
        super().__init__()
        if mini_batch is not None and mini_batch < 1:
            raise UserError("model.mini_batch of at least 1, or null", str(mini_batch), "null takes the batch whole.")
        self.encoder, self.optimizer, self.scheduler, self.mini_batch = encoder, optimizer, scheduler, mini_batch
        self.query_values: list[dict[str, Tensor]] = []
        self.embedded: list[Embedded] = []
        self._rankings: list[RankingMetrics] = []
        self._collapsed_steps = 0
        self._reading = Reading(self._judge_step)
        self._gone_on: tuple[int, int, int] | None = None

    @property
    def trained(self) -> Any:
        """The part that is trained."""
        return getattr(self, self.learner)

    @abstractmethod
    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Loss of one batch."""

    def validation_step(self, batch: EvaluationBatch, batch_index: int) -> None:
        """Embed texts of the validation split."""
        self._embed_for_ranking(batch)

    def test_step(self, batch: EvaluationBatch, batch_index: int) -> None:
        """Embed texts of the test split."""
        self._embed_for_ranking(batch)

    def on_train_end(self) -> None:
        self._reading.settle()

    def on_validation_epoch_start(self) -> None:
        self._reading.settle()
        self._rankings = self._new_rankings("validation")

    def on_test_epoch_start(self) -> None:
        self._rankings = self._new_rankings("test")

    def on_validation_epoch_end(self) -> None:
        self._log_ranking("validation")

    def on_validation_end(self) -> None:
        # Lightning calls this after the callbacks.
        self.embedded = []

    def on_test_epoch_end(self) -> None:
        self._log_ranking("test")

    def configure_optimizers(self) -> Any:
        """The optimizer over all parameters, without weight decay on biases and norms, and the schedule by steps."""
        assert self.optimizer is not None, "the module was built for evaluation"
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        if not trained:
            raise UserError("a weight that training may change", "none: all are frozen", "Leave some trainable.")
        groups: list[dict[str, Any]] = [
            {"params": [parameter for parameter in trained if parameter.ndim > 1]},
            {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = self.optimizer(groups)
        optimizer.register_load_state_dict_pre_hook(_keep_settings)
        if self.scheduler is None:
            return optimizer
        scheduler = self.scheduler(optimizer, total_steps=total_steps(self.trainer, self._gone_on))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip as the trainer says, also for fused optimizers, which Lightning refuses under every mixed precision."""
        if not gradient_clip_val:
            return
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if scaler is not None and any(group.get("fused") for group in optimizer.param_groups):
            # A fused optimizer is left to undo the scale within its step; clipping comes before.
            scaler.unscale_(optimizer)
        if gradient_clip_algorithm == "value":
            nn.utils.clip_grad_value_(self.parameters(), gradient_clip_val)
        else:
            nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # What a step has spoilt is not kept.
        self._reading.settle()
        checkpoint["batches_in_epoch"] = self.trainer.fit_loop.batch_idx + 1

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._gone_on = checkpoint["global_step"], checkpoint["epoch"], checkpoint["batches_in_epoch"]

    @property
    def _data(self) -> Any:
        """The trainer's `RetrievalDataModule`: sources, guard, evaluation sets and ids."""
        return cast(Any, self.trainer).datamodule

    def _told(self, result: LossResult, batch: Batch) -> Tensor:
        """The loss of a step, judged and logged with what it was made of."""
        found = torch.stack([result.loss.detach(), result.diagnostics["collapsed"].to(result.loss)])
        self._reading.put(found, (self.global_step, batch.query_rows))
        self.log("train/loss", result.loss, prog_bar=True, batch_size=len(batch.anchors))
        if len(self._data.sources) > 1:
            name = self._data.sources[batch.source].name
            self.log(f"train/{name}/loss", result.loss, batch_size=len(batch.anchors))
        self._told_of("loss", result.diagnostics, batch)
        return result.loss

    def _told_of(self, part: str, values: Mapping[str, Tensor], batch: Batch) -> None:
        """Log values of a step under the name of a part."""
        self.log_dict(
            {f"{part}/{name}": value.float() for name, value in values.items()}, batch_size=len(batch.anchors)
        )

    def _embed_for_ranking(self, batch: EvaluationBatch) -> None:
        self._rankings[batch.source].update(batch.kind, batch.rows, self.encoder(batch.tokens))

    def _new_rankings(self, split: Literal["validation", "test"]) -> list[RankingMetrics]:
        return [
            RankingMetrics(one.relevance, len(one.query_rows), len(one.document_rows)).to(self.device)
            for one in self._data.evaluation_sets(split)
        ]

    def _log_ranking(self, split: Literal["validation", "test"]) -> None:
        self.embedded = []
        found = [self._measured(split, number, one) for number, one in enumerate(self._rankings)]
        values = mean_of(self._data.sources, [figures for figures, _ in found])
        # Every process holds the same gathered ranks already: nothing is left to average.
        self.log_dict({f"{split}/{name}": value for name, value in values.items()}, rank_zero_only=False)
        self.query_values = [values for _, values in found]
        self._rankings = []

    @abstractmethod
    def _measured(
        self, split: Literal["validation", "test"], number: int, ranking: RankingMetrics
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """The figures of the source of this number, and its `query_values`."""

    def _judge_step(self, found: list[float], about: tuple[int, Tensor]) -> None:
        """Raise `UserError` if the loss of a step was not finite, and warn where steps go on to be collapsed."""
        (loss, collapsed), (step, query_rows) = found, about
        if math.isfinite(loss):
            self._watch_collapse(bool(collapsed), step)
            return
        queries = self._data.query_ids(query_rows.numpy())
        raise UserError(
            "a finite loss",
            f"{loss} at step {step}, with the queries {', '.join(queries[:8])}"
            + (f" and {len(queries) - 8} more" if len(queries) > 8 else ""),
            "Lower optimizer.lr or set trainer.precision=32-true, then go on with resume=<run directory>; the last "
            "checkpoint is from before this step.",
        )

    def _watch_collapse(self, collapsed: bool, step: int) -> None:
        self._collapsed_steps = self._collapsed_steps + 1 if collapsed else 0
        if self._collapsed_steps == _COLLAPSED_STEPS:
            log.warning(
                "Collapse: for %d steps all scores of a batch were alike, the loss stuck where nothing is learnt (step %d). "
                "Lower optimizer.lr, use model.loss.negatives=all, or model.loss.form=smooth.",
                _COLLAPSED_STEPS,
                step,
            )


def _keep_settings(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """From a checkpoint take what the optimizer remembers; rate, weight decay and so on are those it was made with."""
    groups = [
        {**own, "params": saved["params"]}
        for own, saved in zip(optimizer.param_groups, state["param_groups"], strict=True)
    ]
    return {**state, "param_groups": groups}
