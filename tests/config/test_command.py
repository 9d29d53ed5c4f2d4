"""A command line ends in one message, whatever is raised, and tells a sweep of what failed."""

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from omegaconf import DictConfig
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from hr_retrieval.config.command import entry_point
from hr_retrieval.errors import UserError
from hr_retrieval.evaluate import __main__ as evaluate
from hr_retrieval.prepare import __main__ as prepare
from hr_retrieval.train import __main__ as train
from tests.conftest import Command

Verb = Callable[[], None]


def verb_that(raises: BaseException) -> Verb:
    @entry_point("evaluate")
    def verb(config: DictConfig) -> None:
        raise raises

    return verb


def run(command: Command, error: BaseException, *arguments: str) -> str:
    return command(verb_that(error), *arguments, "encoder=x", "data.folder=d", "output=o")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/x/y"), "room on the disk; got /x/y: No space left"),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/x"), "leave to read and write; got /x"),
        (NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), "/f/x"), "a folder; got /f/x"),
        (pa.ArrowInvalid("Corrupt page"), "data that can be read; got Corrupt page"),
        (MisconfigurationException("you must\n  choose"), "settings that go together; got you must choose"),
        (torch.OutOfMemoryError("full"), "enough memory on the GPU; got full"),
        (MemoryError(), "enough memory; got MemoryError"),
        (ModuleNotFoundError("No module named 'x'"), "every package that these settings need; got No module"),
        (ZeroDivisionError("division by zero"), "nothing foresaw: ZeroDivisionError: division by zero"),
        (OSError("Corrupt snappy data"), "nothing foresaw: OSError: Corrupt snappy data"),
    ],
)
def test_any_exception_is_one_line_that_names_its_traceback(command: Command, error: Exception, said: str) -> None:
    printed = run(command, error)
    assert printed.startswith("exit 1: ")
    assert said in printed
    assert printed.count("\n") == 1
    path = re.search(r"The traceback is in (\S+)$", printed)
    assert path
    assert "Traceback" in Path(path[1]).read_text()
    assert type(error).__name__ in Path(path[1]).read_text()
    Path(path[1]).unlink()


def test_an_error_of_the_user_is_its_message_alone(command: Command) -> None:
    assert run(command, UserError("a", "b", "C.")) == "exit 1: Expected a; got b. C.\n"


