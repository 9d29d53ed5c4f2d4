"""Two processes train as one: loss and gradients of a step, and the whole command."""

import csv
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F

from hr_retrieval.data.batch import Batch
from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.guard import Guard
from hr_retrieval.data.guidance import Guidance
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.objective.loss import RetrievalLoss, SoftmaxLoss, TripletLoss
from hr_retrieval.objective.mixing import AnchorMixing, Mixing, NoMixing
from hr_retrieval.runs.checkpoints import load_checkpoint
from hr_retrieval.train.global_batch import distinct
from hr_retrieval.train.module import RetrievalModule
from tests.conftest import write_toy_dataset

# Rows of queries; document `q` is the positive of query `q`. The second process brings more documents than the first,
# one of them an own document of the first, and one that both bring.
ANCHORS = ([0, 1, 4], [6, 10, 11])
EXTRAS = ([20], [4, 20, 33])
# As one process would order it: own documents, then the others once, ascending.
WHOLE_ANCHORS, WHOLE_EXTRAS = [0, 1, 4, 6, 10, 11], [20, 33]
CASES: dict[str, tuple[type[RetrievalLoss], dict[str, Any], type[Mixing], dict[str, Any], dict[str, Any]]] = {
    "triplet": (TripletLoss, {"margin": 0.3}, NoMixing, {}, {}),
    "softmax": (SoftmaxLoss, {"symmetric": True}, NoMixing, {}, {}),
    "anchor mixing": (TripletLoss, {"margin": 0.3}, AnchorMixing, {"random": True, "negative_weight": 0.3}, {}),
    "mini-batches": (SoftmaxLoss, {"symmetric": True}, AnchorMixing, {}, {"mini_batch": 2}),
    "queue": (
        TripletLoss,
        {"margin": 0.3},
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
    return Batch(
        anchors=encoder.tokenise([texts["queries"][row] for row in queries], "query")[0],
        documents=encoder.tokenise([texts["corpus"][row] for row in documents], "document")[0],
        relevance=torch.from_numpy(relevance),
        negative=torch.from_numpy(negative),
        query_rows=torch.from_numpy(queries),
        document_rows=torch.from_numpy(documents),
    )


def step(
    folder: str, case: str, anchors: list[int], extras: list[int], processes: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and the gradient of all parameters, averaged over the processes as data-parallel training does."""
    torch.manual_seed(5)
    loss, loss_options, mixing, mixing_options, options = CASES[case]
    dataset = PreparedDataset.open(Path(folder) / "toy")
    encoder = Encoder(f"{folder}/encoder", max_length=24, dropout=0.0)
    module = RetrievalModule(encoder, mixing(**mixing_options), loss(**loss_options), **options)
    trainer = SimpleNamespace(
        world_size=processes, datamodule=SimpleNamespace(guard=guarded(dataset), dataset=dataset), global_step=0
    )
    module._trainer = trainer  # type: ignore[assignment]  # what a step reads of a trainer, without one
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


def process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    torch.save({case: step(folder, case, ANCHORS[rank], EXTRAS[rank], 2) for case in CASES}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Encoder) -> Path:
    folder = tmp_path_factory.mktemp("two")
    write_toy_dataset(folder / "toy")
    tiny_encoder.save(folder / "encoder")
    mp.spawn(process, args=(str(folder),), nprocs=2)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_a_step_of_two_processes_is_that_of_one_with_the_global_batch(two_processes: Path, case: str) -> None:
    loss, gradient = step(str(two_processes), case, WHOLE_ANCHORS, WHOLE_EXTRAS, 1)
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


def test_documents_brought_twice_count_once() -> None:
    rows = torch.tensor([7, 7, 3, 9, 3, 5, 9, 1])
    # The first three are the anchors' own: repeated as they are. Then 1, 5 and 9, the first of each.
    assert distinct(rows, 3).tolist() == [0, 1, 2, 7, 5, 3]


TOY = (
    "model=tiny", "data.folder=toy", "trainer.precision=32-true", "trainer.enable_progress_bar=false", "trainer.max_epochs=1",
    "trainer.accelerator=cpu", "optimizer.lr=1e-3", "trainer.log_every_n_steps=1", "zero_shot=false", "export=false",
)  # fmt: skip
TWO = ("trainer.devices=2", "trainer.strategy=ddp", "datamodule.batch_size=4")


TIMEOUT = 300


def ended(words: list[str], folder: Path, status: int = 0) -> str:
    """What a command printed."""
    result = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT)
    assert result.returncode == status, result.stdout + result.stderr
    return result.stdout + result.stderr


def command(folder: Path, *arguments: str) -> str:
    return ended([sys.executable, "-m", "hr_retrieval.train", *arguments, *TOY], folder)


def processes(count: int) -> list[str]:
    """torchrun, as a module of this interpreter."""
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count), "-m"]


def test_processes_that_torchrun_starts_give_the_run_that_lightning_starts(tmp_path: Path) -> None:
    """The data set is prepared by one of them, and only the first one writes; the run can be gone on with."""
    write_toy_dataset(tmp_path / "toy")
    command(tmp_path, *TWO, "output=own")
    torchrun = [*processes(2), "hr_retrieval.train"]
    printed = ended([*torchrun, *TOY, *TWO, "output=run"], tmp_path)
    assert printed.count("12 test queries") == 1
    assert (tmp_path / "run" / "metrics.csv").read_text() == (tmp_path / "own" / "metrics.csv").read_text()
    found, expected = (
        {str(path.relative_to(run)) for path in run.rglob("*") if "tfevents" not in path.name}
        for run in (tmp_path / "run", tmp_path / "own")
    )
    assert found == expected
    log = (tmp_path / "run" / "train.log").read_text()
    assert log.count("are cut at") == 1
    assert not (tmp_path / "outputs").exists()
    printed = ended([*torchrun, "resume=run", "trainer.max_steps=14", "trainer.max_epochs=2"], tmp_path)
    assert printed.count("12 test queries") == 1
    assert len(rows(tmp_path / "run")) > len(rows(tmp_path / "own"))


def test_a_sharded_run_gives_the_figures_of_one_process(tmp_path: Path) -> None:
    """From the encoder as it came to the exported best one; and the weights on disk are whole."""
    write_toy_dataset(tmp_path / "toy")
    options = ("zero_shot=true", "export=true", "optimizer=adamw", "optimizer.eps=1e-3")
    for output, own in (("one", ("datamodule.batch_size=8",)), ("run", ("trainer=fsdp", *TWO[:1], *TWO[2:]))):
        words = [sys.executable, "-m", "hr_retrieval.train", *TOY, *own, *options, f"output={output}"]
        ended(words, tmp_path)
    for expected, found in zip(rows(tmp_path / "one"), rows(tmp_path / "run"), strict=True):
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)
    summaries = [json.loads((tmp_path / run / "summary.json").read_text()) for run in ("one", "run")]
    for part in ("zero_shot", "trained"):
        assert summaries[0][part] == pytest.approx(summaries[1][part])
    one, run = (Encoder(str(tmp_path / output / "encoder")).state_dict() for output in ("one", "run"))
    torch.testing.assert_close(run, one, rtol=1e-3, atol=1e-4)


def test_processes_that_srun_starts_write_one_run(tmp_path: Path) -> None:
    """srun starts the same command in each task, and says in variables which one it is."""
    write_toy_dataset(tmp_path / "toy")
    shared = {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NODEID": "0"}
    shared |= {
        "SLURM_JOB_ID": "4321",
        "SLURM_JOB_NAME": "train",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": free_port(),
    }
    words = [sys.executable, "-m", "hr_retrieval.train", *TOY, *TWO, "output=run"]
    started = []
    for rank in ("0", "1"):
        environment = {**os.environ, **shared, "SLURM_PROCID": rank, "SLURM_LOCALID": rank}
        with (tmp_path / f"printed{rank}").open("w") as printed:
            started.append(subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=printed, stderr=printed))
    try:
        assert [process.wait(TIMEOUT) for process in started] == [0, 0], (tmp_path / "printed0").read_text()
    finally:
        for process in started:
            process.kill()
    assert "12 test queries" in (tmp_path / "printed0").read_text()
    assert "12 test queries" not in (tmp_path / "printed1").read_text()
    assert len(rows(tmp_path / "run")) == 13


def test_a_run_directory_in_use_is_one_message_of_the_first_process(tmp_path: Path) -> None:
    write_toy_dataset(tmp_path / "toy")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").touch()
    printed = ended([*processes(2), "hr_retrieval.train", *TOY, *TWO, "output=run"], tmp_path, status=1)
    assert printed.count("Expected a new run directory") == 1


def test_sigterm_to_the_first_of_two_processes_writes_a_checkpoint_and_the_run_can_go_on(tmp_path: Path) -> None:
    write_toy_dataset(tmp_path / "toy")
    run = tmp_path / "run"
    words = [sys.executable, "-m", "hr_retrieval.train", *TOY, *TWO, "trainer.max_epochs=500", "output=run"]
    words += ["callbacks.early_stopping=null", "callbacks.last.every_n_train_steps=100000"]
    with (tmp_path / "printed").open("w") as printed:
        process = subprocess.Popen(words, cwd=tmp_path, stdout=printed, stderr=printed)
    try:
        deadline = time.monotonic() + TIMEOUT
        while not (run / "metrics.csv").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        process.terminate()
        status = process.wait(TIMEOUT)
    finally:
        process.kill()
    text = (tmp_path / "printed").read_text()
    assert status == 143, text
    assert text.count("Stopped by SIGTERM") == 1
    assert "Traceback" not in text
    step = load_checkpoint(run / "checkpoints" / "interrupted.ckpt")["global_step"]
    assert f"at step {step}." in text
    ended([sys.executable, "-m", "hr_retrieval.train", "resume=run", f"trainer.max_steps={step + 12}"], tmp_path)
    assert rows(run)[-1]["step"] > step
    assert not (run / "checkpoints" / "interrupted.ckpt").exists()


def free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def rows(run: Path) -> list[dict[str, float]]:
    with (run / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def test_a_sweep_over_two_processes_gives_the_figures_of_one_process(tmp_path: Path) -> None:
    """Each run of the sweep starts its own second process, and none of these starts the sweep again."""
    write_toy_dataset(tmp_path / "toy")
    command(tmp_path, "datamodule.batch_size=8", "model.loss.margin=0.2", "output=one")
    printed = command(tmp_path, "-m", *TWO, "model.loss.margin=0.2,0.3", "hydra.sweep.dir=sweep")
    assert sorted(path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir()) == ["0", "1"]
    assert not (tmp_path / "outputs").exists()
    assert printed.count("12 test queries") == 2
    assert "HYDRA" not in printed.replace("[HYDRA] Launching", "").replace("[HYDRA] \t#", "")
    one, two = rows(tmp_path / "one"), rows(tmp_path / "sweep" / "0")
    assert len(one) == len(two) == 13
    for expected, found in zip(one, two, strict=True):
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)
    summaries = [json.loads((run / "summary.json").read_text()) for run in (tmp_path / "one", tmp_path / "sweep" / "0")]
    assert summaries[0]["trained"] == pytest.approx(summaries[1]["trained"])


def test_trials_of_two_processes_fail_end_and_are_pruned_as_those_of_one(tmp_path: Path) -> None:
    """A failed trial leaves no process and no group of processes to the next one."""
    write_toy_dataset(tmp_path / "toy")
    words = [
        sys.executable, "-m", "hr_retrieval.train", "-m", *TOY, *TWO, "hydra/sweeper=optuna", "hydra.sweeper.sampler=grid",
        "hydra.sweeper.n_trials=null", "hydra.sweeper.startup_trials=1", "hydra.sweep.dir=sweep", "scheduler=constant",
        "test=false", "logger=none", "optimizer.lr=1e-3,1e30,1e-9",
    ]  # fmt: skip
    printed = ended(words, tmp_path)
    assert "3 trials: 1 complete, 1 pruned, 1 failed" in printed
    assert "Expected a finite loss" in (tmp_path / "sweep" / "1" / "error.txt").read_text()
    found = {trial: len(rows(tmp_path / "sweep" / trial)) for trial in ("0", "2")}
    assert found == {"0": 13, "2": 13}
