"""Token sequences of different lengths, one behind the other, without padding."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from hr_retrieval.encoder.wording import Kind


@dataclass(frozen=True)
class Ragged:
    """Sequences of token ids as one flat tensor.

    Attributes:
        ids: token ids of all sequences, one sequence behind the other; `N` tokens in all.
        offsets: `offsets[i] : offsets[i + 1]` is sequence `i`; begins with 0 and ends with `N`. On
            the CPU wherever the ids are: what follows from lengths is known without waiting for a
            GPU.
        queries: which sequences are queries, and not documents, on the CPU; None where nobody has
            said so. An encoder with two sides asks.
    """

    ids: Int[Tensor, " N"]
    offsets: Int[Tensor, " B_plus_1"]
    queries: Bool[Tensor, " B"] | None = None

    @classmethod
    def from_lists(cls, sequences: Sequence[Sequence[int]]) -> "Ragged":
        """Join lists of token ids."""
        lengths = torch.tensor([len(sequence) for sequence in sequences], dtype=torch.long)
        ids = torch.tensor([token for sequence in sequences for token in sequence], dtype=torch.long)
        return cls.from_lengths(ids, lengths)

    @classmethod
    def from_lengths(
        cls, ids: Int[Tensor, " N"], lengths: Int[Tensor, " B"], queries: Bool[Tensor, " B"] | None = None
    ) -> "Ragged":
        """Cut flat token ids into sequences of the given lengths, which lie on the CPU."""
        offsets = torch.zeros(len(lengths) + 1, dtype=torch.long)
        torch.cumsum(lengths, 0, out=offsets[1:])
        return cls(ids, offsets, queries)

    def of(self, kind: Kind) -> "Ragged":
        """The same sequences, all said to be of one kind."""
        return replace(self, queries=torch.full((len(self),), kind == "query"))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Int[Tensor, " B"]:
        """Tokens of each sequence."""
        return self.offsets.diff()

    def take(self, rows: Int[Tensor, " R"]) -> "Ragged":
        """The given sequences in the given order, `rows` on the CPU."""
        lengths = self.lengths[rows]
        taken = Ragged.from_lengths(self.ids[:0], lengths, None if self.queries is None else self.queries[rows])
        within = torch.arange(int(lengths.sum())) - taken.offsets[:-1].repeat_interleave(lengths)
        positions = self.offsets[:-1][rows].repeat_interleave(lengths) + within
        return replace(taken, ids=self.ids[on_device(positions, self.ids.device)])

    def concatenate(self, other: "Ragged") -> "Ragged":
        """These sequences, then those of `other`."""
        said = [part for part in (self.queries, other.queries) if part is not None]
        return Ragged(
            torch.cat([self.ids, other.ids]),
            torch.cat([self.offsets, other.offsets[1:] + self.offsets[-1]]),
            torch.cat(said) if len(said) == 2 else None,
        )

    def to(self, device: torch.device | str) -> "Ragged":
        """The same sequences with their ids on another device."""
        return replace(self, ids=on_device(self.ids, device))


def on_device(tensor: Shaped[Tensor, "..."], device: torch.device | str) -> Shaped[Tensor, "..."]:
    """The tensor on a device. From the CPU to a GPU by page-locked memory: nobody waits for what the GPU is at."""
    if tensor.device.type == "cpu" and torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def in_batches(lengths: Int[Tensor, " N"], batch_tokens: int) -> list[Int[Tensor, " b"]]:
    """Rows of similar length, at most `batch_tokens` tokens at a time, but at least one row."""
    order = lengths.argsort(descending=True, stable=True)
    sizes: list[int] = []
    tokens = batch_tokens + 1
    for length in lengths[order].tolist():
        if tokens + length > batch_tokens:
            sizes.append(0)
            tokens = 0
        sizes[-1] += 1
        tokens += length
    return list(torch.split(order, sizes)) if sizes else []


def in_parts(lengths: Int[Tensor, " N"], count: int) -> list[Int[Tensor, " _"]]:
    """Rows dealt to `count` parts of as much work each, ascending by length in each."""
    places = torch.arange(len(lengths)) % (2 * max(count, 1))
    # There and back, so that no part gets the longer one of each pair.
    part = torch.minimum(places, 2 * count - 1 - places)
    order = lengths.argsort(descending=True, stable=True)
    return [order[part == number].flip(0) for number in range(count)]
