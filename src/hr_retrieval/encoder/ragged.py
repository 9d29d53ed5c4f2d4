"""Token sequences of different lengths, one behind the other, without padding."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor


@dataclass(frozen=True)
class Ragged:
    """Sequences of token ids as one flat tensor.

    Attributes:
        ids: token ids of all sequences, one sequence behind the other; `N` tokens in all.
        offsets: `offsets[i] : offsets[i + 1]` is sequence `i`; begins with 0 and ends with `N`.
    """

    ids: Int[Tensor, " N"]
    offsets: Int[Tensor, " B_plus_1"]

    @classmethod
    def from_lists(cls, sequences: Sequence[Sequence[int]]) -> "Ragged":
        """Join lists of token ids."""
        lengths = torch.tensor([len(sequence) for sequence in sequences], dtype=torch.long)
        ids = torch.tensor([token for sequence in sequences for token in sequence], dtype=torch.long)
        return cls.from_lengths(ids, lengths)

    @classmethod
    def from_lengths(cls, ids: Int[Tensor, " N"], lengths: Int[Tensor, " B"]) -> "Ragged":
        """Cut flat token ids into sequences of the given lengths."""
        offsets = torch.zeros(len(lengths) + 1, dtype=torch.long, device=lengths.device)
        torch.cumsum(lengths, 0, out=offsets[1:])
        return cls(ids, offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Int[Tensor, " B"]:
        """Tokens of each sequence."""
        return self.offsets.diff()

    def take(self, rows: Int[Tensor, " R"]) -> "Ragged":
        """The given sequences in the given order, `rows` on the device of `offsets`."""
        lengths = self.lengths[rows]
        taken = Ragged.from_lengths(self.ids[:0], lengths)
        within = torch.arange(int(lengths.sum()), device=lengths.device) - taken.offsets[:-1].repeat_interleave(lengths)
        positions = self.offsets[:-1][rows].repeat_interleave(lengths) + within
        return Ragged(self.ids[positions], taken.offsets)

    def concatenate(self, other: "Ragged") -> "Ragged":
        """These sequences, then those of `other`."""
        return Ragged(torch.cat([self.ids, other.ids]), torch.cat([self.offsets, other.offsets[1:] + self.offsets[-1]]))

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Ragged":
        """The same sequences on another device."""
        return Ragged(
            self.ids.to(device, non_blocking=non_blocking), self.offsets.to(device, non_blocking=non_blocking)
        )

    def pin_memory(self) -> "Ragged":
        """The same sequences in page-locked memory."""
        return Ragged(self.ids.pin_memory(), self.offsets.pin_memory())
