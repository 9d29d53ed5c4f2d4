"""Tensors of all processes joined, so that every process compares the whole global batch."""

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor


def gather_parts(tensor: Shaped[Tensor, "rows ..."]) -> list[Tensor]:
    """The same tensor of each process, in the order of the processes; the row counts may differ.

    Gradients flow back to the process that a part came from, summed over the processes. Where every process computes the same
    loss over the whole batch and gradients are then averaged over the processes (as data-parallel training does), the sum
    over equal losses and the average cancel: the result is the gradient of one process with the whole batch.
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
