"""From the token vectors of each text to one vector."""

from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

Pooling = Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
# In the order in which folders with a flag for each have them one behind the other.
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)


def modes(pooling: str) -> list[str]:
    """The parts of a pooling such as `cls+mean`, whose vectors stand one behind the other."""
    return pooling.split("+")


def pool(hidden: Float[Tensor, "N h"], offsets: Int[Tensor, " B_plus_1"], pooling: str) -> Float[Tensor, "B w"]:
    """One vector a text from the vectors of its tokens.

    Args:
        hidden: vectors of all tokens, text behind text, without padding.
        offsets: `offsets[i] : offsets[i + 1]` are the tokens of text `i`. The mean of an empty text
            is zero; under the other poolings no text is empty.
        pooling: first token, elementwise maximum, mean, sum over the root of the length, mean
            weighted by the place from 1 on (SGPT, Muennighoff 2022, arXiv 2202.08904), or last
            token; several, joined by `+`, give vectors of `w = modes * h` numbers.
    """
    found = [_pool(hidden, offsets, mode) for mode in modes(pooling)]
    return torch.cat(found, dim=1) if len(found) > 1 else found[0]


def pool_padded(hidden: Float[Tensor, "B L h"], mask: Int[Tensor, "B L"], pooling: str) -> Float[Tensor, "B w"]:
    """The same of texts that are padded behind their last token; `mask` is 1 at tokens, and 0 at padding."""
    found = [_pool_padded(hidden, mask, mode) for mode in modes(pooling)]
    return torch.cat(found, dim=1) if len(found) > 1 else found[0]


def _pool(hidden: Float[Tensor, "N h"], offsets: Int[Tensor, " B_plus_1"], mode: str) -> Float[Tensor, "B h"]:
    if mode == "cls":
        return hidden[offsets[:-1]]
    if mode == "lasttoken":
        return hidden[offsets[1:] - 1]
    if mode == "max":
        return torch.segment_reduce(hidden, "max", offsets=offsets, axis=0)
    lengths = offsets.diff()
    if mode == "weightedmean":
        starts = offsets[:-1].repeat_interleave(lengths, output_size=len(hidden))
        places = torch.arange(1, len(hidden) + 1, device=hidden.device) - starts
        sums = torch.segment_reduce(hidden * places[:, None], "sum", offsets=offsets, axis=0)
        return sums / (lengths * (lengths + 1) / 2)[:, None]
    means = torch.segment_reduce(hidden, "mean", offsets=offsets, axis=0, initial=0)
    return means if mode == "mean" else means * lengths.sqrt()[:, None]


def _pool_padded(hidden: Float[Tensor, "B L h"], mask: Int[Tensor, "B L"], mode: str) -> Float[Tensor, "B h"]:
    if mode == "cls":
        return hidden[:, 0]
    if mode == "lasttoken":
        last = (mask.sum(dim=1) - 1)[:, None, None].expand(-1, 1, hidden.shape[2])
        return hidden.gather(1, last).squeeze(1)
    weights = mask * torch.arange(1, mask.shape[1] + 1, device=mask.device) if mode == "weightedmean" else mask
    tokens = weights.unsqueeze(2)
    if mode == "max":
        return hidden.masked_fill(tokens == 0, -torch.inf).amax(dim=1)
    total = tokens.sum(dim=1)
    return (hidden * tokens).sum(dim=1) / (total.sqrt() if mode == "mean_sqrt_len_tokens" else total)
