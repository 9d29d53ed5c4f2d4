"""Score grids and the best of them, against full sorts in plain Python."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.grid import as_grid, best_of_grid, best_of_rows, chunked, score_grid, scores_at
from tests.retrieval.conftest import naive_order, small_integers


def in_rows(grid: Tensor, count: int) -> Tensor:
    return grid.transpose(0, 1).flatten(1)[:, :count]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-2, 2), min_size=1, max_size=30), st.integers(1, 30))
def test_the_best_of_a_row_come_in_order_and_equal_ones_by_place(scores: list[int], k: int) -> None:
    k = min(k, len(scores))
    best, at = best_of_rows(torch.tensor([scores, scores[::-1]]).float(), k)
    for row, found, places in zip((scores, scores[::-1]), best.tolist(), at.tolist(), strict=True):
        assert places == sorted(range(len(row)), key=lambda place: (-row[place], place))[:k]
        assert found == [row[place] for place in places]


@pytest.mark.parametrize("count", [1, 63, 64, 4096, 4097, 9000])
def test_a_grid_has_every_score_once_and_padding_never_wins(count: int) -> None:
    queries, documents = small_integers(3, 4, 1), small_integers(count, 4, 2)
    grid = score_grid(queries, chunked(documents), count)
    expected = queries @ documents.T
    assert torch.equal(in_rows(grid, count), expected)
    assert torch.equal(in_rows(as_grid(expected), count), expected)
    assert bool((grid.transpose(0, 1).flatten(1)[:, count:] == -torch.inf).all())
    rows = torch.tensor([[0, count - 1]] * 3)
    assert torch.equal(scores_at(grid, rows), expected.gather(1, rows))
    for k in {1, min(5, count), min(100, count)}:
        order = [row[:k] for row in naive_order(queries, documents)]
        best, at = best_of_grid(grid, k)
        assert at.tolist() == order
        assert torch.equal(best, expected.gather(1, at))


def test_given_scores_must_be_finite() -> None:
    with pytest.raises(UserError, match="finite scores"):
        as_grid(torch.tensor([[0.0, torch.inf]]))
