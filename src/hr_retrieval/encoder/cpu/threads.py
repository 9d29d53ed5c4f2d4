"""A thread for each part of the work, in place of threads within each operation."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Part = TypeVar("Part")
Result = TypeVar("Result")


def in_threads(work: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """What `work` returns for each part, on as many threads as torch has on the CPU, under this
    thread's gradient mode and autocast.

    With fewer parts than threads, each part gets its share of them; otherwise torch computes alone
    within a thread: threads that share each operation wait for each other several times a layer.

    Raises:
        whatever `work` raises first; parts that have not begun are then left out.
    """
    threads = torch.get_num_threads()
    share = max(1, threads // max(1, len(parts)))
    autocast, dtype = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")
    gradient, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    def apart(part: Part) -> Result:
        # Each of these settings belongs to a thread.
        if torch.get_num_threads() != share:
            torch.set_num_threads(share)
            changed.append(True)
        with (
            torch.inference_mode(inference),
            torch.set_grad_enabled(gradient),
            torch.autocast("cpu", dtype, enabled=autocast),
        ):
            return work(part)

    changed: list[bool] = []
    pool = _pool(os.getpid(), threads)
    futures = [pool.submit(apart, part) for part in parts]
    try:
        return [future.result() for future in futures]
    finally:
        for future in futures:
            future.cancel()
        wait(futures)
        # What a thread sets for itself is also what new ones begin with. Not each time: torch
        # forgets compiled kernels by it.
        if changed:
            torch.set_num_threads(threads)


@lru_cache(maxsize=1)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads that stay, since each new one would have to fetch its memory anew; of this process,
    since a fork has none.
    """
    return ThreadPoolExecutor(threads, thread_name_prefix="hr_retrieval")


class GraphPerThread(torch.autograd.Function):
    """`cat([work(part, piece) for part, piece in zip(parts, inputs.split(sizes))])`, each part's
    graph in a thread of its own.

    `GraphPerThread.apply(work, parts, sizes, inputs, *weights)`, where `weights` are all leaves
    that `work` uses. Their gradients are summed in the order of the parts, so that the sum does not
    depend on which thread is first. The rounding differs from that of one graph as it does between
    numbers of threads. A second derivative is not defined.
    """

    @staticmethod
    def forward(
        ctx: Any,
        work: Callable[[Any, Tensor], Tensor],
        parts: Sequence[Any],
        sizes: list[int],
        inputs: Tensor,
        *weights: Tensor,
    ) -> Tensor:
        """Run `work` on each part, and keep the graphs."""
        pieces = [piece.requires_grad_(ctx.needs_input_grad[3]) for piece in torch.split(inputs.detach(), sizes)]
        with torch.enable_grad():
            outputs = in_threads(lambda pair: work(*pair), list(zip(parts, pieces, strict=True)))
        # Not by save_for_backward: these are neither inputs nor outputs of this function.
        ctx.graphs = list(zip(pieces, outputs, strict=True))
        ctx.weights = weights
        return torch.cat([output.detach() for output in outputs])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Walk each graph back in a thread of its own, and sum."""
        graphs, wanted = ctx.graphs, ctx.needs_input_grad[3]
        if graphs is None:
            raise RuntimeError("the graphs of the parts were freed by an earlier backward pass, also with retain_graph")
        # Freed part by part, as a plain graph is.
        ctx.graphs = None
        given = torch.split(gradient, [len(output) for _, output in graphs])

        def walk(graph: tuple[tuple[Tensor, Tensor], Tensor]) -> tuple[Tensor | None, ...]:
            (piece, output), gradient = graph
            if wanted:
                return torch.autograd.grad(output, (piece, *ctx.weights), gradient, allow_unused=True)
            return None, *torch.autograd.grad(output, ctx.weights, gradient, allow_unused=True)

        found = in_threads(walk, list(zip(graphs, given, strict=True)))
        sums = _sums([weights for _, *weights in found])
        inputs = torch.cat([first for first, *_ in found if first is not None]) if wanted else None
        return None, None, None, inputs, *sums


def _sums(parts: Sequence[Sequence[Tensor | None]]) -> list[Tensor | None]:
    """Gradients of each weight, summed over the parts in their order, in the memory of the first
    part's where it is its own.
    """
    places = Counter(gradient.untyped_storage().data_ptr() for gradient in parts[0] if gradient is not None)
    sums = []
    for total, *others in zip(*parts, strict=True):
        # Two weights that are added have one tensor for their gradient.
        own = total is not None and places[total.untyped_storage().data_ptr()] == 1
        for gradient in others:
            if gradient is not None:
                total = gradient if total is None else total.add_(gradient) if own else total + gradient
        sums.append(total)
    return sums
