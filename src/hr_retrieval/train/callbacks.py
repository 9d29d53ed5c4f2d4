"""What happens beside training, at Lightning's hooks."""

import csv
import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, Checkpoint
from pytorch_lightning.callbacks.early_stopping import EarlyStoppingReason
from pytorch_lightning.utilities.exceptions import SIGTERMException

from hr_retrieval.data.batch import Batch
from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.data.negatives import Embed, MinedNegatives, MiningOptions, mine
from hr_retrieval.errors import UserError
from hr_retrieval.files import whole_file

if TYPE_CHECKING:
    # An extra, which only sweeps need.
    from optuna.trial import Trial

log = logging.getLogger(__name__)


class EpochReport(Callback):
    """Prints the validation figures of each epoch, where a progress bar would overwrite them.

    Args:
        metrics: names of logged metrics, without the split.
    """

    def __init__(self, metrics: Sequence[str] = ("mrr", "pass@1", "recall@10")) -> None:
        self.metrics = tuple(metrics)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        where = (
            "before training"
            if trainer.state.fn != "fit"
            else f"epoch {trainer.current_epoch + 1}, step {trainer.global_step}"
        )
        values = trainer.callback_metrics
        shown = [
            f"{name} {float(values[f'validation/{name}']):.4f}"
            for name in self.metrics
            if f"validation/{name}" in values
        ]
        log.info("%s: validation %s", where, ", ".join(shown))


