"""From the token vectors of each text to one vector."""

from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

Pooling = Literal["mean", "cls", "max", "lasttoken"]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)


def pool(hidden: Float[Tensor, "N h"], offsets: Int[Tensor, " B_plus_1"], pooling: Pooling) -> Float[Tensor, "B h"]:
    """One vector a text from the vectors of its tokens.

    Args:
        hidden: vectors of all tokens, text behind text, without padding.
        offsets: `offsets[i] : offsets[i + 1]` are the tokens of text `i`; no text is empty.
        pooling: mean of the tokens, first token, elementwise maximum, or last token.
    """
    if pooling == "cls":
        return hidden[offsets[:-1]]
    if pooling == "lasttoken":
        return hidden[offsets[1:] - 1]
    return torch.segment_reduce(hidden, pooling, offsets=offsets, axis=0)
