"""When a checkpoint is written from which a training goes on exactly, and which ones are kept."""

from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from hr_retrieval.errors import UserError


class StepCheckpoint(Checkpoint):
    """Checkpoints by steps, but where a validation is due only after it, after every validation, and at the last step.

    From a checkpoint of the step before a validation Lightning goes on as if that had been done:
    the resumed run would lack its figures, and perhaps the best checkpoint and the stop that they
    call for. Its own checkpoints by steps know none of these moments.

    Args:
        dirpath: where `step-0000100.ckpt` and so on are written, and `last.ckpt`, a link to the
            newest.
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


def validation_follows(trainer: pl.Trainer, batch: int) -> bool:
    """Whether Lightning validates behind the training batch that ends now, number `batch` of its epoch from 0.

    It keeps the answer to itself; `tests/train/test_checkpointing.py` compares this one with what
    it does.
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
