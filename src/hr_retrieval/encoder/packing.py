"""Attention over sequences that lie one behind the other in one row, without padding."""

from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from hr_retrieval.encoder.cpu.tiles import Tiles, tiled_attention
from hr_retrieval.encoder.flash import Bounds, flash_attention, in_fixed_order
from hr_retrieval.encoder.ragged import on_device

NAME = "hr_retrieval_packed"


@dataclass(frozen=True)
class Group:
    """Neighbouring sequences of similar length that attend in one call.

    Attributes:
        tokens: tokens of all sequences of the group.
        shape: sequences, and tokens of the longest.
        padded: where each place of the padded group is taken from; None where all sequences are
            equally long.
        real: which places of the padded group are tokens.
        places: the same as numbers, in order; boolean ones would make the CPU wait for a GPU.
    """

    tokens: int
    shape: tuple[int, int]
    padded: Int[Tensor, "g l"] | None
    real: Bool[Tensor, "g l"] | None
    places: Int[Tensor, " t"] | None


@dataclass(frozen=True)
class Parted:
    """Short sequences in tiles, and the longer ones behind them in groups.

    Attributes:
        tiles: of the short ones.
        tokens: how many tokens these have.
        groups: of the others.
    """

    tiles: Tiles
    tokens: int
    groups: list[Group]


Layout = list[Group] | Tiles | Parted | Bounds


def waste_on(device: torch.device, cpu: int) -> int:
    """Places of padding that are worth one call less: `cpu` there, more on an accelerator, where a call is a launch."""
    return cpu if device.type == "cpu" else 8192


def length_groups(lengths: list[int], waste: int) -> list[tuple[int, int]]:
    """Cut ascending lengths into runs `begin : end`; padding a run to its longest sequence adds at most `waste` places.

    With `waste = 0` each run holds equal lengths. A larger `waste` gives fewer runs.
    """
    bounds = [0]
    total = 0
    for number, length in enumerate(lengths):
        total += length
        if (number + 1 - bounds[-1]) * length - total > waste:
            bounds.append(number)
            total = length
    return list(pairwise([*bounds, len(lengths)])) if lengths else []


def layout(lengths: list[int], waste: int, device: torch.device) -> list[Group]:
    """How the packed attention divides sequences of these ascending lengths."""
    return [_group(lengths[begin:end], device) for begin, end in length_groups(lengths, waste)]


def packed_attention(
    module: nn.Module,
    query: Float[Tensor, "b heads n k"],
    key: Float[Tensor, "b heads n k"],
    value: Float[Tensor, "b heads n k"],
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    packed_layout: Layout | None = None,
    **others: Any,
) -> tuple[Float[Tensor, "b n heads k"], None]:
    """Attention as transformers calls it: packed if the model was called with `packed_layout`, else the library's own.

    Raises:
        NotImplementedError: the layer asks for a window, a bias or a causal mask, which the packed
            form does not have.
    """
    if packed_layout is None:
        attended: Tensor = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **others
        )[0]
        return attended, None
    asked = [name for name in ("sliding_window", "position_bias", "softcap", "s_aux") if others.get(name) is not None]
    if asked or others.get("is_causal", getattr(module, "is_causal", False)):
        raise NotImplementedError(f"packed attention with {asked or 'a causal mask'}")
    if isinstance(packed_layout, Parted):
        cuts = [packed_layout.tokens, query.shape[2] - packed_layout.tokens]
        queries, keys, values = (torch.split(part, cuts, dim=2) for part in (query, key, value))
        layouts: tuple[Layout, Layout] = packed_layout.tiles, packed_layout.groups
        short, long = (
            packed_attention(module, q, k, v, None, dropout, scaling, own)[0]
            for q, k, v, own in zip(queries, keys, values, layouts, strict=True)
        )
        return torch.cat([short, long.to(short.dtype)], dim=1), None
    on_cpu = query.device.type == "cpu"
    if isinstance(packed_layout, Bounds):
        return flash_attention(query, key, value, packed_layout, scaling), None
    if isinstance(packed_layout, Tiles):
        with torch.autocast("cpu", enabled=False):
            query, key, value = (part.to(torch.bfloat16) for part in (query, key, value))
            return tiled_attention(query, key, value, packed_layout, scaling), None
    if on_cpu:
        # Sequences too long for tiles: the gradient of torch's CPU attention takes four times as
        # long in bfloat16.
        query, key, value = query.float(), key.float(), value.float()
    sizes = [group.tokens for group in packed_layout]
    # split, not slices: the gradient of a split is one concatenation, that of a slice is a whole
    # row of zeros each.
    queries, keys, values = (torch.split(part[0].transpose(0, 1), sizes) for part in (query, key, value))
    pieces = zip(packed_layout, queries, keys, values, strict=True)
    with torch.autocast("cpu", enabled=False) if on_cpu else nullcontext():
        return torch.cat([_attend(*piece, dropout, scaling) for piece in pieces]).unsqueeze(0), None


def _attend(
    group: Group,
    query: Float[Tensor, "t heads k"],
    key: Float[Tensor, "t heads k"],
    value: Float[Tensor, "t heads k"],
    dropout: float,
    scaling: float | None,
) -> Float[Tensor, "t heads k"]:
    mask = None if group.real is None else group.real[:, None, None, :]
    attended = F.scaled_dot_product_attention(
        _unpack(group, query), _unpack(group, key), _unpack(group, value), mask, dropout, scale=scaling
    )
    in_fixed_order(attended)
    rows = attended.transpose(1, 2).flatten(0, 1)
    return rows if group.places is None else rows[group.places]


def _unpack(group: Group, part: Float[Tensor, "t heads k"]) -> Float[Tensor, "g heads l k"]:
    if group.padded is None:
        return part.view(*group.shape, *part.shape[1:]).transpose(1, 2)
    return part[group.padded].transpose(1, 2)


def _group(lengths: list[int], device: torch.device) -> Group:
    shape = (len(lengths), lengths[-1])
    if lengths[0] == lengths[-1]:
        return Group(sum(lengths), shape, None, None, None)
    ends = torch.tensor(lengths).cumsum(0)
    counts = torch.tensor(lengths)[:, None]
    places = torch.arange(shape[1])[None, :]
    # A padded place repeats the last token; the mask keeps it out.
    padded = (ends[:, None] - counts) + torch.minimum(places, counts - 1)
    real = places < counts
    indices = (on_device(part, device) for part in (padded, real, real.flatten().nonzero().squeeze(1)))
    return Group(sum(lengths), shape, *indices)


def _mask(*args: Any, attention_mask: Tensor | None = None, **others: Any) -> Tensor | None:
    """No mask where none was given: the library would build one of `N x N` for a packed row."""
    if attention_mask is None:
        return None
    mask: Tensor | None = sdpa_mask(*args, attention_mask=attention_mask, **others)
    return mask


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, _mask)
