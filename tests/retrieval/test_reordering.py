"""Ranks behind a second stage against sorted lists."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.ranking import exact_ranking
from hr_retrieval.retrieval.relevance import Relevance
from hr_retrieval.retrieval.reordering import reordered
from tests.retrieval.conftest import small_integers

RELEVANCE = Relevance.from_lists([[0, 7, 9], [3], [], [1, 5]])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(0, 99))
def test_ranks_are_those_of_a_sorted_list(depth: int, seed: int) -> None:
    left_out = Relevance.from_lists([[2], [], [], [0]])
    relevance = Relevance(RELEVANCE.offsets, RELEVANCE.documents, left_out)
    queries, documents = small_integers(4, 3, seed), small_integers(12, 3, seed + 1)
    first = exact_ranking(queries, documents, relevance, 12)
    scores = torch.randint(0, 3, (4, depth), generator=torch.Generator().manual_seed(seed)).float()
    expected = []
    for query, document in zip(relevance.owners.tolist(), relevance.documents.tolist(), strict=True):
        order = [row for row in first.rows[query].tolist() if row >= 0]
        best = sorted(range(min(depth, len(order))), key=lambda place, query=query: (-scores[query, place], place))
        expected.append([*(order[place] for place in best), *order[depth:]].index(document) + 1)
    assert reordered(first, relevance, scores).tolist() == expected


def test_a_second_stage_of_one_mind_changes_nothing() -> None:
    queries, documents = small_integers(4, 3, 0), small_integers(12, 3, 1)
    first = exact_ranking(queries, documents, RELEVANCE, 12)
    assert torch.equal(reordered(first, RELEVANCE, torch.zeros(4, 8)), first.ranks)
    assert torch.equal(reordered(first, RELEVANCE, first.scores[:, :8]), first.ranks)


def test_more_documents_than_were_found_are_refused() -> None:
    first = exact_ranking(small_integers(4, 3, 0), small_integers(12, 3, 1), RELEVANCE, 5)
    with pytest.raises(UserError, match="the best 6 documents of each query; got 5"):
        reordered(first, RELEVANCE, torch.zeros(4, 6))
