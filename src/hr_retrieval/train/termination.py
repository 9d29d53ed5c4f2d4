"""A training that SIGTERM or Ctrl-C stops: its last checkpoint, and the end of its process."""

import logging
import os
import signal
import threading
from pathlib import Path
from typing import Any, NoReturn

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.utilities.exceptions import SIGTERMException

from hr_retrieval.program import called, shown_path
from hr_retrieval.train.checkpointing import validation_follows

log = logging.getLogger(__name__)


class TerminationCheckpoint(Checkpoint):
    """On SIGTERM or Ctrl-C in training, writes `checkpoints/interrupted.ckpt` and raises `SIGTERMException`.

    The step under way is finished first, and so is a validation: Lightning's own way stops inside a
    validation, whose embeddings no checkpoint holds. Within `with` Ctrl-C at any other time, and a
    second one in training, raises at once.

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


def end_terminated(termination: TerminationCheckpoint, folder: Path) -> NoReturn:
    """End the process that a signal stopped, with the status that a shell reports: 128 and the signal's number."""
    trainer, number = termination.trainer, termination.received or signal.SIGTERM
    if trainer is not None and not trainer.is_global_zero:
        # Lightning would take any other status of a further process for a crash, and kill the first
        # one.
        raise SystemExit(0)
    name = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
    if trainer is None:
        log.warning("Stopped by %s before the training began.", name)
    else:
        log.warning(
            "Stopped by %s at step %d. Go on with: %s resume=%s",
            name,
            trainer.global_step,
            called("train"),
            shown_path(folder),
        )
    raise SystemExit(128 + number)
