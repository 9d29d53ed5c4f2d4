"""Two processes train as one: their tensors, loss and gradients of a step, a training, and the whole command."""

import csv
import functools
import itertools
import json
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torch.distributed as dist
import torch.nn.functional as F

from hr_retrieval.data.batch import Batch
from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.guard import Guard
from hr_retrieval.data.guidance import Guidance
from hr_retrieval.data.source import Source
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.objective.mixing import AnchorMixing, Mixing, NoMixing, QueryViewMixing
from hr_retrieval.objective.triplet import TripletLoss
from hr_retrieval.runs.checkpoints import load_checkpoint
from hr_retrieval.train import __main__ as train
from hr_retrieval.train.checkpoint_io import CheckedCheckpointIO
from hr_retrieval.train.distributed import gather_parts
from hr_retrieval.train.module import RetrievalModule
from tests.conftest import Command, write_toy_dataset
from tests.train.conftest import ended

WEIGHT = torch.arange(12, dtype=torch.float32).reshape(4, 3) / 10
INPUTS = torch.linspace(-1, 1, 20).reshape(5, 4)
SHARES = (slice(0, 2), slice(2, 5))


def loss_of(embeddings: torch.Tensor) -> torch.Tensor:
    return (embeddings @ embeddings.T).exp().mean()


def gathered(rank: int) -> dict[str, torch.Tensor]:
    weight = WEIGHT.clone().requires_grad_()
    loss = loss_of(torch.cat(gather_parts(INPUTS[SHARES[rank]] @ weight)))
    loss.backward()
    assert weight.grad is not None
    dist.all_reduce(weight.grad)
    # Data-parallel training averages the gradients of the processes.
    return {"loss": loss.detach(), "gradient": weight.grad / 2}


def test_gathered_rows_give_the_loss_and_gradient_of_one_process(two_processes: Path) -> None:
    weight = WEIGHT.clone().requires_grad_()
    loss = loss_of(INPUTS @ weight)
    loss.backward()
    for rank in (0, 1):
        result = torch.load(two_processes / f"gathered {rank}.pt", weights_only=True)
        torch.testing.assert_close(result["loss"], loss.detach())
        torch.testing.assert_close(result["gradient"], weight.grad)


def test_one_process_gathers_nothing() -> None:
    (part,) = gather_parts(INPUTS)
    assert part is INPUTS


# Rows of queries; document `q` is the positive of query `q`. The second process brings more
# documents than the first, one of them an own document of the first, and one that both bring.
ANCHORS = ([0, 1, 4], [6, 10, 11])
EXTRAS = ([20], [4, 20, 33])
# As one process would order it: own documents, then the others once, ascending.
WHOLE_ANCHORS, WHOLE_EXTRAS = [0, 1, 4, 6, 10, 11], [20, 33]
CASES: dict[str, tuple[dict[str, Any], type[Mixing], dict[str, Any], dict[str, Any]]] = {
    "hinge": ({"form": "hinge", "margin": 0.3}, NoMixing, {}, {}),
    "smooth": ({}, NoMixing, {}, {}),
    "anchor mixing": ({"form": "hinge", "margin": 0.3}, AnchorMixing, {"random": True, "negative_weight": 0.3}, {}),
    "views": ({}, QueryViewMixing, {"added": 0.5, "ramp_steps": 0, "drop": 0.4}, {}),
    "mini-batches": ({}, AnchorMixing, {}, {"mini_batch": 2}),
    "queue": (
        {"form": "hinge", "margin": 0.3},
        AnchorMixing,
        {"source": "queue"},
        {"queue_size": 9, "queue_negatives": True},
    ),
}


def guarded(dataset: PreparedDataset) -> Guard:
    """A guide without sense, which takes out some negatives."""
    random = np.random.default_rng(0)
    queries, documents = (random.normal(size=(size, 4)) for size in (dataset.query_count, dataset.document_count))
    unit = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (queries, documents)]
    return Guard(dataset, Guidance(unit[0].astype(np.float16), unit[1].astype(np.float16)))


def batch_of(dataset: PreparedDataset, encoder: Encoder, anchors: list[int], extras: list[int]) -> Batch:
    queries, documents = np.array(anchors), np.array(anchors + extras)
    texts = {table: [text for block in dataset.texts(table) for text in block] for table in ("queries", "corpus")}
    relevance, negative = guarded(dataset).judge(queries, documents)
    weights = guarded(dataset).weights(queries, documents)
    assert weights is not None
    return Batch(
        anchors=encoder.tokenise([texts["queries"][row] for row in queries], "query")[0],
        documents=encoder.tokenise([texts["corpus"][row] for row in documents], "document")[0],
        relevance=torch.from_numpy(relevance),
        negative=torch.from_numpy(negative),
        drawn=torch.from_numpy(negative),
        query_rows=torch.from_numpy(queries),
        document_rows=torch.from_numpy(documents),
        weights=torch.from_numpy(weights),
    )


