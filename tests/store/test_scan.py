"""The exactly best documents: those of a loop over all passages, in any order."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.store.scan import best_by_scan


@settings(max_examples=80, deadline=None)
@given(
    owners=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=40),
    size=st.integers(1, 9),
    k=st.integers(1, 9),
    seed=st.integers(0, 99),
)
@pytest.mark.parametrize("pooled", ["max", "mean"])
def test_the_best_are_those_of_a_loop(owners: list[str], size: int, k: int, seed: int, pooled: str) -> None:
    random = np.random.default_rng(seed)
    # Whole numbers: equal scores are common, and sums are exact.
    vectors = random.integers(-2, 3, (len(owners), 3)).astype(np.float32)
    queries = random.integers(-2, 3, (2, 3)).astype(np.float32)
    blocks = ((owners[begin : begin + size], vectors[begin : begin + size]) for begin in range(0, len(owners), size))
    expected = []
    for query in queries:
        scores = {
            own: [float(query @ vector) for vector, name in zip(vectors, owners, strict=True) if name == own]
            for own in set(owners)
        }
        value = {
            own: max(values) if pooled == "max" else np.float32(sum(values)) / len(values)
            for own, values in scores.items()
        }
        expected.append(set(sorted(value, key=lambda own: (-np.float32(value[own]), own))[:k]))
    assert best_by_scan(blocks, torch.from_numpy(queries), len(set(owners)), k, pooled) == expected


def test_of_an_empty_index_nothing_is_best() -> None:
    assert best_by_scan(iter(()), torch.ones(2, 3), 0, 5, "max") == [set(), set()]
