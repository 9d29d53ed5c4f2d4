"""It is known beforehand where Lightning validates, so that checkpoints come after it."""

from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from hr_retrieval.train.checkpointing import validation_follows


class Counted(pl.LightningModule):
    """The least that Lightning trains; takes down what was expected of each batch and what came."""

    def __init__(self, stop_at: int | None) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.stop_at = stop_at
        self.expected: list[bool] = []
        self.came: list[bool] = []

    def training_step(self, batch: torch.Tensor, batch_index: int) -> torch.Tensor:
        return self.layer(batch).sum()

    def validation_step(self, batch: torch.Tensor, batch_index: int) -> None:
        pass

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_index: int) -> None:
        self.trainer.should_stop |= self.global_step == self.stop_at
        self.expected.append(validation_follows(self.trainer, batch_index))
        self.came.append(False)

    def on_validation_start(self) -> None:
        self.came[-1] = True

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize(
    ("options", "stop_at"),
    [
        ({}, None),
        ({"val_check_interval": 0.4}, None),
        ({"val_check_interval": 5, "check_val_every_n_epoch": None}, None),
        ({"check_val_every_n_epoch": 2}, None),
        ({"limit_val_batches": 0}, None),
        ({"limit_train_batches": 3, "accumulate_grad_batches": 2}, None),
        ({"max_steps": 10}, None),
        ({}, 5),
        ({"min_epochs": 2}, 5),
        ({"min_steps": 9}, 5),
    ],
)
def test_it_is_known_beforehand_whether_lightning_validates(options: dict[str, Any], stop_at: int | None) -> None:
    module = Counted(stop_at)
    loader = torch.utils.data.DataLoader(torch.ones(7, 1))
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, max_epochs=3, **options,
    )  # fmt: skip
    trainer.fit(module, loader, loader)
    assert module.expected == module.came
    assert any(module.came) == (options.get("limit_val_batches") != 0)
