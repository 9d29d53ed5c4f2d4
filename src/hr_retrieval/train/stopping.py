"""What ends a training before its last step: early stopping, and the pruner of a sweep."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.callbacks.early_stopping import EarlyStoppingReason

from hr_retrieval.program import called, shown_path
from hr_retrieval.sweep.trial import trial_of_this_job

if TYPE_CHECKING:
    # An extra, which only sweeps need.
    from optuna.trial import Trial

log = logging.getLogger(__name__)


class StayStopped(Callback):
    """Early stopping as the config has it: a run that it had ended stays ended, unless changes ask for more.

    Lightning's checkpoints say that training was stopped, but nothing heeds it; and they bring back
    the old patience.

    Args:
        since: the step at which the newest changes were made; what had stopped the run until then
            is void.
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

    What is reported is counted by validations: trials with other batch sizes are at other steps by
    then.

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


def trial_report(config: DictConfig) -> list[TrialReport]:
    """What tells the sweep of each validation; nothing where this run is no trial of a sweep."""
    trial, best = trial_of_this_job(), config.callbacks.get("best")
    return [TrialReport(best.monitor, trial)] if trial and best else []


def why_stopped(trainer: pl.Trainer, stay: StayStopped) -> str:
    """When a training ended and why, in a sentence that counts as all others do."""
    when = f"Stopped behind epoch {max(1, trainer.current_epoch)}, step {trainer.global_step}"
    for stop in trainer.early_stopping_callbacks:
        value = float(stop.best_score)
        if stop.stopping_reason == EarlyStoppingReason.STOPPING_THRESHOLD:
            now = float(trainer.callback_metrics[stop.monitor])
            return (
                f"{when}: good enough, {stop.monitor} {now:.4f} reaches stopping_threshold={stop.stopping_threshold}."
            )
        if stop.stopping_reason == EarlyStoppingReason.PATIENCE_EXHAUSTED:
            return f"{when}: {stop.wait_count} validations in a row without more {stop.monitor} than {value:.4f} (patience)."
        if stop.stopping_reason != EarlyStoppingReason.NOT_STOPPED or stay.reason:
            return f"{when}: {(stop.stopping_reason_message or stay.reason or '').rstrip('.')}."
    if trainer.global_step == trainer.max_steps:
        return f"{when}: trainer.max_steps={trainer.max_steps} is reached."
    if trainer.max_epochs not in (None, -1) and trainer.current_epoch >= trainer.max_epochs:
        return f"{when}: trainer.max_epochs={trainer.max_epochs} is reached."
    return f"{when}: trainer.max_time is reached."


def say_done(trainer: pl.Trainer, stay: StayStopped) -> None:
    """Say why a resumed run had nothing left to train, and what trains on."""
    if not trainer.is_global_zero:
        return
    if stay.reason:
        why, more = f"early stopping ended it ({stay.reason.rstrip('.')})", "callbacks.early_stopping=null"
    elif trainer.global_step == trainer.max_steps:
        why, more = "trainer.max_steps is reached", f"trainer.max_steps={2 * trainer.global_step}"
    else:
        why, more = (
            "trainer.max_epochs or trainer.max_time is reached",
            f"trainer.max_epochs={trainer.current_epoch + 3}",
        )
    log.info("nothing is left to train after step %d: %s. To train on: resume=... %s", trainer.global_step, why, more)


def end_pruned(trainer: pl.Trainer, folder: Path) -> NoReturn:
    """Tell the sweep."""
    import optuna

    message = (
        f"Given up at step {trainer.global_step}: other trials were better by then. "
        f"To train on all the same: {called('train')} resume={shown_path(folder)}"
    )
    log.warning(message)
    raise optuna.TrialPruned(message)
