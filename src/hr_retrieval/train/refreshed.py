"""A file that a training makes anew with its encoder at the beginning of an epoch, and goes on with
when it is resumed.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.errors import UserError


class Refreshed(Callback, ABC):
    """Makes a file at the beginning of an epoch and brings it into force, on every process the same.

    The file in force is part of a checkpoint. Kept are that one and those that the last two
    checkpoints name.

    Args:
        key: of the callback in the config, for messages.
        folder: where `epoch-0001.<suffix>` and so on are written.
        every_n_epochs: epochs from one file to the next.
        start_epoch: the first epoch, counted from 0, that has one.

    Raises:
        UserError: a number is out of range.
    """

    suffix: str

    def __init__(self, key: str, folder: str | Path, every_n_epochs: int = 1, start_epoch: int = 0) -> None:
        if every_n_epochs < 1 or start_epoch < 0:
            raise UserError(
                f"{key} with every_n_epochs of at least 1 and start_epoch of at least 0",
                f"{every_n_epochs} and {start_epoch}",
                "1 and 0 make it anew at the beginning of every epoch.",
            )
        self.folder, self.every_n_epochs, self.start_epoch = Path(folder), every_n_epochs, start_epoch
        self._named: list[str] = []
        self._loaded: str | None = None

    def wanted(self, module: pl.LightningModule) -> bool:
        """Whether this training needs the file."""
        return True

    @abstractmethod
    def make(self, trainer: pl.Trainer, module: pl.LightningModule, data: RetrievalDataModule, path: Path) -> None:
        """Write the file, whole or not at all; asked of the first process."""

    @abstractmethod
    def use(self, trainer: pl.Trainer, module: pl.LightningModule, data: RetrievalDataModule, path: Path) -> None:
        """Bring the file into force."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Lightning leaves `on_train_epoch_start` out where it resumes, at the beginning of an epoch
        # too.
        if not trainer.fit_loop.done:
            self._refresh(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._refresh(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        # Asked for whenever a checkpoint is written.
        if self._loaded is not None:
            self._named = [*(name for name in self._named if name != self._loaded), self._loaded][-2:]
        return {"named": list(self._named)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._named = list(state_dict["named"])

    def _refresh(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        name = self._due(trainer.current_epoch)
        if name is None or name == self._loaded or not self.wanted(module):
            return
        data: RetrievalDataModule = cast(Any, trainer).datamodule
        # The one that the checkpoint has in force was made by the weights that the epoch began
        # with.
        if self._named[-1:] != [name]:
            if trainer.is_global_zero:
                self.make(trainer, module, data, self.folder / name)
                self._remove_others(name)
            trainer.strategy.barrier(f"{type(self).__name__}: {name}")
        self.use(trainer, module, data, self.folder / name)
        self._loaded = name

    def _due(self, epoch: int) -> str | None:
        since = epoch - self.start_epoch
        return None if since < 0 else f"epoch-{epoch - since % self.every_n_epochs + 1:04d}.{self.suffix}"

    def _remove_others(self, name: str) -> None:
        for path in self.folder.glob(f"epoch-*.{self.suffix}"):
            if path.name not in (name, self._loaded, *self._named):
                path.unlink()
