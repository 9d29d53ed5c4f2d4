"""Exact search against full sorts in plain Python."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.index import ExactIndex, top_k
from tests.retrieval.conftest import naive_order, small_integers


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.usefixtures("tiny_chunks")
def test_search_matches_a_full_sort_over_all_paths(seed: int, dtype: torch.dtype) -> None:
    queries, documents = small_integers(7, 3, seed), small_integers(30 + seed, 3, seed + 50)
    index = ExactIndex(documents, dtype)
    for k in (1, 2, 5, 29, 1000):
        for rows in (slice(0, 7), slice(0, 1), slice(0, 0)):
            scores, found = index.search(queries[rows], k)
            # Products of small integers are exact in bfloat16 too; which of those that tie are found is open there.
            expected = [row[:k] for row in naive_order(queries[rows], documents)]
            wanted = [
                [float(q @ documents[row]) for row in order] for q, order in zip(queries[rows], expected, strict=True)
            ]
            assert scores.tolist() == wanted
            assert dtype == torch.bfloat16 or found.tolist() == expected


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 700), st.integers(1, 20), st.integers(0, 10_000))
def test_search_matches_a_full_sort(query_count: int, document_count: int, k: int, seed: int) -> None:
    queries, documents = small_integers(query_count, 3, seed), small_integers(document_count, 3, seed + 1)
    scores, rows = top_k(queries, documents, k)
    expected = [order[:k] for order in naive_order(queries, documents)]
    assert rows.tolist() == expected
    assert torch.equal(scores, (queries @ documents.T).gather(1, torch.tensor(expected)))


def test_bfloat16_finds_almost_all() -> None:
    generator = torch.Generator().manual_seed(6)
    normal = torch.nn.functional.normalize
    documents = normal(torch.randn(20_000, 64, generator=generator), dim=1)
    queries = normal(torch.randn(64, 64, generator=generator), dim=1)
    index = ExactIndex(documents, torch.bfloat16)
    (exact_scores, exact), (scores, rounded) = top_k(queries, documents, 10), index.search(queries, 10)
    found = (exact.unsqueeze(2) == rounded.unsqueeze(1)).any(dim=2).double().mean()
    assert float(found) > 0.98
    assert len(index) == 20_000
    # The documents are stored rounded, so that scores differ, but hardly.
    assert not torch.equal(scores, exact_scores)
    torch.testing.assert_close(scores, exact_scores, atol=2e-3, rtol=0)


def test_what_cannot_be_searched_is_refused() -> None:
    queries, documents = torch.ones(2, 3), torch.ones(4, 3)
    with pytest.raises(UserError, match="5 dimensions"):
        ExactIndex(torch.ones(4, 5)).search(queries, 1)
    with pytest.raises(UserError, match="k of at least 1"):
        top_k(queries, documents, 0)
    with pytest.raises(UserError, match="at least one document"):
        ExactIndex(torch.ones(0, 3))
    with pytest.raises(UserError, match="float32 or bfloat16"):
        ExactIndex(documents, torch.float16)
