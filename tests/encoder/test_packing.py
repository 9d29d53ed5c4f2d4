"""Tests of packed attention against attention over each sequence alone."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hr_retrieval.encoder.cpu.tiles import Tiles
from hr_retrieval.encoder.packing import NAME, Parted, layout, length_groups, packed_attention, waste_on

CPU = torch.device("cpu")
LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=20).map(sorted)


class Layer(nn.Module):
    is_causal = False


def attention_of_each(lengths: list[int], query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
    """Softmax attention by loops over sequences and heads."""
    rows, begin = [], 0
    for length in lengths:
        span = slice(begin, begin + length)
        heads = []
        for head in range(query.shape[1]):
            scores = query[0, head, span] @ key[0, head, span].T * scaling
            heads.append(scores.softmax(-1) @ value[0, head, span])
        rows.append(torch.stack(heads, dim=1))
        begin += length
    return torch.cat(rows)[None]


def random_row(tokens: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(tokens)
    return [torch.randn(1, 2, tokens, 4, generator=generator, requires_grad=True) for _ in range(3)]


@settings(max_examples=30, deadline=None)
@given(LENGTHS, st.integers(0, 60))
def test_groups_cover_all_and_waste_no_more_than_allowed(lengths: list[int], waste: int) -> None:
    groups = length_groups(lengths, waste)
    assert [number for begin, end in groups for number in range(begin, end)] == list(range(len(lengths)))
    for begin, end in groups:
        assert sum(lengths[end - 1] - length for length in lengths[begin:end]) <= waste
    for (begin, end), _ in pairwise(groups):
        # No group could have taken one more.
        assert sum(lengths[end] - length for length in lengths[begin : end + 1]) > waste


def test_groups_of_nothing_and_of_equal_lengths() -> None:
    assert length_groups([], 0) == []
    assert length_groups([2, 2, 5, 5, 5, 6], 0) == [(0, 2), (2, 5), (5, 6)]


def assert_same_with_gradients(found: Tensor, expected: Tensor, parts: list[Tensor]) -> None:
    """The same values, and the same gradients of the parts that they were made of."""
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    upstream = torch.linspace(-1, 1, found.numel()).view_as(found)
    for one, other in zip(
        torch.autograd.grad((found * upstream).sum(), parts),
        torch.autograd.grad((expected * upstream).sum(), parts),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@settings(max_examples=25, deadline=None)
@given(LENGTHS, st.sampled_from([0, 5, 1000]))
def test_packed_attention_is_attention_within_each_sequence(lengths: list[int], waste: int) -> None:
    parts = random_row(sum(lengths))
    found, weights = packed_attention(
        Layer(), *parts, None, scaling=0.3, packed_layout=layout(lengths, waste, CPU), is_causal=False
    )
    expected = attention_of_each(lengths, *parts, scaling=0.3)
    assert weights is None
    assert_same_with_gradients(found, expected, parts)


def test_short_sequences_in_tiles_and_long_ones_behind_them() -> None:
    lengths = [2, 5, 5, 9, 11]
    parts = random_row(sum(lengths))
    parted = Parted(Tiles(lengths[:3], heads=2), 12, layout(lengths[3:], 0, CPU))
    found, _ = packed_attention(Layer(), *parts, None, scaling=0.3, packed_layout=parted, is_causal=False)
    expected = attention_of_each(lengths, *parts, scaling=0.3)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, atol=0.03, rtol=0.03)
    upstream = torch.linspace(-1, 1, found.numel()).view_as(found)
    for one, other in zip(
        torch.autograd.grad((found * upstream).sum(), parts),
        torch.autograd.grad((expected * upstream).sum(), parts),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=0.05, rtol=0.05)


def test_attention_is_in_float32_on_a_cpu_whatever_comes() -> None:
    parts = [part.bfloat16() for part in random_row(9)]
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = packed_attention(Layer(), *parts, None, packed_layout=layout([4, 5], 0, CPU))
    assert found.dtype == torch.float32


def test_dropout_is_applied() -> None:
    parts = random_row(9)
    kept, _ = packed_attention(Layer(), *parts, None, dropout=0.0, packed_layout=layout([4, 5], 0, CPU))
    dropped, _ = packed_attention(Layer(), *parts, None, dropout=0.5, packed_layout=layout([4, 5], 0, CPU))
    assert not torch.allclose(kept, dropped)


def test_without_a_layout_the_library_runs() -> None:
    parts = random_row(6)
    whole, _ = packed_attention(Layer(), *parts, None, scaling=0.3)
    torch.testing.assert_close(whole, attention_of_each([6], *parts, scaling=0.3), atol=1e-5, rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(LENGTHS, st.sampled_from([0, 1000]), st.booleans(), st.sampled_from([None, 3, 100]))
def test_causal_layers_windows_and_shared_keys(
    lengths: list[int], waste: int, causal: bool, window: int | None
) -> None:
    parts = random_row(sum(lengths))
    given = [parts[0], *(part[:, :1] for part in parts[1:])]
    options = {"scaling": 0.3, "packed_layout": layout(lengths, waste, CPU), "is_causal": causal}
    found, _ = packed_attention(Layer(), *given, None, sliding_window=window, **options)
    rows, begin = [], 0
    for length in lengths:
        for place in range(length):
            first = 0 if window is None else max(0, place - window + 1)
            last = place if causal else length - 1 if window is None else min(length - 1, place + window - 1)
            keys = slice(begin + first, begin + last + 1)
            query = parts[0][0, :, begin + place]
            weights = (query @ parts[1][0, 0, keys].T * 0.3).softmax(-1)
            rows.append(weights @ parts[2][0, 0, keys])
        begin += length
    expected = torch.stack(rows)[None]
    assert_same_with_gradients(found, expected, parts)


def test_what_packing_cannot_do_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="position_bias"):
        packed_attention(
            Layer(), *random_row(9), None, packed_layout=layout([4, 5], 0, CPU), position_bias=torch.zeros(1)
        )
    with pytest.raises(NotImplementedError, match="causal"):
        packed_attention(Layer(), *random_row(9), None, packed_layout=Tiles([4, 5], heads=2), is_causal=True)


def test_padding_is_bounded_by_the_device() -> None:
    assert waste_on(CPU, 7) == 7
    assert waste_on(torch.device("cuda"), 7) > 1000


def test_the_attention_is_registered_with_a_mask_that_stays_absent() -> None:
    from transformers import AttentionInterface
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    assert AttentionInterface()[NAME] is packed_attention
    assert (
        ALL_MASK_ATTENTION_FUNCTIONS[NAME](batch_size=1, q_length=10**9, kv_length=10**9, attention_mask=None) is None
    )
