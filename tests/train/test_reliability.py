"""A run survives: killed, told to stop, out of disk or memory, offline, with a damaged checkpoint."""

import inspect
import itertools
import json
import multiprocessing
import os
import random
import resource
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch

from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.tiny import write_tiny
from hr_retrieval.program import called
from hr_retrieval.runs.checkpoints import load_checkpoint
from hr_retrieval.train.checkpointing import StepCheckpoint
from hr_retrieval.train.metrics_file import MetricsFile
from hr_retrieval.train.module import RetrievalModule
from tests.conftest import TOY, small_disk_at, write_toy_dataset
from tests.train.conftest import ended, in_process

SOAK = "HR_RETRIEVAL_SOAK" in os.environ
KILLS = 20 if SOAK else 6
OPTIONS = (
    *TOY, "trainer.accelerator=cpu", "optimizer.lr=1e-4", "trainer.max_epochs=2", "trainer.log_every_n_steps=1",
    "callbacks.last.every_n_train_steps=3", "model/mixing=anchor", "model.mixing.negative_weight=0.3",
)  # fmt: skip


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def at_call(owner: Any, name: str, count: int, act: Callable[[], None]) -> None:
    """`act` when `owner.name` is called for the `count`-th time."""
    original, calls = getattr(owner, name), itertools.count(1)

    def counted(*arguments: Any, **options: Any) -> Any:
        if next(calls) == count:
            act()
        return original(*arguments, **options)

    static = isinstance(inspect.getattr_static(owner, name), staticmethod)
    setattr(owner, name, staticmethod(counted) if static else counted)


