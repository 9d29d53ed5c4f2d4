"""Encode, mix, compare, log: the Lightning module."""

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from hr_retrieval.data.batch import Batch, EvaluationBatch
from hr_retrieval.data.source import Source, mean_of
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.ragged import on_device
from hr_retrieval.errors import UserError
from hr_retrieval.objective.distillation import Distillation
from hr_retrieval.objective.matryoshka import Matryoshka
from hr_retrieval.objective.mixing import MemoryQueue, Mixing, NoMixing, SoftLabelMixing
from hr_retrieval.objective.similarity import cosine
from hr_retrieval.objective.triplet import LossResult, TripletLoss
from hr_retrieval.retrieval.metrics import Embedded, RankingMetrics
from hr_retrieval.train.global_batch import Surroundings, gathered, remembered
from hr_retrieval.train.reading import Reading
from hr_retrieval.train.schedule import total_steps
from hr_retrieval.train.view import view

log = logging.getLogger(__name__)

# So many collapsed steps in a row are no accident of one batch.
_COLLAPSED_STEPS = 20


class RetrievalModule(pl.LightningModule):
    """Anchors and documents are encoded, mixed and compared; quality is measured by exact ranks.

    Args:
        encoder: token batches to unit embeddings.
        mixing: what the loss compares instead of the plain embeddings.
        loss: over scores and relevance.
        optimizer: given parameter groups, makes the optimizer.
        scheduler: given the optimizer and the total number of steps, makes the schedule; `None`
            keeps the rate constant.
        mini_batch: texts encoded at a time, their activations recomputed in the backward pass
            (gradient caching: Gao et al. 2021, arXiv 2101.06983), so that a large batch trains in
            the memory of a small one; `None` encodes all at once.
        queue_size: past documents kept (XBM, see `MemoryQueue`), for mixing with `source=queue` or
            as further negatives.
        queue_negatives: compare the kept documents too, each anchor with those that are its
            negatives.
        queue_start_step: first step whose documents are kept: earlier embeddings change too fast to
            be of use.
        matryoshka: further losses over the first numbers of each vector; `None` for none.
        distillation: how the scores of the data module's teacher are taken in, if it has one.

    Attributes:
        query_values: of each source the metrics of each measured query in the last validation or
            test, as `RankingMetrics.query_values`.
        corpora: of each source the embedded corpus that the mixing takes neighbours from, where it
            does; whoever embeds it brings it.
        embedded: what the validation ranked of each source, for callbacks at `on_validation_end`,
            behind which it is empty again; or what the test did, for whoever has asked for the
            test, and then empties it.
    """

    def __init__(
        self,
        encoder: Encoder,
        mixing: Mixing,
        loss: TripletLoss,
        optimizer: Callable[[list[dict[str, Any]]], Optimizer] | None = None,
        scheduler: Callable[..., LRScheduler] | None = None,
        mini_batch: int | None = None,
        queue_size: int = 0,
        queue_negatives: bool = False,
        queue_start_step: int = 0,
        matryoshka: Matryoshka | None = None,
        distillation: Distillation | None = None,
    ) -> None:
        super().__init__()
        if mini_batch is not None and mini_batch < 1:
            raise UserError("model.mini_batch of at least 1, or null", str(mini_batch), "null takes the batch whole.")
        self.encoder, self.mixing, self.loss = encoder, mixing, loss
        self.optimizer, self.scheduler, self.mini_batch = optimizer, scheduler, mini_batch
        _check_queue(mixing, queue_size, queue_negatives, queue_start_step)
        self.queue = MemoryQueue(queue_size, encoder.embedding_dimension) if queue_size > 0 else None
        self.queue_negatives, self.queue_start_step = queue_negatives, queue_start_step
        self.matryoshka = matryoshka or Matryoshka()
        self.distillation = distillation or Distillation()
        self.matryoshka.check(encoder.embedding_dimension)
        self.query_values: list[dict[str, Tensor]] = []
        self.embedded: list[Embedded] = []
        self.corpora: Sequence[Surroundings] = ()
        self._rankings: list[RankingMetrics] = []
        self._collapsed_steps = 0
        self._reading = Reading(self._judge_step)
        self._gone_on: tuple[int, int, int] | None = None

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Loss of one batch; over several processes the loss of the global batch, on each of them."""
        anchors, documents, views = self._encode(batch)
        whole = gathered(batch, anchors, documents, views, self._data.guard, self.trainer.world_size)

        source: Source = self._data.sources[batch.source]
        past = remembered(self.queue, whole, self._data.guard, source) if self.queue is not None else None
        near = self.corpora[batch.source].around(whole, self._data.guard) if self.corpora else past
        given = (whole.anchors, whole.documents, whole.relevance, whole.negative, whole.identities, self.global_step)
        mixed = self.mixing(*given, near, whole.relevant, whole.views)
        if self.queue is not None and self.global_step >= self.queue_start_step:
            self.queue.enqueue(whole.documents.detach(), on_device(whole.document_rows, self.device))

        further = past if self.queue_negatives else None
        result = self.matryoshka(self.loss, mixed, further, whole.weights)
        if self.mixing.added is not None:
            unmixed = NoMixing()(*given, None, whole.relevant)
            plain = self.matryoshka(self.loss, unmixed, further, whole.weights)
            result = self._added(plain, result)
        teacher = self._data.teacher_scores(whole.query_rows, whole.document_rows)
        if teacher is not None:
            scores = cosine(whole.anchors, whole.documents)
            result = self.distillation(result, scores, on_device(teacher, self.device))
        found = torch.stack([result.loss.detach(), result.diagnostics["collapsed"].to(result.loss)])
        self._reading.put(found, (self.global_step, batch.query_rows))

        self.log("train/loss", result.loss, prog_bar=True, batch_size=len(batch.anchors))
        if len(self._data.sources) > 1:
            self.log(f"train/{source.name}/loss", result.loss, batch_size=len(batch.anchors))
        guard = {"ignored": whole.ignored_share()}
        for part, values in (("loss", result.diagnostics), ("mixing", mixed.diagnostics), ("guard", guard)):
            named = {f"{part}/{name}": value.float() for name, value in values.items()}
            self.log_dict(named, batch_size=len(batch.anchors))
        loss: Tensor = result.loss
        return loss

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

    def _encode(self, batch: Batch) -> tuple[Float[Tensor, "B d"], Float[Tensor, "D d"], Float[Tensor, "B d"] | None]:
        """Anchors, documents and, where the mixing takes them, views of the anchors."""
        tokens, drop = batch.anchors.concatenate(batch.documents), self.mixing.view_drop
        if drop:
            tokens = tokens.concatenate(view(batch.anchors, batch.query_rows, drop, self.mixing.seed, self.global_step))
        # One call for all: packed, their tokens fill the matrix products together.
        embeddings = self.encoder(tokens, mini_batch=self.mini_batch)
        sizes = [len(batch.anchors), len(batch.documents)]
        anchors, documents, views = embeddings.tensor_split([sizes[0], sum(sizes)])
        return anchors, documents, views if drop else None

    def _added(self, plain: LossResult, mixed: LossResult) -> LossResult:
        """The plain loss and, in the weight of the step, the mixed one beside it."""
        assert self.mixing.added is not None, "it is added"
        weight = self.mixing.added * self.mixing.risen(self.global_step)
        return LossResult(plain.loss + weight * mixed.loss, {**plain.diagnostics, "added": mixed.loss.detach()})

    def _embed_for_ranking(self, batch: EvaluationBatch) -> None:
        self._rankings[batch.source].update(batch.kind, batch.rows, self.encoder(batch.tokens))

    def _new_rankings(self, split: Literal["validation", "test"]) -> list[RankingMetrics]:
        return [
            RankingMetrics(one.relevance, len(one.query_rows), len(one.document_rows)).to(self.device)
            for one in self._data.evaluation_sets(split)
        ]

    def _log_ranking(self, split: str) -> None:
        figures = [{name: float(value) for name, value in one.compute().items()} for one in self._rankings]
        values = mean_of(self._data.sources, figures)
        # Every process holds the same gathered ranks already: nothing is left to average.
        self.log_dict({f"{split}/{name}": value for name, value in values.items()}, rank_zero_only=False)
        self.query_values = [one.query_values for one in self._rankings]
        self.embedded = [one.embedded for one in self._rankings if one.embedded is not None]
        self._rankings = []

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


def _check_queue(mixing: Mixing, size: int, negatives: bool, start_step: int) -> None:
    source = getattr(mixing, "source", "batch")
    if (source == "queue" or negatives) != (size > 0):
        raise UserError(
            "model.queue_size above 0 with model.mixing.source=queue or model.queue_negatives=true, and 0 without",
            f"{size} with model.mixing.source={source} and model.queue_negatives={str(negatives).lower()}",
            "Set both, for example model.queue_size=4096 model.queue_negatives=true, or neither.",
        )
    if start_step < 0 or (start_step > 0 and size == 0):
        raise UserError(
            "model.queue_start_step of at least 0, and 0 without a queue",
            f"{start_step} with model.queue_size={size}",
            "Set model.queue_start_step=0 to fill the queue from the first step, or model.queue_size to have one.",
        )
    if negatives and isinstance(mixing, SoftLabelMixing) and mixing.side == "anchors":
        raise UserError(
            "negatives from the queue with anchors that keep their own relevance",
            "model.queue_negatives=true with SoftLabelMixing of anchors",
            "What the queue holds may be relevant to the other part of a mixed anchor: set model.mixing.side=documents.",
        )
