"""What happens beside training, at Lightning's hooks."""

import logging
from collections.abc import Sequence

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

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
