"""Processes that torchrun or srun starts agree on one run directory, and only the first one writes Hydra's files."""

import sys

import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.processes import QUIET, Place, check_arguments, one_of_several, outside_place
from hr_retrieval.train import __main__ as train
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
        # One process, however it was started; a batch script outside srun; what neither of them
        # started.
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
    with pytest.raises(UserError, match="start each run by itself"):
        check_arguments([sweep, "output=run"], Place(0, 2))


def test_the_refusal_is_one_message_and_makes_no_folder(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    put(monkeypatch, TORCHRUN)
    monkeypatch.setattr(sys, "argv", ["train", "model=tiny"])
    with pytest.raises(SystemExit, match="Name the run directory"):
        train.main()
