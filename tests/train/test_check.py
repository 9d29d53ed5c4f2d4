"""What a config asks of the trainer and would not get is refused before any work, with what helps."""

from pathlib import Path

import pytest

from hr_retrieval.train import __main__ as train
from tests.conftest import Command

TOY = ("model=tiny", "data.folder=toy", "trainer.accelerator=cpu", "trainer.precision=32-true", "output=run")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("+trainer.fast_dev_run=true", "trainer.max_steps=10"),
        ("+trainer.fast_dev_run=3", "trainer.max_steps=10"),
        ("+trainer.overfit_batches=1", "data.max_rows=100"),
        ("trainer.limit_val_batches=1", "datamodule.evaluation_queries=200"),
        ("trainer.limit_val_batches=0.5", "datamodule.evaluation_queries=200"),
        ("+trainer.limit_test_batches=1", "test=false"),
        ("trainer.limit_train_batches=0", "evaluate"),
        ("trainer.num_sanity_val_steps=2", "zero_shot=true"),
        ("trainer.max_epochs=0", "evaluate"),
        ("trainer.max_steps=0", "evaluate"),
        ("trainer.val_check_interval=00:00:05", "at other steps"),
        ("trainer.precision=16-mixed", "bf16-mixed or 32-true"),
        ("trainer.precision=64-true", "32-true, bf16-mixed or 16-mixed"),
        ("trainer.precision=bf16-true", "round small steps away"),
        ("trainer.precision=8-bit", "32-true, bf16-mixed or 16-mixed"),
        ("trainer.accelerator=abacus", "a refusal (You selected an invalid accelerator"),
        ("trainer.max_time=soon", "is not a valid duration"),
        ("+trainer.barebones=true", "leave the key out"),
        ("trainer.strategy=fsdp", "got fsdp. Leave trainer.strategy=auto; if memory is short, set model.mini_batch"),
        ("trainer.strategy=deepspeed_stage_2", "got deepspeed_stage_2. Leave trainer.strategy=auto"),
        ("trainer.strategy={_target_: pytorch_lightning.strategies.FSDPStrategy}", "Leave trainer.strategy=auto"),
        ("trainer=fsdp", "There are: ddp, default, multinode"),
        ("+callbacks.x._target_=pytorch_lightning.callbacks.BatchSizeFinder", "hydra/sweeper=optuna"),
        ("+callbacks.x._target_=pytorch_lightning.callbacks.LearningRateFinder", "hydra/sweeper=optuna"),
    ],
)
@pytest.mark.usefixtures("toy_dataset")
def test_it_is_refused_with_what_helps(command: Command, tmp_path: Path, option: str, said: str) -> None:
    printed = command(train.main, *TOY, option)
    assert printed.startswith("exit 1:")
    assert said in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "run" / "config.yaml").exists()


@pytest.mark.usefixtures("toy_dataset")
def test_an_anchor_alone_needs_negatives(command: Command) -> None:
    printed = command(train.main, *TOY, "datamodule.batch_size=1", "datamodule.negatives_per_anchor=0")
    assert printed.startswith("exit 1:")
    assert "batches of at least two anchors" in printed
