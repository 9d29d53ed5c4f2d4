"""Numbers of a step, read on the CPU once the GPU has come to them: nobody waits for the step under way."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


class Reading:
    """Hands numbers to `read`: on a CPU at once, from a GPU when the next ones come or `settle` is called.

    Args:
        read: takes the numbers, and what was given with them.
    """

    def __init__(self, read: Callable[[list[float], Any], None]) -> None:
        self._read = read
        self._pending: tuple[Tensor, torch.cuda.Event, Any] | None = None

    def put(self, values: Float[Tensor, " n"], about: Any) -> None:
        """Read the numbers before these, and these as soon as it takes no waiting.

        Raises:
            whatever `read` raises.
        """
        self.settle()
        if _waits(values):
            copied = torch.empty(values.shape, dtype=values.dtype, pin_memory=values.is_cuda)
            copied.copy_(values, non_blocking=True)
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            event.record()
            self._pending = copied, event, about
        else:
            self._read(values.tolist(), about)

    def settle(self) -> None:
        """Read what has not been read yet.

        Raises:
            whatever `read` raises.
        """
        if self._pending is not None:
            (values, event, about), self._pending = self._pending, None
            event.synchronize()
            self._read(values.tolist(), about)


def _waits(values: Tensor) -> bool:
    """Whether to read these makes the CPU wait."""
    return values.is_cuda
