"""Tiled attention against attention of each sequence by itself."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hr_retrieval.encoder.cpu.tiles import LONGEST, Tiles, _softmax_backward, tiled_attention

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=9).map(sorted)


def naive(query: Tensor, key: Tensor, value: Tensor, lengths: list[int], scaling: float) -> Tensor:
    pieces = []
    for q, k, v in zip(*(torch.split(part[0], lengths, dim=1) for part in (query, key, value)), strict=True):
        scores = torch.einsum("hqc,hkc->hqk", q, k) * scaling
        exponentials = (scores - scores.amax(-1, keepdim=True)).exp()
        pieces.append(torch.einsum("hqk,hkc->qhc", exponentials / exponentials.sum(-1, keepdim=True), v))
    return torch.cat(pieces)[None]


def parts(lengths: list[int], heads: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    query, key, value = torch.randn((3, 1, heads, sum(lengths), 8), generator=generator).to(dtype)
    return query.requires_grad_(), key.requires_grad_(), value.requires_grad_()


@settings(max_examples=25, deadline=None)
@given(lengths=LENGTHS, heads=st.integers(1, 3), scaling=st.sampled_from([None, 0.7]))
def test_vectors_and_gradients_are_those_of_each_sequence_alone(
    lengths: list[int], heads: int, scaling: float | None
) -> None:
    query, key, value = inputs = parts(lengths, heads, torch.float64)
    found = tiled_attention(query, key, value, Tiles(lengths, heads), scaling)
    expected = naive(query, key, value, lengths, 8**-0.5 if scaling is None else scaling)
    weights = torch.linspace(-1, 1, found.numel(), dtype=torch.float64).view_as(found)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad((found * weights).sum(), inputs), torch.autograd.grad((expected * weights).sum(), inputs)
    )


def test_the_gradient_is_the_same_without_torch_s_own_function(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = torch.randn(3, 4, 5, dtype=torch.float64, requires_grad=True)
    probabilities, upstream = scores.softmax(-1), torch.randn(3, 4, 5, dtype=torch.float64)
    (expected,) = torch.autograd.grad((probabilities * upstream).sum(), scores)
    torch.testing.assert_close(_softmax_backward(upstream, probabilities), expected)
    monkeypatch.delattr(torch, "_softmax_backward_data")
    torch.testing.assert_close(_softmax_backward(upstream, probabilities), expected)


def test_a_tile_has_a_bound_and_a_long_sequence_has_its_own() -> None:
    tiles = Tiles([5] * 300 + [LONGEST] * 2, heads=12).tiles
    assert sum(tile.shape[0] for tile in tiles) == 302
    assert [tile.shape for tile in tiles[-2:]] == [(1, 12, LONGEST)] * 2
    assert max(tile.shape[0] for tile in tiles) == (1 << 18) // (12 * 16 * 16)


def test_bfloat16_rounds_and_no_more() -> None:
    lengths = [3, 16, 17, 35]
    query, key, value = (part.detach() for part in parts(lengths, 2, torch.bfloat16))
    found = tiled_attention(query, key, value, Tiles(lengths, 2), None)
    expected = naive(query.double(), key.double(), value.double(), lengths, 8**-0.5)
    assert found.dtype == torch.bfloat16
    assert (found.double() - expected).abs().max() < 0.03
