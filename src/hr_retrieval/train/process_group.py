"""The processes of one distributed run: who goes first, who starts the others, and how they end."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytorch_lightning as pl
import torch.distributed as dist
from hydra.core.hydra_config import HydraConfig

from hr_retrieval.errors import UserError
from hr_retrieval.train.processes import QUIET, outside_place

# Where Lightning tells a process its place among the others.
PROCESS_VARIABLES = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@contextmanager
def first_process_first(trainer: pl.Trainer) -> Iterator[None]:
    """Where torchrun or srun started the processes, the others wait until the first one has done what is within.

    If that fails, they end in silence: one message is enough.
    """
    place, strategy = outside_place(), trainer.strategy
    if place is None:
        _check_one_node(trainer)
        yield
        return
    if place.count != trainer.world_size:
        raise UserError(
            f"trainer.devices and trainer.num_nodes that make up the {place.count} processes started",
            f"trainer.devices={trainer.num_devices} and trainer.num_nodes={trainer.num_nodes}",
            "Set both, and a strategy for several processes, such as trainer.strategy=ddp.",
        )
    strategy.setup_environment()
    if not trainer.is_global_zero:
        if not strategy.broadcast(True):
            _leave_group()
            raise SystemExit(0)
        yield
        return
    done = False
    try:
        yield
        done = True
    finally:
        strategy.broadcast(done)
        if not done:
            _leave_group()


def _check_one_node(trainer: pl.Trainer) -> None:
    if trainer.num_nodes > 1:
        raise UserError(
            "torchrun or srun to start the processes of several nodes",
            f"trainer.num_nodes={trainer.num_nodes} without them",
            "See configs/trainer/multinode.yaml for the command.",
        )


@contextmanager
def further_processes(folder: Path, trainer: pl.Trainer) -> Iterator[None]:
    """Have Lightning start the further processes of a distributed run as resumed ones.

    They read the config that this process wrote, so that there is one run directory and one config, and a sweep is not
    started again by each of them. Left to itself, Lightning repeats the whole command under Hydra.
    """
    arguments, hydra = sys.argv, HydraConfig.instance().cfg
    environment = {name: os.environ.get(name) for name in PROCESS_VARIABLES}
    quoted = str(folder).replace("\\", "\\\\").replace('"', '\\"')
    sys.argv = [arguments[0], f'resume="{quoted}"', *QUIET]
    HydraConfig.instance().cfg = None
    failed = True
    try:
        yield
        failed = False
    finally:
        _end_further_processes(trainer, failed)
        # Lightning leaves its rank and port there: the next run of a sweep would take itself for a further process.
        for name, value in environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        sys.argv, HydraConfig.instance().cfg = arguments, hydra


def _end_further_processes(trainer: pl.Trainer, failed: bool) -> None:
    """Wait for the processes that Lightning started, and forget them; where this one failed, they may wait for it for ever."""
    # What starts processes keeps them under this name.
    started: list[subprocess.Popen[bytes]] | None = getattr(trainer.strategy.launcher, "procs", None)
    if started is not None:
        processes = list(started)
        if failed:
            # Lightning watches this list, and kills this process, and the sweep with it, where one ends with an error.
            started.clear()
            for process in processes:
                process.kill()
        for process in processes:
            process.wait()
    elif failed:
        return
    # The next run of a sweep would take it for its own.
    _leave_group()


def _leave_group() -> None:
    """End this process's part in the group, if there is one: left to the end of the interpreter, its threads can abort it."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
