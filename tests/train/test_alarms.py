"""Trainings that cannot work are said to be so, and others are not."""

import functools
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_lightning.callbacks import Callback
from torch.nn import functional as F

from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.errors import UserError
from hr_retrieval.objective.mixing import NoMixing
from hr_retrieval.objective.triplet import TripletLoss
from hr_retrieval.train.alarms import Alarms, mean_cosine
from hr_retrieval.train.module import RetrievalModule
from hr_retrieval.train.schedule import WarmupLinear


def run(
    folder: Path,
    *callbacks: Callback,
    lr: float = 1e-2,
    scheduler: Any = None,
    alike: float = 0.9999,
    tied: float = 0.05,
    **options: Any,
) -> None:
    """Three short epochs with a validation behind each; `zero_shot` as a run measures it."""
    torch.manual_seed(0)
    optimizer = functools.partial(torch.optim.Adam, lr=lr)
    module = RetrievalModule(Encoder("tiny", max_length=24), NoMixing(), TripletLoss("hinge"), optimizer, scheduler)
    data = RetrievalDataModule(folder, module.encoder, batch_size=8)
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, use_distributed_sampler=False, callbacks=[*callbacks, Alarms(alike, tied)],
        **({"max_epochs": 3, "limit_train_batches": 3} | options),
    )  # fmt: skip
    trainer.validate(module, data, verbose=False)
    trainer.fit(module, data)


def said(caplog: pytest.LogCaptureFixture, words: str) -> int:
    return sum(words in record.getMessage() for record in caplog.records)


class Alike(Callback):
    """Leaves one vector for every text: the last norm's bias, of normal numbers or of one, whose sums are exact."""

    def __init__(self, bias: float | None = None) -> None:
        self.bias = bias

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        norms = [child for name, child in pl_module.named_modules() if name.endswith("LayerNorm")]
        assert isinstance(norms[-1].weight, torch.Tensor)
        assert isinstance(norms[-1].bias, torch.Tensor)
        norms[-1].weight.data.zero_()
        if self.bias is None:
            norms[-1].bias.data.normal_()
        else:
            norms[-1].bias.data.fill_(self.bias)


def test_a_training_that_works_raises_no_alarm(blind_dataset: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(blind_dataset)
    assert not [record for record in caplog.records if record.levelname != "INFO"]


def test_embeddings_that_are_all_alike_are_said_once(toy_dataset: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(toy_dataset, Alike(), lr=1e-9)
    assert said(caplog, "All embeddings of the validation are alike") == 1
    assert said(caplog, "model.encoder.pooling") == 1


def test_how_alike_is_an_option(toy_dataset: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(toy_dataset, alike=0.01)
    assert said(caplog, "All embeddings of the validation are alike") == 1
    with pytest.raises(UserError, match=r"callbacks\.alarms\.alike"):
        Alarms(0.0)


def test_scores_that_tie_are_said_once(toy_dataset: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(toy_dataset, Alike(bias=1.0), lr=1e-9, alike=1.0)
    assert said(caplog, "for 100% of the queries a document that is not relevant scores exactly as high") == 1
    with pytest.raises(UserError, match=r"callbacks\.alarms\.tied"):
        Alarms(tied=0.0)


def test_how_many_may_tie_is_an_option(toy_dataset: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(toy_dataset, Alike(bias=1.0), lr=1e-9, alike=1.0, tied=1.0)
    assert said(caplog, "Scores of the validation tie") == 0


def test_weights_that_do_not_change_are_said_once(toy_dataset: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(toy_dataset, lr=0.0)
    assert said(caplog, "no weight has changed in 3 steps, with optimizer.lr=0 ") == 1
    assert said(caplog, "did not move") == 0


def test_the_peak_of_a_schedule_is_what_the_alarm_names(toy_dataset: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By then the rate itself may have fallen."""
    run(toy_dataset, lr=1e-60, scheduler=functools.partial(WarmupLinear, warmup=0.0))
    assert said(caplog, "no weight has changed in 3 steps, with optimizer.lr=1e-60 ") == 1


def test_ranks_that_do_not_change_are_said_once(blind_dataset: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(blind_dataset, lr=1e-10)
    assert said(caplog, "The validation did not move: after 3 steps with optimizer.lr=1e-10") == 1


def test_a_perfect_validation_may_stay_so(toy_dataset: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The words of the toy data set give every query its document."""
    run(toy_dataset, lr=1e-10)
    assert said(caplog, "did not move") == 0


def test_weights_of_which_all_are_frozen_are_refused(toy_dataset: Path) -> None:
    class Frozen(Callback):
        def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
            pl_module.requires_grad_(False)

    with pytest.raises(UserError, match="all are frozen"):
        run(toy_dataset, Frozen())


def test_a_schedule_without_an_end_is_refused(toy_dataset: Path) -> None:
    with pytest.raises(UserError, match=r"trainer\.max_epochs=-1"):
        run(toy_dataset, scheduler=WarmupLinear, max_epochs=-1)


@given(st.integers(1, 8), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_the_mean_cosine_is_that_of_all_pairs(count: int, seed: int) -> None:
    embeddings = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))
    cosines = [
        float(F.cosine_similarity(embeddings[first], embeddings[second], dim=0))
        for first in range(count)
        for second in range(count)
        if first != second
    ]
    assert mean_cosine(embeddings) == pytest.approx(sum(cosines) / len(cosines) if cosines else 0.0, abs=1e-5)
