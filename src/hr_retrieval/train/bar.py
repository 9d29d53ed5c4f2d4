"""The progress bar of a run: epochs are counted from 1, as everywhere else, and measurements say what they are."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar


class Bar(RichProgressBar):
    """Lightning's bar with our count and words."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_epoch_start(trainer, pl_module)
        if self.progress is not None and self.train_progress_bar_id is not None:
            last = f"/{trainer.max_epochs}" if trainer.max_epochs not in (None, -1) else ""
            self.progress.update(self.train_progress_bar_id, description=f"epoch {trainer.current_epoch + 1}{last}")

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """Without Lightning's number of the version, which runs here do not have."""
        return {name: value for name, value in super().get_metrics(trainer, pl_module).items() if name != "v_num"}

    @property
    def validation_description(self) -> str:
        return "validation" if self.trainer.state.fn == "fit" else "validation before training"

    @property
    def test_description(self) -> str:
        return "test" if self.trainer.global_step else "test before training"