def step(
    folder: Path, case: str, anchors: list[int], extras: list[int], processes: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and the gradient of all parameters, averaged over the processes as data-parallel training does."""
    torch.manual_seed(5)
    loss_options, mixing, mixing_options, options = CASES[case]
    dataset = PreparedDataset.open(folder / "toy")
    grades = 1 + np.arange(len(dataset.positive_documents), dtype=np.int8) % 3
    dataset = replace(dataset, positive_grades=grades)
    encoder = Encoder(str(folder / "encoder"), max_length=24, dropout=0.0)
    module = RetrievalModule(encoder, mixing(**mixing_options), TripletLoss(**loss_options), **options)
    source = Source("toy", 1.0, dataset, guarded(dataset), 0, 0, {}, encoder, folder)
    guidance = guarded(dataset).guidance
    assert guidance is not None
    data = SimpleNamespace(
        guard=guarded(dataset),
        sources=[source],
        teacher_scores=lambda *rows: torch.from_numpy(guidance.scores(*(one.numpy() for one in rows))),
    )
    trainer = SimpleNamespace(world_size=processes, datamodule=data, global_step=0)
    module.trainer = trainer  # type: ignore[assignment]  # what a step reads of a trainer, without one
    module.log = module.log_dict = lambda *arguments, **options: None  # type: ignore[method-assign, assignment]  # likewise
    module.train()
    if module.queue is not None:
        module.queue.enqueue(F.normalize(torch.randn(7, encoder.embedding_dimension), dim=1), torch.arange(10, 24, 2))
    value = module.training_step(batch_of(dataset, encoder, anchors, extras), 0)
    value.backward()
    gradients = [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in module.parameters()]
    gradient = torch.cat(gradients)
    if processes > 1:
        dist.all_reduce(gradient)
    return value.detach(), gradient / processes


# Keys of the module, and of the trainer.
TRAININGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "clipped by norm": ({}, {"gradient_clip_val": 0.01}),
    "mini-batches": ({"mini_batch": 3}, {"accumulate_grad_batches": 2}),
    "queue": ({"queue_size": 9, "queue_negatives": True}, {}),
}
STEPS = 4
TIMEOUT = 300


def trained(folder: Path, case: str, devices: int) -> pl.Trainer:
    """The trainer of a module after its steps; two processes take half of each batch."""
    torch.manual_seed(5)
    module_options, trainer_options = TRAININGS[case]
    encoder = Encoder(str(folder / "encoder"), max_length=24)
    # A large eps: where a gradient is nothing but rounding (the keys' biases), Adam would make a
    # step of it.
    optimizer = functools.partial(torch.optim.AdamW, lr=1e-2, eps=1e-3, weight_decay=0.5, fused=True)
    module = RetrievalModule(encoder, AnchorMixing(), TripletLoss(), optimizer, **module_options)
    trainer = pl.Trainer(
        devices=devices, accelerator="cpu", plugins=[CheckedCheckpointIO()], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, limit_val_batches=0,
        use_distributed_sampler=False, max_steps=STEPS, **trainer_options,
    )  # fmt: skip
    data = RetrievalDataModule(folder / "toy", encoder, batch_size=8 // devices)
    trainer.fit(module, data)
    return trainer


def process(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    # As torchrun says it; here the processes find each other by a file.
    os.environ |= {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    torch.save(gathered(rank), folder / f"gathered {rank}.pt")
    steps = {case: step(folder, case, ANCHORS[rank], EXTRAS[rank], 2) for case in CASES}
    torch.save(steps, folder / f"{rank}.pt")
    for case in TRAININGS:
        trained(folder, case, 2).save_checkpoint(folder / f"two {case}.ckpt", weights_only=False)
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_processes(
    processes: ForkServerContext, tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Encoder
) -> Path:
    folder = tmp_path_factory.mktemp("two")
    dataset = write_toy_dataset(folder / "toy")
    tiny_encoder.save(folder / "encoder")
    RetrievalDataModule(dataset, tiny_encoder, batch_size=8).prepare_data()
    for case in TRAININGS:
        trained(folder, case, 1).save_checkpoint(folder / f"one {case}.ckpt", weights_only=False)
    pair = [processes.Process(target=process, args=(rank, folder)) for rank in (0, 1)]
    for one in pair:
        one.start()
    for one in pair:
        one.join(TIMEOUT)
    assert [one.exitcode for one in pair] == [0, 0]
    return folder


def assert_equal(one: Path, two: Path) -> None:
    expected, found = load_checkpoint(one), load_checkpoint(two)
    assert found["global_step"] == expected["global_step"] == STEPS
    for name in ("state_dict", "optimizer_states"):
        torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("case", TRAININGS)
def test_two_processes_train_as_one(two_processes: Path, case: str) -> None:
    assert_equal(two_processes / f"one {case}.ckpt", two_processes / f"two {case}.ckpt")


def test_the_trainings_differ(two_processes: Path) -> None:
    """Each of them could fail: training without what it is about ends elsewhere."""
    for one, other in itertools.permutations(TRAININGS, 2):
        with pytest.raises(AssertionError):
            assert_equal(two_processes / f"one {one}.ckpt", two_processes / f"one {other}.ckpt")


@pytest.mark.parametrize("case", CASES)
def test_a_step_of_two_processes_is_that_of_one_with_the_global_batch(two_processes: Path, case: str) -> None:
    loss, gradient = step(two_processes, case, WHOLE_ANCHORS, WHOLE_EXTRAS, 1)
    assert loss > 0
    assert gradient.norm() > 0
    for rank in (0, 1):
        found_loss, found_gradient = torch.load(two_processes / f"{rank}.pt", weights_only=True)[case]
        torch.testing.assert_close(found_loss, loss)
        torch.testing.assert_close(found_gradient, gradient, rtol=1e-4, atol=1e-6)


def test_the_guide_without_sense_takes_out_some_negatives(two_processes: Path) -> None:
    dataset = PreparedDataset.open(two_processes / "toy")
    relevance, negative = guarded(dataset).judge(np.array(WHOLE_ANCHORS), np.array(WHOLE_ANCHORS + WHOLE_EXTRAS))
    assert (~relevance & ~negative).any()
    assert negative.any()


TOY = (
    "model=tiny", "data.folder=toy", "trainer.precision=32-true", "trainer.enable_progress_bar=false", "trainer.max_epochs=1",
    "trainer.accelerator=cpu", "optimizer.lr=1e-3", "trainer.log_every_n_steps=1", "zero_shot=false", "export=false",
)  # fmt: skip
TWO = ("trainer.devices=2", "trainer.strategy=ddp", "datamodule.batch_size=4")


def torchrun(count: int, *arguments: str) -> list[str]:
    """torchrun, as a module of this interpreter, and what it starts."""
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    return [*words, "-m", "hr_retrieval.train", *arguments]


def two_of(
    variables: Callable[[str], dict[str, str]], start: Callable[..., BaseProcess], folder: Path, *arguments: str
) -> list[str]:
    """What both of two processes printed, each with the variables of its rank around the command."""
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    pair = [start(*arguments, environment=shared | variables(rank), printed=f"printed{rank}") for rank in ("0", "1")]
    return [ended(one, folder, TIMEOUT, f"printed{rank}") for rank, one in enumerate(pair)]


def of_torchrun(rank: str) -> dict[str, str]:
    """What torchrun says to a process."""
    same = {"TORCHELASTIC_RUN_ID": "none", "GROUP_RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    return {**same, "RANK": rank, "LOCAL_RANK": rank}


def of_srun(rank: str) -> dict[str, str]:
    """What srun says to a process."""
    tasks = {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NODEID": "0"}
    return {**tasks, "SLURM_JOB_ID": "4321", "SLURM_JOB_NAME": "train", "SLURM_PROCID": rank, "SLURM_LOCALID": rank}


def test_processes_that_torchrun_starts_give_the_run_of_one_process(command: Command, tmp_path: Path) -> None:
    """The data set is prepared by one of them, and only the first one writes."""
    write_toy_dataset(tmp_path / "toy")
    options = ("zero_shot=true", "export=true", "optimizer=adamw", "optimizer.eps=1e-3")
    command(train.main, *TOY, *options, "datamodule.batch_size=8", "output=one")
    result = subprocess.run(
        torchrun(2, *TOY, *options, *TWO, "output=run"), cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT
    )
    printed = result.stdout + result.stderr
    assert result.returncode == 0, printed
    assert printed.count("12 test queries, each") == 1
    found, expected = (
        {str(path.relative_to(run)) for path in run.rglob("*") if "tfevents" not in path.name}
        for run in (tmp_path / "run", tmp_path / "one")
    )
    assert found == expected
    assert (tmp_path / "run" / "train.log").read_text().count("INFO Training: ") == 1
    assert not (tmp_path / "outputs").exists()
    for row, own in zip(rows(tmp_path / "run"), rows(tmp_path / "one"), strict=True):
        assert row == pytest.approx(own, rel=1e-3, abs=1e-4)
    summaries = [json.loads((tmp_path / run / "summary.json").read_text()) for run in ("one", "run")]
    for part in ("zero_shot", "trained"):
        assert summaries[0][part] == pytest.approx(summaries[1][part])
    encoders = (Encoder(str(tmp_path / output / "encoder")).state_dict() for output in ("run", "one"))
    torch.testing.assert_close(*encoders, rtol=1e-3, atol=1e-4)


def test_processes_that_srun_starts_write_one_run(start: Callable[..., BaseProcess], tmp_path: Path) -> None:
    """srun starts the same command in each task, and says in variables which one it is."""
    first, second = two_of(of_srun, start, tmp_path, *TOY, *TWO, "output=run")
    assert not first.startswith("exit"), first
    assert not second.startswith("exit"), second
    assert "12 test queries" in first
    assert "12 test queries" not in second
    assert len(rows(tmp_path / "run")) == 13


def test_a_run_directory_in_use_is_one_message_of_the_first_process(
    start: Callable[..., BaseProcess], tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").touch()
    first, second = two_of(of_torchrun, start, tmp_path, *TOY, *TWO, "output=run")
    assert first.startswith("exit 1:")
    assert first.count("Expected a new run directory") == 1
    assert "Expected" not in second


def test_sigterm_to_torchrun_writes_a_checkpoint_and_the_run_can_go_on(
    start: Callable[..., BaseProcess], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    endless = ("trainer.max_epochs=500", "callbacks.early_stopping=null", "callbacks.last.every_n_train_steps=100000")
    words = torchrun(2, *TOY, *TWO, *endless, "output=run")
    with (tmp_path / "printed").open("w") as file:
        process = subprocess.Popen(words, cwd=tmp_path, stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + TIMEOUT
        while not (run / "metrics.csv").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        process.terminate()
        process.wait(TIMEOUT)
    finally:
        process.kill()
    text = (tmp_path / "printed").read_text()
    assert text.count("Stopped by SIGTERM") == 1, text
    step = load_checkpoint(run / "checkpoints" / "interrupted.ckpt")["global_step"]
    assert f"at step {step}." in text
    first, second = two_of(of_torchrun, start, tmp_path, "resume=run", f"trainer.max_steps={step + 12}")
    assert first.count("12 test queries, each") == 1
    assert not second.startswith("exit"), second
    assert "12 test queries" not in second
    assert rows(run)[-1]["step"] > step
    assert not (run / "checkpoints" / "interrupted.ckpt").exists()


def free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def rows(run: Path) -> list[dict[str, float]]:
    with (run / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


RUN = ("model=tiny", "data.folder=toy", "trainer.accelerator=cpu")


@pytest.mark.usefixtures("toy_dataset")
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("trainer.devices=2", "output=a run"), "Run: torchrun --nproc-per-node=2 -m hr_retrieval.train {given}"),
        (("trainer=ddp", "trainer.devices=3"), "-m hr_retrieval.train {given} output={folder}/outputs/default/"),
        (("trainer=multinode", "output=run"), "Run on each machine: torchrun --nnodes=2 --rdzv-backend=c10d "),
    ],
)
def test_several_processes_are_refused_with_the_command_that_starts_them(
    command: Command, tmp_path: Path, given: tuple[str, ...], expected: str
) -> None:
    printed = command(train.main, *RUN, *given)
    assert printed.startswith("exit 1:")
    assert expected.format(given=shlex.join([*RUN, *given]), folder=tmp_path) in printed
    assert "got one process" in printed
    # Hydra's own record of the command is no config of a run.
    assert all(path.parent.name == ".hydra" for path in tmp_path.rglob("config.yaml"))
    assert not list(tmp_path.rglob("toy/tokens"))


@pytest.mark.usefixtures("toy_dataset")
def test_a_sweep_over_several_processes_is_refused_with_the_command_of_its_run(
    command: Command, tmp_path: Path
) -> None:
    printed = command(train.main, "-m", *RUN, "trainer.devices=2", "seed=1,2", "hydra.sweep.dir=sweep")
    assert printed.startswith("exit 1:")
    assert "one process for each run of a sweep" in printed
    folder = tmp_path / "sweep" / "0"
    arguments = shlex.join([*RUN, "trainer.devices=2", "seed=1", f"output={folder}"])
    assert f"torchrun --nproc-per-node=2 -m hr_retrieval.train {arguments}" in printed


@pytest.mark.usefixtures("toy_dataset")
def test_processes_that_the_trainer_does_not_know_of_are_named(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "none", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    printed = command(train.main, *RUN, "output=run")
    assert printed.startswith("exit 1:")
    assert "the 2 processes started; got trainer.devices=1 and trainer.num_nodes=1" in printed
