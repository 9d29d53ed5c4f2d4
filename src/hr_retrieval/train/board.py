"""What TensorBoard shows of a figure, under which name and at which step; `docs/tensorboard.md` explains each."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard.summary import hparams

# Upper case comes before lower case: what matters stands first.
VALIDATION, FURTHER = "Validation", "validation_further"
_FIRST = ("mrr", "pass@1", "recall@10", "ndcg@10", "map")
_RATE = "train/learning_rate"
# The page of scalars that are chosen, chart by chart: what each draws.
LAYOUT = {
    "Quality on validation": {name: ["Multiline", [rf"^{VALIDATION}/(.+/)?{name}$"]] for name in _FIRST},
    "Training": {
        "loss": ["Multiline", ["^train/(.+/)?loss$"]],
        "learning rate": ["Multiline", [f"^{_RATE}$"]],
    },
}


class Board(TensorBoardLogger):
    """Lightning's logger with our count and names.

    * A step is the number of steps made: Lightning calls the fiftieth step 49.
    * Validation figures come first. Test figures are in the table of runs alone, since they are one
      dot each; so are Lightning's own epochs nowhere.
    * A figure that has always been 0 is not shown, and one learning rate stands for all equal ones.

    Args:
        save_dir: where the folder is written.
        name: of the folder.
        version: of a folder within it; empty for none.
        default_hp_metric: whether a row of HParams stands there from the beginning, at -1.
    """

    def __init__(
        self, save_dir: str | Path, name: str = "tensorboard", version: str = "", default_hp_metric: bool = False
    ) -> None:
        super().__init__(save_dir, name=name, version=version, default_hp_metric=default_hp_metric)
        self.training = False
        self._seen: set[str] = set()

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Scalars under the names that `shown` gives them."""
        shown = {name: value for name, value in shown_scalars(metrics).items() if self._tells(name, value)}
        if shown:
            super().log_metrics(shown, step + 1 if self.training and step is not None else step)

    def log_trial(self, settings: Mapping[str, Any], figures: Mapping[str, float], name: str) -> None:
        """One row of the table of runs.

        Args:
            settings: by which runs are told apart.
            figures: of the test.
            name: of the row.
        """
        if not figures:
            # TensorBoard shows no row without any.
            return
        for key, value in figures.items():
            self.experiment.add_scalar(key, value, 0)
        plain = {key: value if isinstance(value, bool | int | float) else str(value) for key, value in settings.items()}
        columns, row, end = hparams(plain, dict(figures))  # type: ignore[no-untyped-call]  # torch leaves it untyped
        # torch leaves a row without a name, so that it is called by its path.
        data = row.value[0].metadata.plugin_data
        content = HParamsPluginData.FromString(data.content)
        content.session_start_info.group_name = name
        data.content = content.SerializeToString()
        for summary in (columns, row, end):
            self.experiment.file_writer.add_summary(summary)

    def _tells(self, name: str, value: float) -> bool:
        if name.startswith((VALIDATION, FURTHER)) or float(value) != 0:
            self._seen.add(name)
        return name in self._seen


class Layout(Callback):
    """Says to TensorBoard which charts to draw first, and to the logger while a training goes on."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for logger in _boards(trainer):
            logger.training = True
            logger.experiment.add_custom_scalars(LAYOUT)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for logger in _boards(trainer):
            logger.training = False


def shown_scalars(metrics: Mapping[str, float]) -> dict[str, float]:
    """What is shown of some figures, by the names in TensorBoard."""
    result: dict[str, float] = {}
    for name, value in metrics.items():
        part, _, rest = name.partition("/")
        if name == "epoch" or part == "test" or name.endswith("excluded"):
            continue
        if name.startswith("lr-"):
            result.setdefault(_RATE, value)
            continue
        if part == "validation":
            part = VALIDATION if rest.rsplit("/", 1)[-1] in _FIRST and "document_to_query" not in rest else FURTHER
            name = f"{part}/{rest}"
        result[name] = value
    return result


def trial_name(encoder: str, data: str, settings: Mapping[str, Any], now: datetime) -> str:
    """What a row of the table of runs is called, of which TensorBoard shows the beginning: what was set comes first."""
    told = [f"{key.rsplit('.', 1)[-1]}={value}" for key, value in settings.items() if key != "mixing"]
    mixing = [str(settings["mixing"])] if "mixing" in settings else []
    return f"{' '.join([*mixing, *told, encoder, data])} ({now:%d %b %H:%M:%S})"


def _boards(trainer: pl.Trainer) -> list[Board]:
    return [logger for logger in trainer.loggers if isinstance(logger, Board)] if trainer.is_global_zero else []
