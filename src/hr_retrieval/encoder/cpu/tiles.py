"""Attention of short packed sequences in bfloat16 on a CPU: few batched products of padded tiles."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

# Lengths are padded to multiples of this, since torch's loops over unaligned rows take several
# times as long.
_STEP = 16
# Scores of a tile: in float32 they fit a core's cache.
_SCORES = 1 << 18
# Numbers of half precision in a vector of the processor. torch's gradient of the softmax goes through
# shorter rows one number at a time, which takes five times as long as float32 with its conversions.
_VECTOR = 32
# The longest sequence: all probabilities are kept for the backward pass.
LONGEST = 256


@dataclass(frozen=True)
class Tile:
    """Neighbouring sequences that attend in one batched product.

    Attributes:
        shape: sequences, heads, and places of each sequence.
        mask: 0, or -inf where a place is padding; None without padding.
    """

    shape: tuple[int, int, int]
    mask: Float[Tensor, "n 1 1 l"] | None


class Tiles:
    """How sequences of these ascending lengths, none empty, are laid out for `heads` heads.

    Attributes:
        tiles: in the order of the sequences.
        sizes: places of each tile, over all its heads.
        taken: for each place, which row of the packed `[N * heads, k]` stands there; a padded place
            repeats the last token.
        places: for each row of the packed `[N * heads, k]`, its place.
        padding: the padded places.
    """

    def __init__(self, lengths: list[int], heads: int) -> None:
        taken, places, padding = [], [], []
        self.tiles: list[Tile] = []
        head = torch.arange(heads)[None, :, None]
        begin = token = place = 0
        while begin < len(lengths):
            length = _padded(lengths[begin])
            most = max(1, _SCORES // (heads * length * length))
            end = begin + 1
            while end < len(lengths) and end - begin < most and _padded(lengths[end]) == length:
                end += 1
            own, offsets = torch.tensor(lengths[begin:end]), torch.arange(length)
            starts = token + own.cumsum(0) - own
            tokens = starts[:, None] + torch.minimum(offsets, own[:, None] - 1)
            real = offsets < own[:, None]
            shape = (end - begin, heads, length)
            numbers = place + torch.arange(own.numel() * heads * length).view(shape)
            taken.append((tokens[:, None] * heads + head).flatten())
            places.append(numbers.transpose(1, 2)[real].flatten())
            padding.append(numbers.transpose(1, 2)[~real].flatten())
            mask = None if bool(real.all()) else torch.zeros(len(own), 1, 1, length)
            if mask is not None:
                mask.masked_fill_(~real[:, None, None], -torch.inf)
            self.tiles.append(Tile(shape, mask))
            begin, token, place = end, token + int(own.sum()), place + numbers.numel()
        self.sizes = [tile.shape[0] * heads * tile.shape[2] for tile in self.tiles]
        self.taken: Int[Tensor, " p"] = torch.cat(taken)
        self.places: Int[Tensor, " r"] = torch.cat(places)
        self.padding: Int[Tensor, " _"] = torch.cat(padding)


def tiled_attention(
    query: Float[Tensor, "1 heads n k"],
    key: Float[Tensor, "1 heads n k"],
    value: Float[Tensor, "1 heads n k"],
    tiles: Tiles,
    scaling: float | None,
) -> Float[Tensor, "1 n heads k"]:
    """`softmax(scaling Q K') V` of each sequence and head; `scaling` is `k ** -0.5` where it is None.

    Products are in the type of the inputs and the softmax at least in float32. torch's own CPU
    attention takes two to three times as long on short sequences, in float32, and its gradient in
    bfloat16 five to ten times as long.
    """
    _, heads, count, size = query.shape
    rows = (part[0].transpose(0, 1).reshape(count * heads, size) for part in (query, key, value))
    attended: Tensor = _Tiled.apply(*rows, tiles, size**-0.5 if scaling is None else scaling)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return attended.view(1, count, heads, size)


class _Tiled(torch.autograd.Function):
    """The rows of all heads, `[N * heads, k]`, in one node of the graph: a node for each tile costs
    as much as its products.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, tiles: Tiles, scaling: float) -> Tensor:
        queries, keys, values = (part.index_select(0, tiles.taken) for part in (query, key, value))
        attended = torch.empty_like(values)
        wide = torch.promote_types(query.dtype, torch.float32)
        kept = []
        for tile, q, k, v, out in _by_tile(tiles, queries, keys, values, attended):
            scores = torch.bmm(q, k.transpose(1, 2)).to(wide)
            if tile.mask is None:
                scores.mul_(scaling)
            else:
                masked = torch.add(tile.mask, scores.view(*tile.shape, -1), alpha=scaling)
                scores = masked.view_as(scores)
            probabilities = torch.softmax(scores, -1).to(query.dtype)
            torch.bmm(probabilities, v, out=out)
            kept.append(probabilities)
        if any(ctx.needs_input_grad[:3]):
            ctx.tiles, ctx.scaling = tiles, scaling
            ctx.save_for_backward(queries, keys, values, *kept)
        return attended.index_select(0, tiles.places)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        tiles: Tiles = ctx.tiles
        queries, keys, values, *kept = ctx.saved_tensors
        # A padded query has no part in the loss.
        given = gradient.index_select(0, tiles.taken).index_fill_(0, tiles.padding, 0)
        found = [torch.empty_like(part) for part in (queries, keys, values)]
        by_tile = _by_tile(tiles, queries, keys, values, given, *found)
        for p, (_, q, k, v, g, dq, dk, dv) in zip(kept, by_tile, strict=True):
            torch.bmm(p.transpose(1, 2), g, out=dv)
            scores = _softmax_backward(torch.bmm(g, v.transpose(1, 2)), p)
            torch.bmm(scores, k, out=dq)
            torch.bmm(scores.transpose(1, 2), q, out=dk)
        dq, dk, dv = (part.index_select(0, tiles.places) for part in found)
        return dq.mul_(ctx.scaling), dk.mul_(ctx.scaling), dv, None, None


def _softmax_backward(gradient: Tensor, probabilities: Tensor) -> Tensor:
    """The gradient of the scores. torch's own function for it, in one pass, is not for others: it may go."""
    own = getattr(torch, "_softmax_backward_data", None)
    if own is not None:
        dtype = probabilities.dtype
        wide = torch.promote_types(dtype, torch.float32) if probabilities.shape[-1] < _VECTOR else dtype
        found: Tensor = own(gradient.to(wide), probabilities.to(wide), -1, wide)
        return found.to(dtype)
    weighted = gradient * probabilities
    return weighted - probabilities * weighted.sum(-1, keepdim=True)


def _by_tile(tiles: Tiles, *parts: Tensor) -> Any:
    """Each tile with its `[n * heads, l, k]` of each part, as views."""
    pieces = zip(*(torch.split(part, tiles.sizes) for part in parts), strict=True)
    for tile, own in zip(tiles.tiles, pieces, strict=True):
        yield tile, *(piece.view(-1, tile.shape[2], piece.shape[-1]) for piece in own)


def _padded(length: int) -> int:
    return -(-length // _STEP) * _STEP
