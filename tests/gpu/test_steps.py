"""Steps of training on a GPU: every precision, fused optimizers with clipping, and no warning of what has no order."""

import functools
import warnings
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.objective.mixing import AnchorMixing, Mixing, NoMixing
from hr_retrieval.objective.triplet import TripletLoss
from hr_retrieval.train.module import RetrievalModule
from tests.gpu.conftest import ACCELERATOR

QUIET: dict[str, Any] = {
    "accelerator": ACCELERATOR, "devices": 1, "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
    "enable_model_summary": False, "num_sanity_val_steps": 0, "limit_val_batches": 0, "use_distributed_sampler": False,
}  # fmt: skip


class Losses(pl.Callback):
    """The loss of each step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *batch: Any) -> None:
        self.values.append(float(outputs["loss"]))


def losses(
    folder: Path, steps: int = 8, loss: TripletLoss | None = None, mixing: Mixing | None = None, **options: Any
) -> list[float]:
    """Of each step of a training with fused Adam and clipping."""
    encoder = Encoder("tiny", max_length=24)
    optimizer = functools.partial(torch.optim.Adam, lr=1e-3, fused=True)
    module = RetrievalModule(encoder, mixing or NoMixing(), loss or TripletLoss(), optimizer)
    watch = Losses()
    trainer = pl.Trainer(max_steps=steps, gradient_clip_val=0.1, callbacks=[watch], **QUIET, **options)
    trainer.fit(module, RetrievalDataModule(folder, encoder, batch_size=8))
    return watch.values


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed"])
def test_mixed_precisions_train_as_float32_does(toy_dataset: Path, precision: str) -> None:
    if precision == "16-mixed" and ACCELERATOR == "cpu":
        pytest.skip("float16 is for GPUs")
    expected = losses(toy_dataset, precision="32-true")
    found = losses(toy_dataset, precision=precision)
    assert expected[-1] < expected[0]
    # The first steps of 16-mixed may be left out, while the scale of the gradients is too large.
    assert found[0] == pytest.approx(expected[0], rel=0.05)
    assert found[-1] < found[0]


@pytest.mark.parametrize("loss", [TripletLoss(), TripletLoss(form="hinge")], ids=["smooth", "hinge"])
@pytest.mark.parametrize("mixing", [NoMixing(), AnchorMixing(negative_weight=0.4)], ids=["none", "anchor"])
def test_nothing_warns_of_what_has_no_order_and_all_of_it_repeats(
    toy_dataset: Path, deterministic: None, loss: TripletLoss, mixing: Mixing
) -> None:
    options = {"precision": "bf16-mixed", "deterministic": "warn", "loss": loss, "mixing": mixing}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        first, again = losses(toy_dataset, **options), losses(toy_dataset, **options)
    assert {str(one.message).splitlines()[0] for one in said if "eterministic" in str(one.message)} == set()
    assert first == again
