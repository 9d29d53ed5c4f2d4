"""Training commands in processes of their own, which are forked from one that has imported everything."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch

from hr_retrieval.train import __main__ as train
from tests.conftest import write_toy_dataset

# Modules that a process would spend seconds to import: those of the targets, and what a run
# imports late.
IMPORTED = [
    "tests.train.test_reliability",
    "tests.train.test_distributed",
    "tests.train.test_memory",
    "hr_retrieval.train.run",
    "sentence_transformers",
    "transformers.models.bert.modeling_bert",
    "hr_retrieval.prepare.preparation",
    "hydra_plugins.hr_retrieval_optuna",
    "torch.utils.tensorboard",
    "bm25s",
]


def in_process(
    folder: str,
    arguments: tuple[str, ...],
    prepare: Callable[..., None] | None = None,
    values: tuple[Any, ...] = (),
    environment: Mapping[str, str] | None = None,
    printed: str = "printed",
) -> None:
    """The command in a process of its own, what it prints in `<folder>/<printed>`."""
    os.chdir(folder)
    os.environ |= environment or {}
    file = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    torch.set_num_threads(1)
    if prepare is not None:
        prepare(*values)
    sys.argv = ["train", *arguments]
    train.main()


@pytest.fixture(scope="session")
def processes() -> ForkServerContext:
    """New processes are forked from one that has imported everything and computed nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    return context


@pytest.fixture
def start(processes: ForkServerContext, tmp_path: Path) -> Iterator[Callable[..., BaseProcess]]:
    """Start the command in `tmp_path`, where a toy data set lies; options as of `in_process`."""
    write_toy_dataset(tmp_path / "toy")
    started: list[BaseProcess] = []

    def run(*arguments: str, **options: Any) -> BaseProcess:
        process = processes.Process(target=in_process, args=(str(tmp_path), arguments), kwargs=options)
        process.start()
        started.append(process)
        return process

    yield run
    for process in started:
        if process.is_alive():
            process.kill()
        process.join()


def ended(process: BaseProcess, folder: Path, seconds: float = 120, printed: str = "printed") -> str:
    """What the process printed, after it ended; its exit code in front unless 0."""
    process.join(seconds)
    assert process.exitcode is not None, "still running"
    text = (folder / printed).read_text()
    (folder / printed).unlink()
    return f"exit {process.exitcode}: {text}" if process.exitcode else text
