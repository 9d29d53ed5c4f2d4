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


def pool_padded(hidden: Float[Tensor, "B L h"], mask: Int[Tensor, "B L"], pooling: Pooling) -> Float[Tensor, "B h"]:
    """The same of texts that are padded behind their last token; `mask` is 1 at tokens, and 0 at padding."""
    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "lasttoken":
        last = (mask.sum(dim=1) - 1)[:, None, None].expand(-1, 1, hidden.shape[2])
        return hidden.gather(1, last).squeeze(1)
    tokens = mask.unsqueeze(2)
    if pooling == "max":
        return hidden.masked_fill(tokens == 0, -torch.inf).amax(dim=1)
    return (hidden * tokens).sum(dim=1) / tokens.sum(dim=1)