def test_the_traceback_of_a_run_is_in_its_folder(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(config: DictConfig) -> None:
        Path("run", "config.yaml").touch()
        raise KeyError("gone")

    monkeypatch.setattr("hr_retrieval.train.run.run", fail)
    printed = command(train.main, "model=tiny", "output=run")
    (traceback,) = (tmp_path / "run").glob("error-*.txt")
    assert str(traceback) in printed
    assert "gone" in traceback.read_text()


@pytest.mark.parametrize("error", [UserError("a", "b", "C."), KeyError("gone"), KeyboardInterrupt(), SystemExit(3)])
def test_a_run_that_did_not_begin_leaves_nothing(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(config: DictConfig) -> None:
        raise error

    monkeypatch.setattr("hr_retrieval.train.run.run", fail)
    assert command(train.main, "model=tiny").startswith("exit ")
    assert list(tmp_path.iterdir()) == []


def test_a_traceback_that_no_disk_takes_is_printed(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**options: str) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("tempfile.mkstemp", full)
    printed = run(command, KeyError("gone"))
    assert "cannot be written" in printed
    assert "Traceback" in printed


def test_the_full_error_is_printed_on_demand(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ZeroDivisionError):
        run(command, ZeroDivisionError())
    assert os.environ["HYDRA_FULL_ERROR"] == "1"


def test_a_job_and_what_it_starts_see_the_environment_of_the_user(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []

    @entry_point("export")
    def verb(config: DictConfig) -> None:
        seen.append(os.environ.get("HYDRA_FULL_ERROR"))

    for value in (None, "0"):
        if value:
            monkeypatch.setenv("HYDRA_FULL_ERROR", value)
        command(verb, "run=r", "output=o")
        assert os.environ.get("HYDRA_FULL_ERROR") == value
    assert seen == [None, "0"]


def test_an_interrupted_command_says_so(command: Command) -> None:
    assert run(command, KeyboardInterrupt()) == "exit 130: Interrupted.\n"


def test_a_failed_job_of_a_sweep_is_raised_where_the_sweep_counts(command: Command) -> None:
    printed = run(command, UserError("a", "b", "C."), "-m", "split=test,train", "hydra.sweep.dir=sweep")
    assert "Expected a; got b. C." in printed
    assert printed.startswith("exit 1")
    assert "Set the environment variable" not in printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("trainer.max_epoch=3",), "a key of trainer; got max_epoch. Did you mean max_epochs?"),
        (("foo=1",), "a key of the config; got foo. There are: "),
        (("model=mpnett",), "an option of model; got mpnett. Did you mean mpnet?"),
        (("trainer.gpus=1",), "a key of trainer; got gpus."),
        (("+trainer.gpus=1", "model=tiny", "data.folder=toy"), "Trainer takes; got a refusal"),
        (("data.name=Название", "вакансии"), "Quote a value with spaces: 'data.name=Название вакансии'\n"),
        (("data.name=[ж",), "if they are part of the text: 'data.name=\"[ж\"'\n"),
        (("ключ=1",), "Expected key=value; got ключ=1. See --help for the keys."),
        (
            ("data.columns.anchor=Опыт, лет",),
            "If the comma is part of the text: 'data.columns.anchor=\"Опыт, лет\"' For a list: 'data.columns.anchor=[Опыт, лет]'",
        ),
        (("hydra.job.env_set={LD_PRELOAD: x.so}",), "hydra.job.env_set.LD_PRELOAD"),
        (("--experimental-rerun=x.pickle",), "unpickles"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_message(
    command: Command, toy_dataset: Path, arguments: tuple[str, ...], said: str
) -> None:
    printed = command(train.main, *arguments, "output=run")
    assert said in printed
    assert printed.startswith("exit 1: Expected")
    assert printed.count("\n") == 1


def test_a_value_that_is_missing_is_named(command: Command) -> None:
    printed = command(evaluate.main, "data.folder=d", "output=o")
    assert printed == "exit 1: Expected a value for encoder; got none. Add encoder=... to the command.\n"


def test_russian_columns_and_paths_need_no_quotes(command: Command, tmp_path: Path) -> None:
    rows = "".join(f"сварщик {row};описание работы номер {row} и ещё {row * 7}\n" for row in range(40))
    (tmp_path / "Вакансии (1).csv").write_text(f"Название вакансии;Описание\n{rows}")
    command(
        prepare.main, "data=csv", "data.name=мои", "data.reader.path=Вакансии (1).csv", "data.reader.delimiter=;",
        "data.columns.anchor=Название вакансии", "data.columns.positive=[Описание]",
    )  # fmt: skip
    assert (tmp_path / "data" / "prepared" / "мои" / "corpus.parquet").exists()


@pytest.mark.parametrize(
    "settings",
    [
        "hydra: {job_logging: {handlers: {x: {(): builtins.open, file: made, mode: w}}}}",
        "hydra: {callbacks: {x: {_target_: hydra.experimental.callbacks.LogJobReturnCallback}}}",
        "hydra: {hydra_logging: {root: {level: 'ext://sys.exit'}}}",
    ],
)
def test_a_stranger_s_experiment_tells_hydra_nothing(command: Command, tmp_path: Path, settings: str) -> None:
    (tmp_path / "theirs" / "experiment").mkdir(parents=True)
    (tmp_path / "theirs" / "experiment" / "good.yaml").write_text("# @package _global_\nseed: 3\n")
    (tmp_path / "theirs" / "experiment" / "bad.yaml").write_text(f"# @package _global_\n{settings}\n")
    for arguments in (("experiment=bad",), ("-m", "experiment=good,bad")):
        printed = command(train.main, "--config-dir=theirs", "model=tiny", "output=run", *arguments)
        assert printed.startswith("exit 1: Expected hydra.")
    assert not (tmp_path / "made").exists()
    assert not (tmp_path / "run").exists()


def test_a_reader_that_goes_early_is_no_error() -> None:
    command = f"{sys.executable} -m hr_retrieval.export --help | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("h", "")