def die_half_written(count: int) -> None:
    """Killed when half of the `count`-th checkpoint is on disk."""
    original, calls = torch.save, itertools.count(1)

    def save(content: Any, path: Path) -> None:
        original(content, path)
        if next(calls) == count:
            os.truncate(path, path.stat().st_size // 2)
            kill()

    torch.save = save


# When to die: the largest number of calls that a process may make before.
MOMENTS: dict[str, tuple[Callable[[int], None], int]] = {
    "a step": (lambda count: at_call(RetrievalModule, "training_step", count, kill), 5),
    "a validation": (lambda count: at_call(RetrievalModule, "validation_step", count, kill), 2),
    "a checkpoint half written": (die_half_written, 2),
    "a checkpoint not yet linked": (lambda count: at_call(StepCheckpoint, "_link", count, kill), 2),
    "an old checkpoint not yet removed": (lambda count: at_call(StepCheckpoint, "_remove_old", count, kill), 1),
    "a row of figures": (lambda count: at_call(MetricsFile, "_write", count, kill), 6),
    "the export": (lambda count: at_call(Encoder, "save", count, kill), 1),
}


def apply_moment(name: str, count: int) -> None:
    MOMENTS[name][0](count)


def terminate_at(owner: type, name: str, count: int) -> None:
    at_call(owner, name, count, terminate)


def assert_same_run(run: Path, whole: Path) -> None:
    for name in ("last.ckpt", "best.ckpt"):
        found, expected = (load_checkpoint(folder / "checkpoints" / name) for folder in (run, whole))
        assert found["global_step"] == expected["global_step"]
        assert all(torch.equal(found["state_dict"][key], expected["state_dict"][key]) for key in expected["state_dict"])
    assert (run / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    for row in ("zero_shot", "trained"):
        figures = [json.loads((folder / "summary.json").read_text())[row] for folder in (run, whole)]
        assert figures[0] == figures[1]
    assert not list(run.rglob(".*.partial"))
    assert (run / "encoder" / "model.safetensors").exists()


def drawn_moments(seed: int, kills: int) -> list[tuple[str, int]]:
    """Every kind of moment before any comes again."""
    generator = random.Random(seed)
    names: list[str] = []
    # The export comes last: nothing is left to be killed behind it.
    others = [name for name in MOMENTS if name != "the export"]
    while len(names) < kills - 1:
        names += generator.sample(others, len(others))
    return [(name, generator.randint(1, MOMENTS[name][1])) for name in [*names[: kills - 1], "the export"]]


def test_a_run_killed_again_and_again_ends_as_one_never_killed(
    start: Callable[..., BaseProcess], tmp_path: Path
) -> None:
    """SIGKILL at seeded moments."""
    epochs = "trainer.max_epochs=6" if SOAK else "trainer.max_epochs=2"
    assert "Run directory" in ended(start(*OPTIONS, epochs, "output=whole"), tmp_path)
    run, killed = tmp_path / "run", []
    for moment in drawn_moments(seed=3, kills=KILLS):
        new = not (run / "config.yaml").exists()
        arguments = (*OPTIONS, epochs, "output=run") if new else ("resume=run",)
        printed = ended(start(*arguments, prepare=apply_moment, values=moment), tmp_path)
        assert printed.startswith("exit -9") or "Run directory" in printed, printed
        killed.append(printed.startswith("exit -9"))
    assert sum(killed) == KILLS, killed
    assert "Run directory" in ended(start("resume=run"), tmp_path)
    assert_same_run(run, tmp_path / "whole")


@pytest.mark.skipif(not SOAK, reason="takes minutes: set HR_RETRIEVAL_SOAK")
def test_a_run_killed_by_the_clock_ends_as_one_never_killed(start: Callable[..., BaseProcess], tmp_path: Path) -> None:
    assert "Run directory" in ended(start(*OPTIONS, "trainer.max_epochs=20", "output=whole"), tmp_path)
    generator = random.Random(11)
    run = tmp_path / "run"
    for _ in range(KILLS):
        new = not (run / "config.yaml").exists()
        process = start(*((*OPTIONS, "trainer.max_epochs=20", "output=run") if new else ("resume=run",)))
        process.join(generator.uniform(0.3, 3.0))
        process.kill()
        ended(process, tmp_path)
    assert "Run directory" in ended(start("resume=run"), tmp_path)
    assert_same_run(run, tmp_path / "whole")


@pytest.fixture(scope="module")
def whole_run(processes: ForkServerContext, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing befell."""
    folder = tmp_path_factory.mktemp("whole")
    write_toy_dataset(folder / "toy")
    process = processes.Process(target=in_process, args=(str(folder), (*OPTIONS, "output=run")))
    process.start()
    assert "Run directory" in ended(process, folder)
    return folder / "run"


@pytest.fixture
def in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory of the runs: commands are proposed from there."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("in_place")
@pytest.mark.parametrize(
    ("name", "count", "step"),
    [("training_step", 5, 5), ("training_step", 12, 12), ("validation_step", 3, 12), ("training_step", 24, 24)],
    ids=["within an epoch", "its last step", "a validation", "the last step"],
)
def test_sigterm_writes_a_checkpoint_and_says_how_to_go_on(
    start: Callable[..., BaseProcess], tmp_path: Path, whole_run: Path, name: str, count: int, step: int
) -> None:
    """Exit status 143; the validation called third is the one after the first epoch (two batches
    come before training).
    """
    printed = ended(
        start(*OPTIONS, "output=run", prepare=terminate_at, values=(RetrievalModule, name, count)), tmp_path
    )
    assert printed.startswith("exit 143")
    assert f"Stopped by SIGTERM at step {step}. Go on with: {called('train')} resume=run" in printed
    assert "Traceback" not in printed
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "interrupted.ckpt")["global_step"] == step
    assert "Run directory" in ended(start("resume=run"), tmp_path)
    assert_same_run(tmp_path / "run", whole_run)
    assert not (tmp_path / "run" / "checkpoints" / "interrupted.ckpt").exists()


@pytest.mark.parametrize(("name", "count"), [("validation_step", 1), ("test_step", 1), ("test_step", 3)])
def test_sigterm_outside_training_says_how_to_go_on_too(
    start: Callable[..., BaseProcess], tmp_path: Path, whole_run: Path, name: str, count: int
) -> None:
    """While the encoder is measured before training, and after it."""
    printed = ended(
        start(*OPTIONS, "output=run", prepare=terminate_at, values=(RetrievalModule, name, count)), tmp_path
    )
    assert printed.startswith("exit 143")
    assert "Go on with" in printed
    assert "Run directory" in ended(start("resume=run"), tmp_path)
    assert_same_run(tmp_path / "run", whole_run)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def interrupt_at(owner: type, name: str, *counts: int) -> None:
    for count in counts:
        at_call(owner, name, count, interrupt)


@pytest.mark.usefixtures("in_place")
def test_ctrl_c_writes_a_checkpoint_and_says_how_to_go_on(
    start: Callable[..., BaseProcess], tmp_path: Path, whole_run: Path
) -> None:
    """Exit status 130; as SIGTERM otherwise."""
    printed = ended(
        start(*OPTIONS, "output=run", prepare=interrupt_at, values=(RetrievalModule, "training_step", 5)), tmp_path
    )
    assert printed.startswith("exit 130")
    assert f"Stopped by Ctrl-C at step 5. Go on with: {called('train')} resume=run" in printed
    assert "Traceback" not in printed
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "interrupted.ckpt")["global_step"] == 5
    assert "Run directory" in ended(start("resume=run"), tmp_path)
    assert_same_run(tmp_path / "run", whole_run)


@pytest.mark.parametrize(
    ("owner", "name", "counts", "said"),
    [
        (RetrievalModule, "test_step", (1,), "Go on with"),
        (RetrievalModule, "training_step", (3, 4), "Go on with"),
        (RetrievalDataModule, "prepare_data", (1,), "before the training began"),
    ],
    ids=["before training", "twice within a step", "before the run"],
)
def test_ctrl_c_at_any_other_time_stops_at_once(
    start: Callable[..., BaseProcess], tmp_path: Path, owner: type, name: str, counts: tuple[int, ...], said: str
) -> None:
    options = ("trainer.accumulate_grad_batches=4", "output=run")
    printed = ended(start(*OPTIONS, *options, prepare=interrupt_at, values=(owner, name, *counts)), tmp_path)
    assert printed.startswith("exit 130")
    assert said in printed
    assert "Traceback" not in printed


def two_threads(name: str, count: int) -> None:
    torch.set_num_threads(2)
    if count:
        apply_moment(name, count)


def test_a_run_in_bfloat16_on_two_threads_killed_and_resumed_ends_as_one_never_killed(
    start: Callable[..., BaseProcess], tmp_path: Path
) -> None:
    """Several layers of a BERT, whose texts are packed, as on any CPU that multiplies bfloat16."""
    write_tiny(tmp_path / "bert", layers=3)
    options = (
        *OPTIONS, "model.encoder.name_or_path=bert", "trainer.precision=bf16-mixed", "zero_shot=false", "test=false",
        "trainer.limit_train_batches=3",
    )  # fmt: skip
    assert "Run directory" in ended(start(*options, "output=whole", prepare=two_threads, values=("", 0)), tmp_path)
    killed = ended(start(*options, "output=run", prepare=two_threads, values=("a step", 5)), tmp_path)
    assert killed.startswith("exit -9")
    assert "Run directory" in ended(start("resume=run", prepare=two_threads, values=("", 0)), tmp_path)
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def block_sockets() -> None:
    def refuse(*arguments: Any) -> None:
        raise AssertionError(f"a connection to {arguments[1:]}")

    socket.socket.connect = socket.socket.connect_ex = refuse  # type: ignore[assignment, method-assign]


def test_a_whole_run_connects_to_nothing(start: Callable[..., BaseProcess], tmp_path: Path) -> None:
    printed = ended(start(*OPTIONS, "output=run", prepare=block_sockets), tmp_path)
    assert "Run directory" in printed, printed


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB: three checkpoints of the tiny encoder fit."""
    with small_disk_at(tmp_path / "disk", "4m") as disk:
        yield disk


def test_a_full_disk_is_one_message_and_the_run_can_go_on(
    start: Callable[..., BaseProcess], tmp_path: Path, whole_run: Path, small_disk: Path
) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(1_500_000))
    printed = ended(start(*OPTIONS, "output=disk/run"), tmp_path)
    assert printed.startswith("exit 1:")
    assert "to write" in printed
    assert "ree space" in printed
    assert "Traceback" not in printed
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert "Run directory" in ended(start("resume=disk/run"), tmp_path)
    assert_same_run(small_disk / "run", whole_run)


def test_a_resumed_run_names_a_truncated_checkpoint_and_takes_the_one_before(
    start: Callable[..., BaseProcess], tmp_path: Path, whole_run: Path
) -> None:
    ended(start(*OPTIONS, "output=run", prepare=apply_moment, values=("a step", 8)), tmp_path)
    newest = tmp_path / "run" / "checkpoints" / "step-0000006.ckpt"
    os.truncate(newest, newest.stat().st_size // 2)
    printed = ended(start("resume=run"), tmp_path)
    assert "step-0000006.ckpt" in printed
    assert "step-0000003.ckpt" in printed
    assert_same_run(tmp_path / "run", whole_run)


def out_of_memory(message: str, kind: type[Exception], name: str = "training_step") -> None:
    def fail() -> None:
        raise kind(message)

    at_call(RetrievalModule, name, 3, fail)


def test_out_of_memory_names_the_batch_and_what_would_fit(start: Callable[..., BaseProcess], tmp_path: Path) -> None:
    values = ("CUDA out of memory. Tried to allocate 2.00 GiB.", torch.OutOfMemoryError)
    printed = ended(start(*OPTIONS, "zero_shot=false", "output=run", prepare=out_of_memory, values=values), tmp_path)
    assert printed.startswith("exit 1:")
    assert "texts (8 anchors and " in printed
    assert "tokens in all" in printed
    assert "model.mini_batch=" in printed
    assert "datamodule.batch_size=4" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    ("zero_shot", "name"), [("false", "validation_step"), ("true", "test_step")], ids=["in training", "before training"]
)
def test_out_of_memory_in_a_measurement_names_its_setting(
    start: Callable[..., BaseProcess], tmp_path: Path, zero_shot: str, name: str
) -> None:
    values = ("CUDA out of memory.", torch.OutOfMemoryError, name)
    arguments = (*OPTIONS, f"zero_shot={zero_shot}", "datamodule.evaluation_tokens=64", "output=run")
    printed = ended(start(*arguments, prepare=out_of_memory, values=values), tmp_path)
    assert printed.startswith("exit 1:")
    assert "halve datamodule.evaluation_tokens" in printed
    assert "Traceback" not in printed


def test_a_run_that_early_stopping_ended_stays_ended(start: Callable[..., BaseProcess], tmp_path: Path) -> None:
    """Unless other values are given beside `resume=`."""
    stop = ("callbacks.early_stopping.patience=1", "callbacks.early_stopping.min_delta=1", "zero_shot=false")
    assert "Run directory" in ended(start(*OPTIONS, *stop, "trainer.max_epochs=4", "output=run"), tmp_path)
    run = tmp_path / "run"
    figures = (run / "metrics.csv").read_text()
    assert load_checkpoint(run / "checkpoints" / "last.ckpt")["global_step"] == 24
    assert "Run directory" in ended(start("resume=run"), tmp_path)
    assert (run / "metrics.csv").read_text() == figures
    assert "Run directory" in ended(start("resume=run", "trainer.max_epochs=5"), tmp_path)
    assert load_checkpoint(run / "checkpoints" / "last.ckpt")["global_step"] > 24


def test_a_run_that_was_good_enough_in_its_first_epoch_stays_ended_and_says_why(
    start: Callable[..., BaseProcess], tmp_path: Path
) -> None:
    stop = ("callbacks.early_stopping.stopping_threshold=0.01", "zero_shot=false", "test=false")
    assert "Run directory" in ended(start(*OPTIONS, *stop, "trainer.max_epochs=4", "output=run"), tmp_path)
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    printed = ended(start("resume=run"), tmp_path)
    assert "nothing is left to train after step 12: early stopping ended it" in printed
    assert load_checkpoint(last)["global_step"] == 12
    ended(start("resume=run", "callbacks.early_stopping.stopping_threshold=null", "trainer.max_epochs=2"), tmp_path)
    assert load_checkpoint(last)["global_step"] == 24


def record_resources(path: str) -> None:
    """A line of what this process holds: resident bytes, open files, child processes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    children = [
        child for task in Path("/proc/self/task").iterdir() for child in (task / "children").read_text().split()
    ]
    # The tracker of named semaphores and shared memory is Python's own, one for a process.
    children = [child for child in children if b"resource_tracker" not in Path(f"/proc/{child}/cmdline").read_bytes()]
    held = {
        "bytes": pages * resource.getpagesize(),
        "files": len(os.listdir("/proc/self/fd")),
        "children": len(children),
    }
    with open(path, "a") as file:
        file.write(json.dumps(held) + "\n")


def watch_resources(path: str) -> None:
    original = RetrievalModule.on_validation_epoch_end

    def recorded(module: RetrievalModule) -> None:
        original(module)
        record_resources(path)

    RetrievalModule.on_validation_epoch_end = recorded  # type: ignore[method-assign]  # as a profiler would


def watched_process(folder: str, arguments: tuple[str, ...]) -> None:
    # As in a process of one's own; from a fork server this one would inherit that loader workers
    # come from another.
    multiprocessing.set_start_method("fork", force=True)
    in_process(folder, arguments, watch_resources, ("resources",))
    record_resources("resources")


@pytest.mark.parametrize("workers", [0, 1] if SOAK else [1])
def test_a_long_run_holds_no_more_than_a_short_one(processes: ForkServerContext, tmp_path: Path, workers: int) -> None:
    """A validation and a checkpoint at every tenth or twentieth of the run; what comes after the
    first third must not grow.
    """
    steps, every = (2000, 100) if SOAK else (180, 18)
    write_toy_dataset(tmp_path / "toy")
    arguments = (
        *OPTIONS, "zero_shot=false", "callbacks.early_stopping=null", "trainer.max_epochs=-1", f"trainer.max_steps={steps}",
        "trainer.check_val_every_n_epoch=null", f"trainer.val_check_interval={every}",
        f"callbacks.last.every_n_train_steps={every}", f"datamodule.workers={workers}", "output=run",
    )  # fmt: skip
    process = processes.Process(target=watched_process, args=(str(tmp_path), arguments))
    process.start()
    assert "Run directory" in ended(process, tmp_path, 600)
    *during, end = [json.loads(line) for line in (tmp_path / "resources").read_text().splitlines()]
    assert len(during) == steps // every
    later = during[len(during) // 3 :]
    assert later[-1]["bytes"] < 1.03 * later[0]["bytes"]
    half = len(later) // 2
    for name in ("files", "children"):
        # A batch on its way from a loader worker is two files more: one more at every validation
        # would still be seen.
        assert min(held[name] for held in later[half:]) <= max(held[name] for held in later[:half]), name
    assert end["children"] == 0
    assert end["files"] <= during[0]["files"]
