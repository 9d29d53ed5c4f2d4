"""Components and splits, against scipy and plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from hr_retrieval.data.keys import hashes_of
from hr_retrieval.errors import UserError
from hr_retrieval.prepare.split import alone, count_leaks, draw_split, join

EDGES = st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=25)


@settings(max_examples=100, deadline=None)
@given(EDGES, st.integers(0, 25))
def test_components_match_scipy_also_when_joined_in_two_steps(edges: list[tuple[int, int]], cut: int) -> None:
    left, right = np.array(edges, np.int32).reshape(-1, 2).T
    roots = join(join(alone(15), left[:cut], right[:cut]), left[cut:], right[cut:])
    graph = sparse.coo_array((np.ones(len(left)), (left, right)), shape=(15, 15))
    _, labels = connected_components(graph, directed=False)
    expected = [np.flatnonzero(labels == label)[0] for label in labels]
    assert roots.tolist() == expected


def test_components_of_a_long_path_and_of_a_star() -> None:
    path = np.arange(999, dtype=np.int32)
    assert not join(alone(1000), path, path + 1).any()
    assert not join(alone(1000), path, np.full(999, 999, np.int32)).any()


def queries(sizes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    component = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    return component, hashes_of([f"query {number}" for number in range(len(component))])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=40, max_size=80), st.integers(0, 5))
def test_components_stay_whole_and_shares_are_kept(sizes: list[int], seed: int) -> None:
    component, keys = queries(sizes)
    split = draw_split(component, keys, 0.2, 0.1, seed)
    for number in range(len(sizes)):
        assert len(set(split[component == number].tolist())) == 1
    for number, share in ((1, 0.2), (2, 0.1)):
        room = round(share * len(component))
        # Under by less than the largest component, never over.
        assert room - 4 < (split == number).sum() <= room
    assert count_leaks(component, split) == 0


def test_the_seed_changes_the_split_and_the_order_of_rows_does_not() -> None:
    component, keys = queries([1] * 200)
    first = draw_split(component, keys, 0.1, 0.1, 1)
    assert np.array_equal(first, draw_split(component, keys, 0.1, 0.1, 1))
    assert not np.array_equal(first, draw_split(component, keys, 0.1, 0.1, 2))
    assert np.array_equal(first[::-1], draw_split(component, keys[::-1], 0.1, 0.1, 1))


def test_new_rows_move_few_old_ones() -> None:
    component, keys = queries([1] * 1100)
    before, after = (draw_split(component[:count], keys[:count], 0.1, 0.1, 1) for count in (1000, 1100))
    assert (before != after[:1000]).sum() < 30


def test_a_giant_component_trains() -> None:
    component, keys = queries([50] + [1] * 50)
    split = draw_split(component, keys, 0.2, 0.2, 1)
    assert not split[:50].any()
    assert [(split == number).sum() for number in (1, 2)] == [20, 20]


@pytest.mark.parametrize("sizes", [[10], [5, 5], [100, 1]])
def test_too_few_components(sizes: list[int]) -> None:
    with pytest.raises(UserError, match="separate groups"):
        draw_split(*queries(sizes), 0.1, 0.1, 1)


def test_a_share_of_none_needs_no_component() -> None:
    assert not draw_split(*queries([10]), 0.0, 0.0, 1).any()


@pytest.mark.parametrize("shares", [(-0.1, 0.1), (0.5, 0.5), (0.1, float("nan"))])
def test_impossible_shares(shares: tuple[float, float]) -> None:
    with pytest.raises(UserError, match="together below 1"):
        draw_split(*queries([1] * 9), *shares, 1)


def test_leaks_are_the_held_out_queries_of_torn_components() -> None:
    component = np.array([0, 0, 0, 1, 1, 2], np.int32)
    split = np.array([0, 1, 2, 1, 1, 2], np.int8)
    assert count_leaks(component, split) == 2