class MetricsFile(Callback):
    """Writes `metrics.csv`: a row for every `log_every_n_steps` training steps and one for each validation.

    A row is on disk before the checkpoint of its step is, and a checkpoint knows how many rows there were: a resumed
    run cuts the file there and goes on, so that no step is lost or written twice. Lightning's CSV logger deletes the
    file of the run that it resumes, and is called after the checkpoint.

    Args:
        path: the file.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.rows = 0
        self.columns: list[str] = []
        self._step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero and trainer.global_step == 0:
            # A run that was killed before its first checkpoint begins anew: what it wrote of its steps is void, and the
            # encoder as it was may have been measured twice.
            kept = [row for row in self._read() if row["step"] == "0"][-1:]
            self.rows, self.columns = len(kept), [name for row in kept for name, value in row.items() if value]
            self._rewrite([{name: row[name] for name in self.columns} for row in kept])

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *batch: Any) -> None:
        self._step = trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *batch: Any) -> None:
        # Where gradients are accumulated, most batches make no step.
        made = trainer.global_step > self._step
        if made and trainer.is_global_zero and trainer.global_step % cast(Any, trainer).log_every_n_steps == 0:
            self._write(trainer, "train/", "loss/", "mixing/", "guard/", "mining/")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            self._write(trainer, "validation/")

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        kept = self._read()[: int(state_dict["rows"])]
        self.rows, self.columns = len(kept), list(dict.fromkeys(name for row in kept for name in row))
        self._rewrite(kept)

    def _write(self, trainer: pl.Trainer, *prefixes: str) -> None:
        values = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith(prefixes)}
        row: dict[str, Any] = {"step": trainer.global_step, "epoch": trainer.current_epoch, **values}
        if set(row) <= set(self.columns):
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self.columns).writerow(row)
        else:
            self.columns += [name for name in row if name not in self.columns]
            self._rewrite([*self._read(), row])
        self.rows += 1

    def _read(self) -> list[dict[str, str]]:
        if not self.path.exists():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def _rewrite(self, rows: Sequence[Mapping[str, Any]]) -> None:
        with whole_file(self.path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(rows)


class MineNegatives(Callback):
    """Mines hard negatives with the encoder as it is at the beginning of an epoch, for `datamodule.mined_per_anchor`.

    Approximate nearest neighbour negatives (ANCE, Xiong et al. 2021, arXiv 2007.00808) with exact search in place of the
    approximate one. The file in force is part of a checkpoint: a run resumed within an epoch reads it again.

    Args:
        folder: where `epoch-0001.parquet` and so on are written. Kept are the one in force and those that the last two
            checkpoints name.
        every_n_epochs: epochs from one mining to the next.
        start_epoch: the first epoch, counted from 0, that has mined negatives.
        depth: see `MiningOptions`, as for the rest.

    Raises:
        UserError: a value is out of range.
    """

    def __init__(
        self,
        folder: str | Path,
        every_n_epochs: int = 1,
        start_epoch: int = 0,
        depth: int = 100,
        per_query: int = 8,
        positive_share: float | None = 0.95,
        skip: int = 0,
        queries: int | None = None,
        seed: int = 1,
    ) -> None:
        if every_n_epochs < 1 or start_epoch < 0:
            raise UserError(
                "callbacks.mine_negatives with every_n_epochs of at least 1 and start_epoch of at least 0",
                f"{every_n_epochs} and {start_epoch}",
                "Mend these keys.",
            )
        self.folder, self.every_n_epochs, self.start_epoch = Path(folder), every_n_epochs, start_epoch
        self.options = MiningOptions(depth, per_query, positive_share, skip, queries, seed)
        self._named: list[str] = []
        self._loaded: str | None = None
        self._diagnostics: dict[str, float] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Lightning leaves `on_train_epoch_start` out where it resumes, at the beginning of an epoch too.
        if not trainer.fit_loop.done:
            self._refresh(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._refresh(trainer, pl_module)

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *batch: Any) -> None:
        pl_module.log_dict({f"mining/{name}": value for name, value in self._diagnostics.items()}, batch_size=1)

    def state_dict(self) -> dict[str, Any]:
        # Asked for whenever a checkpoint is written.
        if self._loaded is not None:
            self._named = [*(name for name in self._named if name != self._loaded), self._loaded][-2:]
        return {"named": list(self._named)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._named = list(state_dict["named"])

    def _refresh(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Bring the negatives of the current epoch into force, on every process the same."""
        name = self._due(trainer.current_epoch)
        if name is None or name == self._loaded:
            return
        data: RetrievalDataModule = cast(Any, trainer).datamodule
        path = self.folder / name
        if data.negatives_name != name:
            if trainer.is_global_zero:
                self._mine(trainer, module, data).write(path, data.dataset)
                self._remove_others(name)
            trainer.strategy.barrier("mined negatives")
        negatives = MinedNegatives.open(path, data.dataset)
        data.use_negatives(name, negatives)
        self._diagnostics = negatives.diagnostics
        self._loaded = name

    def _due(self, epoch: int) -> str | None:
        since = epoch - self.start_epoch
        return None if since < 0 else f"epoch-{epoch - since % self.every_n_epochs + 1:04d}.parquet"

    def _mine(self, trainer: pl.Trainer, module: pl.LightningModule, data: RetrievalDataModule) -> MinedNegatives:
        with _embedding(trainer, module) as embed:
            mined = mine(
                data.dataset,
                data.guard,
                data.query_tokens,
                data.document_tokens,
                embed,
                self.options,
                trainer.current_epoch,
                trainer.global_step,
                data.evaluation_tokens,
            )
        kept = mined.diagnostics["kept_per_query"]
        log.info("epoch %d: %.1f hard negatives a query mined", trainer.current_epoch + 1, kept)
        return mined

    def _remove_others(self, name: str) -> None:
        for path in self.folder.glob("epoch-*.parquet"):
            if path.name not in (name, self._loaded, *self._named):
                path.unlink()


def check_mining(callbacks: Sequence[Callback], mined_per_anchor: int) -> None:
    """Raise `UserError` unless negatives are mined if and only if batches have some, and enough of them."""
    kept = max((callback.options.per_query for callback in callbacks if isinstance(callback, MineNegatives)), default=0)
    if mined_per_anchor > kept or (kept > 0 and mined_per_anchor == 0):
        raise UserError(
            "datamodule.mined_per_anchor from 1 up to callbacks.mine_negatives.per_query with callbacks=mining, and 0 "
            "without",
            f"mined_per_anchor {mined_per_anchor} with " + (f"per_query {kept}" if kept else "no mining"),
            "Set both, for example callbacks=mining datamodule.mined_per_anchor=1, or neither.",
        )


