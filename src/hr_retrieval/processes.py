"""The processes of one run that something outside starts: torchrun, or SLURM's srun."""

import functools
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hr_retrieval.errors import UserError

# Hydra's own files and log lines come from the first process only.
QUIET = ("hydra.output_subdir=null", "hydra/job_logging=none", "hydra/hydra_logging=none")


@dataclass(frozen=True)
class Place:
    """One process among those of a run.

    Attributes:
        rank: from 0, over all nodes.
        count: how many processes there are.
    """

    rank: int
    count: int


def outside_place() -> Place | None:
    """This process's place among those that torchrun or srun started; `None` for a process on its own."""
    for mark, rank, count in (
        ("TORCHELASTIC_RUN_ID", "RANK", "WORLD_SIZE"),
        # Within srun only: a batch script has SLURM_NTASKS too, and runs once.
        ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
    ):
        if mark in os.environ:
            place = Place(int(os.environ[rank]), int(os.environ[count]))
            return place if place.count > 1 else None
    return None


def one_of_several(command: Callable[[], Any]) -> Callable[[], Any]:
    """Let a command line be started several times over, by torchrun or srun, as one run.

    Every process composes the config anew. So the run directory must be named, since each would
    make a name of its own from the time, and only the first one writes Hydra's files.
    """

    @functools.wraps(command)
    def placed() -> Any:
        place = outside_place()
        if place is None:
            return command()
        arguments = sys.argv
        try:
            check_arguments(arguments[1:], place)
        except UserError as error:
            raise SystemExit(str(error)) from None
        sys.argv = [*arguments, *(QUIET if place.rank else ())]
        try:
            return command()
        finally:
            sys.argv = arguments

    return placed


def check_arguments(arguments: list[str], place: Place) -> None:
    """Raise `UserError` unless these processes would agree on one run directory."""
    found = f"{place.count} processes with {' '.join(arguments) or 'no arguments'}"
    if any(argument in ("-m", "--multirun", "hydra.mode=MULTIRUN") for argument in arguments):
        raise UserError(
            "one run, where torchrun or srun starts its processes",
            found,
            "A sweep has runs of one process each. For several, start each run by itself (docs/sweeps.md).",
        )
    if not named(arguments) and not {"--help", "-h", "--hydra-help", "--cfg", "-c", "--info", "-i"} & set(arguments):
        raise UserError(
            "output=<folder> or resume=<run> on the command line, where torchrun or srun starts the processes",
            found,
            "Name the run directory: each process would make another one.",
        )


def named(arguments: Sequence[str]) -> bool:
    """Whether a command line names its run directory."""
    return any(re.match(r"(\+\+)?(output|resume)=.", argument) for argument in arguments)
