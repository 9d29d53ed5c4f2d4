"""Rank-biased overlap against the formula by plain loops, and against values worked out by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.errors import UserError
from hr_retrieval.retrieval import overlap
from hr_retrieval.retrieval.overlap import rank_biased_overlap


def naive(a: list[int], b: list[int], p: float) -> float:
    depth = len(a)
    total = 0.0
    for d in range(1, depth + 1):
        total += len(set(a[:d]) & set(b[:d])) / d * p**d
    return len(set(a) & set(b)) / depth * p**depth + (1 - p) / p * total


rankings = st.integers(1, 12).flatmap(
    lambda k: st.tuples(
        *(st.lists(st.permutations(range(15)).map(lambda order, k=k: list(order[:k])), min_size=3, max_size=3),) * 2
    )
)


@settings(max_examples=30, deadline=None)
@given(rankings, st.sampled_from([0.1, 0.5, 0.9, 0.98]))
def test_it_is_the_formula(pair: tuple[list[list[int]], list[list[int]]], p: float) -> None:
    a, b = pair
    found = rank_biased_overlap(torch.tensor(a), torch.tensor(b), p)
    assert found.tolist() == pytest.approx([naive(one, other, p) for one, other in zip(a, b, strict=True)])
    assert torch.equal(found, rank_biased_overlap(torch.tensor(b), torch.tensor(a), p))
    assert rank_biased_overlap(torch.tensor(a), torch.tensor(a), p).tolist() == pytest.approx([1.0] * 3)


def test_known_values() -> None:
    a = torch.tensor([[1, 2, 3, 4, 5], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5]])
    b = torch.tensor([[2, 3, 4, 1, 5], [6, 7, 8, 9, 10], [1, 2, 3, 5, 4]])
    # X = 0, 1, 2, 4, 5: .59049 + .1 / .9 (1/2 .81 + 2/3 .729 + .6561 + .59049)
    expected = [0.828000, 0.0, 1 - 0.1 / 0.9 * 0.25 * 0.6561]
    assert rank_biased_overlap(a, b).tolist() == pytest.approx(expected, abs=1e-5)


def test_a_swap_at_the_top_costs_more_than_one_below_and_the_less_patient_minds_it_more() -> None:
    same, top, low = torch.tensor([[1, 2, 3, 4]]), torch.tensor([[2, 1, 3, 4]]), torch.tensor([[1, 2, 4, 3]])
    assert rank_biased_overlap(same, top) < rank_biased_overlap(same, low)
    assert rank_biased_overlap(same, top, 0.5) < rank_biased_overlap(same, top, 0.9)


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.stack([torch.randperm(9, generator=generator) for _ in range(7)])[:, :4] for _ in range(2))
    whole = rank_biased_overlap(a, b)
    monkeypatch.setattr(overlap, "_COMPARED", 40)
    assert torch.equal(rank_biased_overlap(a, b), whole)


@pytest.mark.parametrize(("width", "p"), [(0, 0.9), (2, 0.0), (2, 1.0)])
def test_bad_input_is_refused(width: int, p: float) -> None:
    with pytest.raises(UserError):
        rank_biased_overlap(torch.zeros(1, width, dtype=torch.long), torch.zeros(1, width, dtype=torch.long), p)
