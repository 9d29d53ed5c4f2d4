"""`metrics.csv`: every logged figure of a run by its step, through kills and resumes."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from hr_retrieval.files import whole_file


class MetricsFile(Callback):
    """Writes `metrics.csv`: a row for every `log_every_n_steps` training steps and one for each validation.

    A row is on disk before the checkpoint of its step is, and a checkpoint knows how many rows
    there were: a resumed run cuts the file there and goes on, so that no step is lost or written
    twice. Lightning's CSV logger deletes the file of the run that it resumes, and is called after
    the checkpoint.

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
            # A run that was killed before its first checkpoint begins anew: what it wrote of its
            # steps is void, and the encoder as it was may have been measured twice.
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
        # Counted from 1, as everywhere that a user looks; 0 is before training.
        epoch = trainer.current_epoch + 1 if trainer.state.fn == "fit" else 0
        row: dict[str, Any] = {"step": trainer.global_step, "epoch": epoch, **values}
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
