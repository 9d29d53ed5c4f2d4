"""Embeddings that arrive in any order and on any number of processes, held once on each device."""

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor

from hr_retrieval.errors import UserError


class Arrivals:
    """A matrix that is filled row by row: beside it nothing as large is ever held.

    Args:
        kind: what the rows are, for messages.
        count: rows that must arrive, each once on one process.
    """

    def __init__(self, kind: str, count: int) -> None:
        self.kind, self.count = kind, count
        self.reset()

    def reset(self) -> None:
        """Forget what has arrived."""
        self._matrix: Tensor | None = None
        # The last place counts rows beyond the end.
        self._times = torch.zeros(self.count + 1, dtype=torch.long)

    def take(self, rows: Int[Tensor, " b"], embeddings: Float[Tensor, "b d"]) -> None:
        """Put embeddings where they belong."""
        if self._matrix is None:
            # Zeros, not memory as it comes: what the processes hold is summed.
            self._matrix = embeddings.new_zeros((self.count, embeddings.shape[1]), dtype=torch.float32)
            self._times = self._times.to(embeddings.device)
        places = rows.long().clamp(max=self.count)
        self._times.index_add_(0, places, torch.ones_like(places))
        self._matrix[places.clamp(max=self.count - 1)] = embeddings.detach().float()

    def whole(self, device: torch.device) -> Float[Tensor, "n d"]:
        """All rows in their order, on every process.

        Args:
            device: where the rows lie, for a process to which none has come.

        Raises:
            UserError: a row is missing, came twice, or lies beyond the end.
        """
        if dist.is_available() and dist.is_initialized():
            self._join(device)
        times = self._times.cpu()
        wrong = (times != (torch.arange(len(times)) < self.count)).nonzero().squeeze(1).tolist()
        if wrong:
            found = "twice, or beyond the end" if times[wrong[0]] else "not at all"
            raise UserError(
                f"each of {self.count} {self.kind} rows once",
                f"row {wrong[0]} {found} ({int(times.sum())} rows in all)",
                "Use a sampler that shards without padding or repeating (trainer.use_distributed_sampler=false).",
            )
        return self._matrix if self._matrix is not None else torch.zeros(0, 0, device=device)

    def _join(self, device: torch.device) -> None:
        """Sum what the processes hold, in place: all of them have zeros where one has a row."""
        if self._matrix is not None:
            device = self._matrix.device
        known = torch.tensor([0 if self._matrix is None else self._matrix.shape[1]], device=device)
        dist.all_reduce(known, dist.ReduceOp.MAX)
        if self._matrix is None:
            self._matrix = torch.zeros(self.count, int(known), device=device)
            self._times = self._times.to(device)
        dist.all_reduce(self._matrix)
        dist.all_reduce(self._times)
