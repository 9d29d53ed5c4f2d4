"""Views of texts: the same tokens with some left out by chance."""

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch import Tensor

from hr_retrieval.encoder.ragged import Ragged, on_device


def view(tokens: Ragged, rows: Int[Tensor, " B"], drop: float, seed: int, step: int) -> Ragged:
    """The sequences without each token that chance, `drop`, takes out; the first and the last of each stay.

    What is left out follows from seed, step, a sequence's row and the place within it alone: a
    resumed run, and any number of processes, see the same view.

    Args:
        rows: of each sequence in its table, on the CPU.
    """
    lengths = tokens.lengths
    begin = tokens.offsets[:-1].repeat_interleave(lengths)
    place = torch.arange(int(tokens.offsets[-1])) - begin
    inner = (place > 0) & (place < lengths.repeat_interleave(lengths) - 1)
    chance = _chances(rows.repeat_interleave(lengths).numpy(), place.numpy(), seed, step)
    kept = ~(inner & torch.from_numpy(chance < drop))
    counts = torch.zeros_like(lengths).index_add_(
        0, torch.arange(len(lengths)).repeat_interleave(lengths), kept.to(lengths)
    )
    positions = kept.nonzero().squeeze(1)
    return Ragged.from_lengths(tokens.ids[on_device(positions, tokens.ids.device)], counts)


def _chances(
    rows: npt.NDArray[np.int64], places: npt.NDArray[np.int64], seed: int, step: int
) -> npt.NDArray[np.float64]:
    """A uniform number in [0, 1) for each row and place: splitmix64 (Steele et al. 2014, OOPSLA)."""
    state = np.full(rows.shape, (seed * 0x9E3779B97F4A7C15 + step) % 2**64, dtype=np.uint64)
    for part in (rows, places):
        state = _scrambled(state + part.astype(np.uint64))
    chances: npt.NDArray[np.float64] = (state >> np.uint64(11)).astype(np.float64) / 2**53
    return chances


def _scrambled(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    scrambled: npt.NDArray[np.uint64] = state ^ (state >> np.uint64(31))
    return scrambled
