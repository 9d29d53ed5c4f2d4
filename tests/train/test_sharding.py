"""Under Lightning's DDP and under FSDP two processes train as one does; what FSDP cannot do is refused."""

import functools
import os
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.errors import UserError
from hr_retrieval.objective.loss import SoftmaxLoss
from hr_retrieval.objective.mixing import AnchorMixing
from hr_retrieval.runs.checkpoints import CheckedCheckpointIO, load_checkpoint
from hr_retrieval.train.module import RetrievalModule
from hr_retrieval.train.sharding import PRECISIONS, ShardedStrategy
from tests.conftest import write_toy_dataset

# Keys of the module, and of the trainer.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "clipped by norm": ({}, {"gradient_clip_val": 0.01}),
    "clipped by value": ({}, {"gradient_clip_val": 1e-4, "gradient_clip_algorithm": "value"}),
    "mini-batches": ({"mini_batch": 3}, {"accumulate_grad_batches": 2}),
    "queue": ({"queue_size": 9, "queue_negatives": True}, {}),
    "bf16": ({}, {"precision": "bf16-mixed"}),
}
STEPS, HALF = 4, 2


def trained(
    folder: Path, case: str, strategy: Any = "auto", steps: int = STEPS, begin: str | None = None
) -> pl.Trainer:
    """The trainer of a module after so many steps; two processes take half of each batch."""
    torch.manual_seed(5)
    module_options, trainer_options = CASES[case]
    encoder = Encoder(str(folder / "encoder"), max_length=24)
    # A large eps: where a gradient is nothing but rounding (the keys' biases), Adam would make a step of it.
    optimizer = functools.partial(torch.optim.AdamW, lr=1e-2, eps=1e-3, weight_decay=0.5, fused=True)
    module = RetrievalModule(encoder, AnchorMixing(), SoftmaxLoss(), optimizer, **module_options)
    devices = 1 if strategy == "auto" else 2
    trainer = pl.Trainer(
        strategy=strategy, devices=devices, accelerator="cpu", plugins=[CheckedCheckpointIO()], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        limit_val_batches=0, use_distributed_sampler=False, max_steps=steps, **trainer_options,
    )  # fmt: skip
    data = RetrievalDataModule(folder / "toy", encoder, batch_size=8 // devices)
    trainer.fit(module, data, ckpt_path=begin and folder / f"{begin}.ckpt", weights_only=True)
    return trainer


def process(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    # As where something else has started the processes; they find each other by a file.
    os.environ |= {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    trained(folder, "mini-batches", "ddp").save_checkpoint(folder / "ddp mini-batches.ckpt", weights_only=False)
    for case in CASES:
        trained(folder, case, ShardedStrategy()).save_checkpoint(folder / f"sharded {case}.ckpt", weights_only=False)
    trained(folder, "queue", ShardedStrategy(), HALF).save_checkpoint(folder / "sharded half.ckpt", weights_only=False)
    for begin in ("one half", "sharded half"):
        ended = trained(folder, "queue", ShardedStrategy(), begin=begin)
        ended.save_checkpoint(folder / f"sharded after {begin}.ckpt", weights_only=False)
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Encoder) -> Path:
    folder = tmp_path_factory.mktemp("two")
    dataset = write_toy_dataset(folder / "toy")
    tiny_encoder.save(folder / "encoder")
    RetrievalDataModule(dataset, tiny_encoder, batch_size=8).prepare_data()
    for case in CASES:
        trained(folder, case).save_checkpoint(folder / f"one {case}.ckpt", weights_only=False)
    trained(folder, "queue", steps=HALF).save_checkpoint(folder / "one half.ckpt", weights_only=False)
    mp.spawn(process, args=(folder,), nprocs=2)
    return folder


def assert_equal(one: Path, two: Path, rtol: float, atol: float) -> None:
    expected, found = load_checkpoint(one), load_checkpoint(two)
    assert found["global_step"] == expected["global_step"] == STEPS
    for name in ("state_dict", "optimizer_states"):
        torch.testing.assert_close(found[name], expected[name], rtol=rtol, atol=atol)


@pytest.mark.parametrize(("strategy", "case"), [("ddp", "mini-batches"), *(("sharded", case) for case in CASES)])
def test_two_processes_train_as_one(two_processes: Path, strategy: str, case: str) -> None:
    # In bfloat16 the sign of a small gradient may be rounding, and a step is 1e-2 long.
    atol = 2e-2 if case == "bf16" else 1e-4
    assert_equal(two_processes / f"one {case}.ckpt", two_processes / f"{strategy} {case}.ckpt", rtol=1e-3, atol=atol)


def test_the_cases_differ(two_processes: Path) -> None:
    """Each of them could fail: training without what it is about ends elsewhere."""
    for case in CASES:
        for other in CASES:
            if other != case:
                with pytest.raises(AssertionError):
                    assert_equal(
                        two_processes / f"one {case}.ckpt", two_processes / f"one {other}.ckpt", rtol=1e-3, atol=1e-4
                    )


def test_a_resumed_sharded_run_is_the_run_itself(two_processes: Path) -> None:
    assert_equal(
        two_processes / "sharded queue.ckpt", two_processes / "sharded after sharded half.ckpt", rtol=0, atol=0
    )


def test_a_checkpoint_is_that_of_any_strategy(two_processes: Path) -> None:
    """One process goes on from the sharded checkpoint, and the other way about."""
    expected = two_processes / "one queue.ckpt"
    assert_equal(expected, two_processes / "sharded after one half.ckpt", rtol=1e-3, atol=1e-4)
    ended = trained(two_processes, "queue", begin="sharded half")
    ended.save_checkpoint(two_processes / "one after sharded half.ckpt", weights_only=False)
    assert_equal(expected, two_processes / "one after sharded half.ckpt", rtol=1e-3, atol=1e-4)


def test_weights_computed_in_bf16_are_kept_in_float32(two_processes: Path) -> None:
    weights = load_checkpoint(two_processes / "sharded bf16.ckpt")["state_dict"]
    assert all(weight.dtype == torch.float32 for weight in weights.values() if weight.is_floating_point())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_precision_is_taken(precision: Any) -> None:
    trainer = pl.Trainer(strategy=ShardedStrategy(), devices=2, accelerator="cpu", precision=precision, logger=False)
    assert trainer.precision == precision
    with trainer.strategy.precision_plugin.forward_context():
        assert torch.is_autocast_enabled("cpu") == (precision == "bf16-mixed")


@pytest.mark.parametrize("precision", ["16-true", "bf16-true"])
def test_other_precisions_are_refused(precision: Any) -> None:
    with pytest.raises(UserError, match="32-true or bf16-mixed"):
        pl.Trainer(strategy=ShardedStrategy(), devices=2, accelerator="cpu", precision=precision, logger=False)
