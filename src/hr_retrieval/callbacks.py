"""What happens beside training, at Lightning's hooks."""

import csv
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from hr_retrieval.files import whole_file

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
        where = "before training" if trainer.state.fn != "fit" else f"epoch {trainer.current_epoch + 1}, step {trainer.global_step}"
        values = trainer.callback_metrics
        shown = [f"{name} {float(values[f'validation/{name}']):.4f}" for name in self.metrics if f"validation/{name}" in values]
        log.info("%s: validation %s", where, ", ".join(shown))


class MetricsFile(Callback):
    """Writes `metrics.csv`: a row for every `log_every_n_steps` training steps and one for each validation.

    A row is on disk before the checkpoint of its step is, and a checkpoint knows how many rows there were: a resumed run
    cuts the file there and goes on, so that no step is lost or written twice. Lightning's CSV logger deletes the file of the run
    that it resumes, and is called after the checkpoint.

    Args:
        path: the file.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.rows = 0
        self.columns: list[str] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *batch: Any) -> None:
        if trainer.is_global_zero and trainer.global_step % trainer.log_every_n_steps == 0:
            self._write(trainer, "train/", "loss/", "mixing/")

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