class StepCheckpoint(Checkpoint):
    """Checkpoints by steps, but where a validation is due only after it, after every validation, and at the last step.

    From a checkpoint of the step before a validation Lightning goes on as if that had been done: the resumed run would
    lack its figures, and perhaps the best checkpoint and the stop that they call for. Its own checkpoints by steps know
    none of these moments.

    Args:
        dirpath: where `step-0000100.ckpt` and so on are written, and `last.ckpt`, a link to the newest.
        every_n_train_steps: optimizer steps from one to the next.
        keep: how many are kept; with two, the one before is there if the last one is damaged.

    Raises:
        UserError: a number is below 1.
    """

    def __init__(self, dirpath: str | Path, every_n_train_steps: int = 100, keep: int = 2) -> None:
        if every_n_train_steps < 1 or keep < 1:
            raise UserError(
                "callbacks.last.every_n_train_steps and callbacks.last.keep of at least 1",
                f"{every_n_train_steps} and {keep}",
                "callbacks.last=null writes no checkpoint by steps.",
            )
        self.folder, self.every_n_train_steps, self.keep = Path(dirpath), every_n_train_steps, keep
        self._step = 0

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *batch: Any) -> None:
        self._step = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # Accumulated gradients are in no checkpoint.
        made = trainer.global_step > self._step
        due = trainer.global_step % self.every_n_train_steps == 0 or _ends_training(trainer)
        if made and due and not validation_follows(trainer, batch_idx):
            self._save(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit":
            self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        path = self.folder / f"step-{trainer.global_step:07d}.ckpt"
        trainer.save_checkpoint(path, weights_only=False)
        if trainer.is_global_zero:
            self._link(path)
            self._remove_old(path)

    def _link(self, path: Path) -> None:
        link = self.folder / "last.ckpt"
        new = self.folder / ".last.ckpt.partial"
        new.unlink(missing_ok=True)
        new.symlink_to(path.name)
        new.replace(link)

    def _remove_old(self, newest: Path) -> None:
        others = [path for path in self.folder.glob("step-*.ckpt") if path != newest]
        for path in sorted(others, key=lambda path: path.stat().st_mtime_ns)[: len(others) + 1 - self.keep]:
            path.unlink()


class TerminationCheckpoint(Checkpoint):
    """On SIGTERM or Ctrl-C in training, writes `checkpoints/interrupted.ckpt` and raises `SIGTERMException`.

    The step under way is finished first, and so is a validation: Lightning's own way stops inside a validation, whose
    embeddings no checkpoint holds. Within `with` Ctrl-C at any other time, and a second one in training, raises at once.

    Args:
        folder: the run directory.

    Attributes:
        received: number of the signal that was received, `None` before.
        trainer: what trains or measures, from then on.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "checkpoints" / "interrupted.ckpt"
        self.received: int | None = None
        self.trainer: pl.Trainer | None = None
        self._process, self._training, self._step = os.getpid(), False, 0
        self._before: Any = None

    def __enter__(self) -> "TerminationCheckpoint":
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *error: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.trainer = trainer

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._training = True
        # Lightning has put its own handler there, and puts back what was before when it has ended.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._receive)

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *batch: Any) -> None:
        self._step = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # Accumulated gradients are in no checkpoint: the batch that makes the step is waited for.
        if trainer.global_step > self._step and not validation_follows(trainer, batch_idx):
            self._stop_if_asked(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit":
            self._stop_if_asked(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._training = False
        if trainer.is_global_zero:
            self.path.unlink(missing_ok=True)

    def _stop_if_asked(self, trainer: pl.Trainer) -> None:
        received = self.received is not None or trainer.received_sigterm
        if trainer.strategy.reduce_boolean_decision(received, all=False):
            trainer.save_checkpoint(self.path, weights_only=False)
            raise SIGTERMException

    def _receive(self, number: int, frame: Any) -> None:
        self.received = number

    def _interrupt(self, number: int, frame: Any) -> None:
        if os.getpid() != self._process:
            # A loader worker, which a terminal interrupts too: its process sees to it.
            return
        if not self._training or self.received is not None:
            self.received = number
            raise SIGTERMException
        self.received = number
        # What a log may be doing just now must not be done again within it.
        os.write(2, b"\nCtrl-C: the step under way ends first; a second one stops at once.\n")


class StayStopped(Callback):
    """Early stopping as the config has it: a run that it had ended stays ended, unless changes ask for more.

    Lightning's checkpoints say that training was stopped, but nothing heeds it; and they bring back the old patience.

    Args:
        since: the step at which the newest changes were made; what had stopped the run until then is void.
    """

    def __init__(self, since: int) -> None:
        self.since = since
        self.reason: str | None = None
        self._patience: list[int] = []

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            # What the checkpoint holds is read after this.
            self._patience = [stop.patience for stop in trainer.early_stopping_callbacks]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for stop, patience in zip(trainer.early_stopping_callbacks, self._patience, strict=True):
            stop.patience = patience
            if stop.stopping_reason == EarlyStoppingReason.NOT_STOPPED:
                continue
            if trainer.global_step > self.since:
                trainer.should_stop, self.reason = True, stop.stopping_reason_message
            else:
                stop.stopping_reason, stop.stopping_reason_message = EarlyStoppingReason.NOT_STOPPED, None
                stop.stopped_epoch = stop.wait_count = 0


class TrialReport(Callback):
    """Reports each validation to the trial of a sweep, and stops training where the trial's pruner says so.

    What is reported is counted by validations: trials with other batch sizes are at other steps by then.

    Args:
        monitor: the metric's name as it is logged.
        trial: the trial that this run is.
    """

    def __init__(self, monitor: str, trial: "Trial") -> None:
        self.monitor, self.trial = monitor, trial
        self.validations = 0
        self.pruned = False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn != "fit":
            return
        self.validations += 1
        hopeless = False
        if trainer.is_global_zero:
            self.trial.report(float(trainer.callback_metrics[self.monitor]), self.validations)
            hopeless = self.trial.should_prune()
        self.pruned |= trainer.strategy.reduce_boolean_decision(hopeless, all=False)
        trainer.should_stop |= self.pruned


class BatchSize(Callback):
    """Knows how large the batch under way is, to explain a lack of memory."""

    def __init__(self) -> None:
        self.size = "before the first batch"
        self.texts = 1

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        self.texts = len(batch.anchors) + len(batch.documents)
        tokens = len(batch.anchors.ids) + len(batch.documents.ids)
        sides = f"{len(batch.anchors)} anchors and {len(batch.documents)} documents"
        self.size = f"{self.texts} texts ({sides}), {tokens} tokens in all"

    def explain(self, error: MemoryError | RuntimeError, mini_batch: int | None, batch_size: int) -> UserError | None:
        """What a user can do about an allocation that failed; `None` for any other error.

        Args:
            mini_batch: texts encoded at a time, as `RetrievalModule.mini_batch`.
            batch_size: anchors a batch on each process.
        """
        if not (isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)):
            return None
        smaller = max(1, min(mini_batch or self.texts, self.texts) // 2)
        first_line = (str(error).splitlines() or [""])[0]
        return UserError(
            "a batch that fits into memory",
            f"{self.size}, and {type(error).__name__}: {first_line}",
            f"Set model.mini_batch={smaller} (the same training in less memory, a little slower) or "
            f"datamodule.batch_size={max(1, batch_size // 2)}; if validation is what fails, halve "
            "datamodule.evaluation_tokens. Go on with resume=<run directory> and one of these.",
        )


def validation_follows(trainer: pl.Trainer, batch: int) -> bool:
    """Whether Lightning validates behind the training batch that ends now, number `batch` of its epoch from 0.

    It keeps the answer to itself; `tests/train/test_callbacks.py` compares this one with what it does.
    """
    every = trainer.check_val_every_n_epoch
    if not trainer.enable_validation or (every is not None and (trainer.current_epoch + 1) % every):
        return False
    if trainer.should_stop and _may_stop(trainer):
        return True
    due = cast(Any, trainer).val_check_batch
    number = trainer.fit_loop.total_batch_idx if every is None else batch
    return bool((number + 1) % due == 0)


def _may_stop(trainer: pl.Trainer) -> bool:
    """Whether `trainer.min_epochs` and `trainer.min_steps` are done."""
    epochs, steps = trainer.min_epochs, trainer.min_steps
    return (not epochs or trainer.current_epoch >= epochs) and (not steps or trainer.global_step >= steps)


def _ends_training(trainer: pl.Trainer) -> bool:
    """Whether the step that ends now is the last one."""
    if trainer.global_step == trainer.max_steps or (trainer.should_stop and _may_stop(trainer)):
        return True
    return trainer.is_last_batch and trainer.current_epoch + 1 == trainer.max_epochs


@contextmanager
def _embedding(trainer: pl.Trainer, module: pl.LightningModule) -> Iterator[Embed]:
    """The module's encoder as validation uses it: evaluation mode, no gradient, the trainer's precision."""
    encoder: Any = module.encoder
    training = encoder.training
    encoder.eval()
    try:
        with torch.no_grad(), trainer.precision_plugin.val_step_context():
            yield lambda tokens: encoder(tokens.to(module.device))
    finally:
        encoder.train(training)
