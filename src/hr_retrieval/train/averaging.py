"""An average of the weights along the training, which is what is validated, kept as the best and exported."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging

from hr_retrieval.errors import UserError


class AverageWeights(EMAWeightAveraging):
    """`a <- decay a + (1 - decay) w` behind every step, from the first one of which `a` is `w`.

    Training goes on with `w`. A checkpoint holds `a` as the module's weights and `w` beside, so
    that a resumed run goes on with both. Sources: Polyak and Juditsky 1992 (averaging); Tarvainen
    and Valpola 2017 (Mean Teacher, arXiv 1703.01780).

    Args:
        decay: in [0, 1); the last `1 / (1 - decay)` steps count most. `None` averages nothing.
        start_step: the first step, counted from 0, whose weights are averaged.

    Raises:
        UserError: a value is out of range.
    """

    def __init__(self, decay: float | None = None, start_step: int = 0) -> None:
        if decay is not None and not 0 <= decay < 1:
            raise UserError(
                "callbacks.average.decay from 0 to below 1, or null",
                str(decay),
                "0.99 averages over about the last hundred steps.",
            )
        if start_step < 0:
            raise UserError("callbacks.average.start_step of at least 0", str(start_step), "0 averages from the first.")
        # What is in buffers, such as the queue's places, has no mean.
        super().__init__(use_buffers=False, decay=decay or 0.0, update_starting_at_step=start_step)
        self.decay = decay

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return self.decay is not None and super().should_update(step_idx, epoch_idx)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self.decay is not None:
            # Lightning would make the copy where the weights lie before they are moved.
            pl_module.to(trainer.strategy.root_device)
            super().setup(trainer, pl_module, stage)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.decay is not None:
            super().on_train_end(trainer, pl_module)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        trained = checkpoint.get("current_model_state", checkpoint["state_dict"])
        if self.decay is None:
            # Of a run that had an average until now.
            if "current_model_state" in checkpoint:
                pl_module.load_state_dict(trained)
            return
        # Without an average in the checkpoint, it begins behind the next step.
        beginning = {"n_averaged": torch.tensor(0)}
        known = {"averaging_state": beginning, **checkpoint, "current_model_state": trained}
        super().on_load_checkpoint(trainer, pl_module, known)
