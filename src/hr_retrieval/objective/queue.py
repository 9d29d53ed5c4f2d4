"""A memory of the latest documents, from which candidates beyond the batch are taken (XBM)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class MemoryQueue(nn.Module):
    """The latest `size` document embeddings `q` and the rows of their documents, oldest overwritten first.

    Embeddings change slowly late in training, so that those of past batches still serve: as
    candidates for mixing, or as further negatives in the loss, which for each anchor `a` then
    compares `cos(a, p)` of its relevant documents `p` in the batch with `cos(a, n)` of all `n`
    among the batch's and the queue's negatives. No gradient flows into `q`. All state is in
    buffers: checkpoints hold it. The caller works out relevance and negatives from the rows.
    Source: Wang et al. 2020 (XBM, arXiv 1912.06798).

    Args:
        size: entries at most.
        dimension: of the embeddings.
    """

    embeddings: Tensor
    rows: Tensor
    pointer: Tensor
    filled: Tensor

    def __init__(self, size: int, dimension: int) -> None:
        super().__init__()
        if size < 1 or dimension < 1:
            raise ValueError(f"a queue of {size} embeddings of {dimension} numbers")
        self.register_buffer("embeddings", torch.zeros(size, dimension))
        self.register_buffer("rows", torch.zeros(size, dtype=torch.long))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def enqueue(self, embeddings: Float[Tensor, "N d"], rows: Int[Tensor, " N"]) -> None:
        """Add documents; of more than `size`, the last ones."""
        size = len(self.rows)
        embeddings, rows = embeddings[-size:], rows[-size:]
        places = (self.pointer + torch.arange(len(rows), device=self.rows.device)) % size
        self.embeddings[places] = embeddings.to(self.embeddings.dtype)
        self.rows[places] = rows.to(self.rows.dtype)
        self.pointer.copy_((self.pointer + len(rows)) % size)
        self.filled.copy_((self.filled + len(rows)).clamp(max=size))

    def current(self) -> tuple[Float[Tensor, "K d"], Int[Tensor, " K"]]:
        """What is held, in no particular order; copies, since `enqueue` changes the buffers under an open graph."""
        filled = int(self.filled)
        return self.embeddings[:filled].clone(), self.rows[:filled].clone()
