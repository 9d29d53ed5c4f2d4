"""Exact search against full sorts in plain Python."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.index import ExactIndex, top_k
from tests.retrieval.conftest import naive_order, small_integers


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.usefixtures("tiny_chunks")
def test_search_matches_a_full_sort_over_all_paths(seed: int) -> None:
    queries, documents = small_integers(7, 3, seed), small_integers(30 + seed, 3, seed + 50)
    index = ExactIndex(documents)
    for k in (1, 2, 5, 29, 1000):
        for rows in (slice(0, 7), slice(0, 1), slice(0, 0)):
            scores, found = index.search(queries[rows], k)
            expected = [row[:k] for row in naive_order(queries[rows], documents)]
            wanted = [
                [float(q @ documents[row]) for row in order] for q, order in zip(queries[rows], expected, strict=True)
            ]
            assert scores.tolist() == wanted
            assert found.tolist() == expected


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 700), st.integers(1, 20), st.integers(0, 10_000))
def test_search_matches_a_full_sort(query_count: int, document_count: int, k: int, seed: int) -> None:
    queries, documents = small_integers(query_count, 3, seed), small_integers(document_count, 3, seed + 1)
    scores, rows = top_k(queries, documents, k)
    expected = [order[:k] for order in naive_order(queries, documents)]
    assert rows.tolist() == expected
    assert torch.equal(scores, (queries @ documents.T).gather(1, torch.tensor(expected)))


def test_what_cannot_be_searched_is_refused() -> None:
    queries, documents = torch.ones(2, 3), torch.ones(4, 3)
    with pytest.raises(UserError, match="5 dimensions"):
        ExactIndex(torch.ones(4, 5)).search(queries, 1)
    with pytest.raises(UserError, match="k of at least 1"):
        top_k(queries, documents, 0)
    with pytest.raises(UserError, match="at least one document"):
        ExactIndex(torch.ones(0, 3))
