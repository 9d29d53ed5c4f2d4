"""Views of texts: the same tokens with some left out by chance."""

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from hr_retrieval.data.keys import mix
from hr_retrieval.encoder.ragged import Ragged, on_device


def view(tokens: Ragged, rows: Int[Tensor, " B"], drop: float, seed: int, step: int) -> Ragged:
    """The sequences without each token that chance, `drop`, takes out; the first and the last of each stay.

    What is left out follows from seed, step, a sequence's row and the place within it alone: a
    resumed run, and any number of processes, see the same view.

    Args:
        rows: of each sequence in its table, on the CPU.
    """
    sequence = torch.arange(len(tokens)).repeat_interleave(tokens.lengths)
    place = torch.arange(len(sequence)) - tokens.offsets[:-1][sequence]
    inner = (place > 0) & (place < tokens.lengths[sequence] - 1)
    of_row = mix(mix(rows.numpy().astype(np.uint64), seed), step)
    drawn = mix(of_row[sequence.numpy()], place.numpy().astype(np.uint64))
    # The upper 53 bits: a number in [0, 1).
    kept = ~(inner & torch.from_numpy((drawn >> np.uint64(11)) / 2**53 < drop))
    positions = kept.nonzero().squeeze(1)
    counts = torch.bincount(sequence[positions], minlength=len(tokens))
    return Ragged.from_lengths(tokens.ids[on_device(positions, tokens.ids.device)], counts, tokens.queries)
