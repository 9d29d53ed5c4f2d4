"""Attention over sequences that lie one behind the other in one row, without padding."""

import functools
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
    key: Float[Tensor, "b shared n k"],
    value: Float[Tensor, "b shared n k"],
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    packed_layout: Layout | None = None,
    **others: Any,
) -> tuple[Float[Tensor, "b n heads k"], None]:
    """Attention as transformers calls it: packed if the model was called with `packed_layout`, else the library's own.

    Each key may be of several heads. Where a layer is causal, a token attends to those before it;
    within a window of `w` to those less than `w` places away.

    Raises:
        NotImplementedError: the layer asks for a bias or sinks, which the packed form does not have;
            or is causal, or has a window that texts are longer than, and the layout is not in groups.
    """
    if packed_layout is None:
        attended: Tensor = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **others
        )[0]
        return attended, None
    asked = [name for name in ("position_bias", "softcap", "s_aux") if others.get(name) is not None]
    causal, window = others.get("is_causal", getattr(module, "is_causal", False)), others.get("sliding_window")
    if asked or (causal and not isinstance(packed_layout, list)):
        raise NotImplementedError(f"packed attention with {asked or 'a causal mask'}")
    if key.shape[1] != query.shape[1]:
        # In groups of heads that share one.
        key, value = (part.repeat_interleave(query.shape[1] // key.shape[1], dim=1) for part in (key, value))
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
        found = [_attend(*piece, dropout, scaling, causal, window) for piece in pieces]
        return torch.cat(found).unsqueeze(0), None


def _attend(
    group: Group,
    query: Float[Tensor, "t heads k"],
    key: Float[Tensor, "t heads k"],
    value: Float[Tensor, "t heads k"],
    dropout: float,
    scaling: float | None,
    causal: bool,
    window: int | None,
) -> Float[Tensor, "t heads k"]:
    near = None if window is None or group.shape[1] <= window else _near(group, window, causal, query.device)
    # What is padded lies behind the text, where nothing that is causal looks.
    real = None if group.real is None or (causal and near is None) else group.real[:, None, None, :]
    masks = [mask for mask in (real, near) if mask is not None]
    attended = F.scaled_dot_product_attention(
        _unpack(group, query),
        _unpack(group, key),
        _unpack(group, value),
        functools.reduce(torch.logical_and, masks) if masks else None,
        dropout,
        is_causal=causal and near is None,
        scale=scaling,
    )
    in_fixed_order(attended)
    rows = attended.transpose(1, 2).flatten(0, 1)
    return rows if group.places is None else rows[group.places]


def _near(group: Group, window: int, causal: bool, device: torch.device) -> Bool[Tensor, "g 1 l l"]:
    """Which places are less than a window away; all of them from padded ones, which must see something."""
    places = torch.arange(group.shape[1], device=device)
    away = places[:, None] - places[None, :]
    near = ((away >= 0) & (away < window) if causal else away.abs() < window)[None, None]
    return near.expand(group.shape[0], -1, -1, -1) if group.real is None else near | ~group.real[:, None, :, None]


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
