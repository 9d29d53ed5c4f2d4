"""Tests of pooling against loops."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hr_retrieval.encoder.pooling import POOLINGS, Pooling, pool


def pool_by_loops(hidden: Tensor, lengths: list[int], pooling: Pooling) -> Tensor:
    rows, begin = [], 0
    for length in lengths:
        tokens = [hidden[number] for number in range(begin, begin + length)]
        match pooling:
            case "mean":
                row = sum(tokens[1:], tokens[0]) / length
            case "mean_sqrt_len_tokens":
                row = sum(tokens[1:], tokens[0]) / length**0.5
            case "weightedmean":
                row = sum(place * token for place, token in enumerate(tokens, 1)) / sum(range(1, length + 1))
            case "cls":
                row = tokens[0]
            case "lasttoken":
                row = tokens[-1]
            case "max":
                row = torch.stack([max(token[column] for token in tokens) for column in range(hidden.shape[1])])
        rows.append(row)
        begin += length
    return torch.stack(rows)


@pytest.mark.parametrize("pooling", POOLINGS)
@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=8))
def test_pooling_and_its_gradient(pooling: Pooling, lengths: list[int]) -> None:
    generator = torch.Generator().manual_seed(sum(lengths))
    hidden = torch.randn(sum(lengths), 5, generator=generator, requires_grad=True)
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    found, expected = pool(hidden, offsets, pooling), pool_by_loops(hidden, lengths, pooling)
    torch.testing.assert_close(found, expected)
    upstream = torch.linspace(-1, 1, found.numel()).view_as(found)
    (one,) = torch.autograd.grad((found * upstream).sum(), hidden)
    (other,) = torch.autograd.grad((expected * upstream).sum(), hidden)
    torch.testing.assert_close(one, other)
    both = pool(hidden, offsets, f"{pooling}+mean")
    torch.testing.assert_close(both, torch.cat([expected, pool_by_loops(hidden, lengths, "mean")], dim=1))
