"""Processes that torchrun or srun starts agree on one run directory, and only the first one writes Hydra's files."""

import sys

import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.train import __main__ as train
from hr_retrieval.train.processes import QUIET, Place, check_arguments, one_of_several, outside_place
from tests.conftest import Command

TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}
SRUN = {"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5", "SLURM_NTASKS": "8"}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in {**TORCHRUN, **SRUN}:
        monkeypatch.delenv(name, raising=False)


def put(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (TORCHRUN, Place(1, 2)),
        (SRUN, Place(5, 8)),
        # One process, however it was started; a batch script outside srun; a process that Lightning started.
        ({**TORCHRUN, "RANK": "0", "WORLD_SIZE": "1"}, None),
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, None),
        ({"WORLD_SIZE": "2", "LOCAL_RANK": "1"}, None),
        ({}, None),
    ],
)
def test_the_place_among_processes_started_from_outside(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: Place | None
) -> None:
    put(monkeypatch, variables)
    assert outside_place() == expected


@pytest.mark.parametrize("rank", [0, 1])
def test_only_the_first_process_writes_hydras_files(monkeypatch: pytest.MonkeyPatch, rank: int) -> None:
    put(monkeypatch, {**TORCHRUN, "RANK": str(rank)})
    monkeypatch.setattr(sys, "argv", ["train", "output=run"])
    found = one_of_several(lambda: list(sys.argv))()
    assert found == ["train", "output=run", *(QUIET if rank else ())]
    assert sys.argv == ["train", "output=run"]


@pytest.mark.parametrize("named", ["output=run", "resume=run", "++output=run", "--help"])
def test_a_named_run_directory_is_enough(named: str) -> None:
    check_arguments(["model=tiny", named], Place(0, 2))


@pytest.mark.parametrize("arguments", [[], ["model=tiny"], ["output="], ["my.output=run"]])
def test_an_unnamed_run_directory_is_refused(arguments: list[str]) -> None:
    with pytest.raises(UserError, match="output=<folder> or resume=<run>"):
        check_arguments(arguments, Place(0, 2))


@pytest.mark.parametrize("sweep", ["-m", "--multirun", "hydra.mode=MULTIRUN"])
def test_a_sweep_is_refused(sweep: str) -> None:
    with pytest.raises(UserError, match="Start a sweep without them"):
        check_arguments([sweep, "output=run"], Place(0, 2))


def test_the_refusal_is_one_message_and_makes_no_folder(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    put(monkeypatch, TORCHRUN)
    monkeypatch.setattr(sys, "argv", ["train", "model=tiny"])
    with pytest.raises(SystemExit, match="Name the run directory"):
        train.main()


TOY = ("model=tiny", "data.folder=toy", "trainer.accelerator=cpu", "output=run")


@pytest.mark.usefixtures("toy_dataset")
def test_processes_that_the_trainer_does_not_know_of_are_named(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, TORCHRUN)
    printed = command(train.main, *TOY)
    assert printed.startswith("exit 1:")
    assert "the 2 processes started; got trainer.devices=1 and trainer.num_nodes=1" in printed


@pytest.mark.usefixtures("toy_dataset")
@pytest.mark.parametrize(
    "strategy", ["fsdp", "deepspeed_stage_2", "{_target_: pytorch_lightning.strategies.FSDPStrategy}"]
)
def test_a_strategy_that_cuts_parameters_into_pieces_otherwise_is_refused(command: Command, strategy: str) -> None:
    printed = command(train.main, *TOY, f"trainer.strategy={strategy}")
    assert printed.startswith("exit 1:")
    assert "trainer.strategy=auto or ddp, or trainer=fsdp" in printed
    assert "Traceback" not in printed


@pytest.mark.usefixtures("toy_dataset")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("trainer.devices=1",), "several devices with trainer=fsdp"),
        (("trainer.devices=2", "trainer.precision=16-true"), "trainer.precision=32-true, bf16-mixed"),
        (
            ("trainer.devices=2", "trainer.precision=32-true", "callbacks=mining", "datamodule.mined_per_anchor=1"),
            "with callbacks=mining",
        ),
    ],
)
def test_what_fsdp_cannot_do_is_refused(command: Command, options: tuple[str, ...], message: str) -> None:
    printed = command(train.main, *TOY, "trainer=fsdp", *options)
    assert printed.startswith("exit 1:")
    assert message in printed
    assert "Traceback" not in printed


@pytest.mark.usefixtures("toy_dataset")
def test_several_nodes_need_torchrun_or_srun(command: Command) -> None:
    printed = command(train.main, *TOY, "trainer=multinode", "trainer.devices=1")
    assert printed.startswith("exit 1:")
    assert "torchrun or srun to start the processes of several nodes" in printed
