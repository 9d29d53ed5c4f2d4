"""The average of the weights against a loop over steps: what is validated, kept, resumed and left at the end."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.errors import UserError
from hr_retrieval.runs.checkpoints import load_checkpoint
from hr_retrieval.train.averaging import AverageWeights
from hr_retrieval.train.check import check_callbacks
from hr_retrieval.train.checkpointing import StepCheckpoint
from hr_retrieval.train.module import RetrievalModule
from tests.train.test_module import QUIET, make

Weights = dict[str, torch.Tensor]
QUEUE = {"queue_size": 20, "queue_negatives": True}


def weights(module: RetrievalModule) -> Weights:
    return {name: value.detach().clone() for name, value in module.encoder.state_dict().items()}


class Watch(Callback):
    """The weights behind each step, and those of each validation."""

    def __init__(self) -> None:
        self.stepped: list[Weights] = []
        self.validated: list[Weights] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *rest: Any) -> None:
        self.stepped.append(weights(pl_module))

    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: Any, *rest: Any) -> None:
        self.validated.append(weights(pl_module))


def trained(
    toy: Path, folder: Path, decay: float | None, steps: int, start: int = 0, **options: Any
) -> tuple[RetrievalModule, Watch]:
    """Trained on from the last checkpoint in the folder, if there is one."""
    module, watch = make(**QUEUE), Watch()
    data = RetrievalDataModule(toy, module.encoder, batch_size=8)
    best = ModelCheckpoint(
        folder, "best", monitor="validation/mrr", mode="max", save_on_train_epoch_end=False, **options
    )
    callbacks = [AverageWeights(decay, start), watch, best, StepCheckpoint(folder, 1)]
    quiet = QUIET | {"enable_checkpointing": True, "limit_val_batches": 1.0, "val_check_interval": 3}
    last = folder / "last.ckpt"
    trainer = pl.Trainer(max_steps=steps, callbacks=callbacks, **quiet)
    trainer.fit(module, data, ckpt_path=str(last) if last.exists() else None, weights_only=True)
    return module, watch


def average(stepped: list[Weights], decay: float, start: int = 0) -> Weights:
    """By a loop over the steps and the weights."""
    found = stepped[start]
    for own in stepped[start + 1 :]:
        found = {name: decay * found[name] + (1 - decay) * value for name, value in own.items()}
    return found


def same(found: Weights, expected: Weights, exactly: bool = False) -> None:
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, **({"rtol": 0, "atol": 0} if exactly else {}))


def of_encoder(state: Weights) -> Weights:
    return {name.removeprefix("encoder."): value for name, value in state.items() if name.startswith("encoder.")}


@pytest.mark.parametrize("start", [0, 2])
def test_the_average_is_that_of_a_loop_wherever_weights_are_asked_for(
    toy_dataset: Path, tmp_path: Path, start: int
) -> None:
    module, watch = trained(toy_dataset, tmp_path / "run", 0.8, 7, start)
    assert len(watch.stepped) == 7
    same(weights(module), average(watch.stepped, 0.8, start))
    assert watch.validated
    same(watch.validated[0], average(watch.stepped[:3], 0.8, start))
    same(watch.validated[-1], average(watch.stepped[:6], 0.8, start))
    best = load_checkpoint(tmp_path / "run" / "best.ckpt")
    same(of_encoder(best["state_dict"]), average(watch.stepped[: best["global_step"]], 0.8, start))
    same(of_encoder(best["current_model_state"]), watch.stepped[best["global_step"] - 1], exactly=True)


def test_a_resumed_training_ends_as_one_never_stopped(toy_dataset: Path, tmp_path: Path) -> None:
    whole, whole_watch = trained(toy_dataset, tmp_path / "whole", 0.8, 7)
    for steps in (2, 3, 5, 7):
        cut, watch = trained(toy_dataset, tmp_path / "cut", 0.8, steps)
    same(weights(cut), weights(whole), exactly=True)
    same(watch.stepped[-1], whole_watch.stepped[-1], exactly=True)


def test_training_itself_and_its_queue_know_nothing_of_the_average(toy_dataset: Path, tmp_path: Path) -> None:
    plain, plain_watch = trained(toy_dataset, tmp_path / "plain", None, 7)
    module, watch = trained(toy_dataset, tmp_path / "run", 0.8, 7)
    same(watch.stepped[-1], plain_watch.stepped[-1], exactly=True)
    same(weights(plain), plain_watch.stepped[-1], exactly=True)
    same(plain_watch.validated[-1], plain_watch.stepped[5], exactly=True)
    assert module.queue is not None
    assert plain.queue is not None
    for one, other in zip(module.queue.current(), plain.queue.current(), strict=True):
        assert torch.equal(one, other)
    # Begun with an average, gone on without one, and the other way round.
    trained(toy_dataset, tmp_path / "left", 0.8, 4)
    same(weights(trained(toy_dataset, tmp_path / "left", None, 7)[0]), plain_watch.stepped[-1], exactly=True)
    trained(toy_dataset, tmp_path / "taken", None, 4)
    taken, taken_watch = trained(toy_dataset, tmp_path / "taken", 0.8, 7)
    same(weights(taken), average(taken_watch.stepped, 0.8))


@pytest.mark.parametrize(
    ("options", "said"),
    [({"decay": 1.0}, "decay from 0 to below 1, or null; got 1.0"), ({"start_step": -1}, "start_step of at least 0")],
)
def test_wrong_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        AverageWeights(**options)


def test_checkpoints_of_other_weights_than_were_measured_are_refused(tmp_path: Path) -> None:
    light = ModelCheckpoint(tmp_path, save_weights_only=True)
    with pytest.raises(UserError, match="save_weights_only=true"):
        check_callbacks([AverageWeights(0.9), light])
    check_callbacks([AverageWeights(None), light])
