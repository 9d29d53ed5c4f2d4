"""A thread for each part of the work, in place of threads within each operation."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Part = TypeVar("Part")


def in_threads(work: Callable[[Part], None], parts: Sequence[Part]) -> None:
    """Call `work` with each part, on as many threads as torch has on the CPU, without gradient and under this thread's autocast.

    Within a thread torch computes alone: threads that share each operation wait for each other several times a layer.

    Raises:
        whatever `work` raises first; parts that have not begun are then left out.
    """
    threads = torch.get_num_threads()
    autocast, dtype = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def alone(part: Part) -> None:
        # Each of these settings belongs to a thread.
        with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=autocast):
            work(part)

    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        for _ in pool.map(alone, parts):
            pass
    finally:
        pool.shutdown(cancel_futures=True)
        # What the threads set for themselves is also what new ones begin with.
        torch.set_num_threads(threads)
