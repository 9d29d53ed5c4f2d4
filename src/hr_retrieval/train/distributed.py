"""The processes of one training: what starts them, who of them goes first, and their tensors joined."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from jaxtyping import Shaped
from torch import Tensor

from hr_retrieval.data.command import unrecorded
from hr_retrieval.errors import UserError
from hr_retrieval.processes import named, outside_place


def gather_parts(tensor: Shaped[Tensor, "rows ..."]) -> list[Tensor]:
    """The same tensor of each process, in the order of the processes; the row counts may differ.

    Gradients flow back to the process that a part came from, summed over the processes. Where every
    process computes the same loss over the whole batch and gradients are then averaged over the
    processes (as data-parallel training does), the sum over equal losses and the average cancel:
    the result is the gradient of one process with the whole batch.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return [tensor]
    counts = [torch.zeros(1, dtype=torch.long, device=tensor.device) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, torch.tensor([len(tensor)], device=tensor.device))
    longest = int(max(count.item() for count in counts))
    padded = torch.cat([tensor, tensor.new_zeros(longest - len(tensor), *tensor.shape[1:])])
    if tensor.requires_grad:
        parts = list(_AllGather.apply(padded))  # type: ignore[no-untyped-call]  # torch gives it no types
    else:
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded.contiguous())
    return [part[: int(count.item())] for part, count in zip(parts, counts, strict=True)]


def check_processes(trainer: pl.Trainer) -> None:
    """Raise `UserError` unless torchrun or srun has started as many processes as the trainer is for."""
    place = outside_place()
    wanted = f"trainer.devices={trainer.num_devices} and trainer.num_nodes={trainer.num_nodes}"
    if trainer.world_size > 1 and HydraConfig.get().mode == RunMode.MULTIRUN:
        raise UserError("one process for each run of a sweep", wanted, f"Start each by itself: {_torchrun(trainer)}")
    if place is None and trainer.world_size > 1:
        raise UserError(
            f"{trainer.world_size} processes, which torchrun or srun starts, for {wanted}",
            "one process",
            f"Run{' on each machine' if trainer.num_nodes > 1 else ''}: {_torchrun(trainer)}",
        )
    if place is not None and place.count != trainer.world_size:
        raise UserError(
            f"trainer.devices and trainer.num_nodes that make up the {place.count} processes started",
            wanted,
            "trainer.devices counts the processes of each machine, trainer.num_nodes the machines.",
        )


@contextmanager
def process_group(trainer: pl.Trainer) -> Iterator[None]:
    """Have several processes find each other, and part at the end, however it comes.

    A group that is left to the end of the interpreter can abort it by its threads.
    """
    if trainer.world_size > 1:
        trainer.strategy.setup_environment()
        # Nothing is written before every process has read what there is.
        trainer.strategy.barrier()
    try:
        yield
    finally:
        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()


@contextmanager
def first_process_first(trainer: pl.Trainer) -> Iterator[None]:
    """Within `process_group`, have the others wait until the first process has done what is within.

    If that fails, they end in silence: one message is enough.
    """
    done = False
    try:
        if not trainer.is_global_zero and not trainer.strategy.broadcast(done):
            raise SystemExit(0)
        yield
        done = True
    finally:
        if trainer.is_global_zero:
            trainer.strategy.broadcast(done)


def _torchrun(trainer: pl.Trainer) -> str:
    """The command that starts the processes of this run; of a sweep's, with what the sweep gave it."""
    nodes = (
        ""
        if trainer.num_nodes == 1
        else f"--nnodes={trainer.num_nodes} --rdzv-backend=c10d --rdzv-endpoint=<first machine>:29500 "
    )
    hydra = HydraConfig.get()
    arguments = unrecorded(sys.argv[1:] if hydra.mode == RunMode.RUN else hydra.overrides.task)
    if not named(arguments):
        arguments = [*arguments, f"output={hydra.runtime.output_dir}"]
    return f"torchrun {nodes}--nproc-per-node={trainer.num_devices} -m hr_retrieval.train {shlex.join(arguments)}"


class _AllGather(torch.autograd.Function):
    """`all_gather` whose gradient is summed over the processes; torch's own one is deprecated."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> tuple[Tensor, ...]:
        parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, tensor.contiguous())
        return tuple(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = torch.stack(gradients)
        dist.all_reduce(total)
        return total[dist.get_rank()]
