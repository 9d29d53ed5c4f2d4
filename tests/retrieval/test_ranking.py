"""Exact ranks against full sorts in plain Python."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.index import top_k
from hr_retrieval.retrieval.ranking import exact_ranking, exact_ranks, ranking_by_scores
from hr_retrieval.retrieval.relevance import Relevance
from tests.retrieval.conftest import naive_order, naive_ranks, small_integers


def random_relevance(queries: int, documents: int, seed: int, most: int) -> Relevance:
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.randint(0, min(most, documents) + 1, (queries,), generator=generator).tolist()
    return Relevance.from_lists([torch.randperm(documents, generator=generator)[:size].tolist() for size in sizes])


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("most", [1, 3, 30])
@pytest.mark.usefixtures("tiny_chunks")
def test_ranks_match_a_full_sort_over_all_paths(seed: int, most: int) -> None:
    queries, documents = small_integers(10, 3, seed), small_integers(20 + seed, 3, seed + 100)
    relevance = random_relevance(10, len(documents), seed, most)
    assert exact_ranks(queries, documents, relevance).tolist() == naive_ranks(queries, documents, relevance)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 40), st.integers(0, 10_000), st.integers(1, 40))
def test_ranks_match_a_full_sort(query_count: int, document_count: int, seed: int, most: int) -> None:
    queries, documents = small_integers(query_count, 4, seed), small_integers(document_count, 4, seed + 1)
    relevance = random_relevance(query_count, document_count, seed, most)
    ranks = exact_ranks(queries, documents, relevance)
    assert ranks.tolist() == naive_ranks(queries, documents, relevance)
    assert all(1 <= rank <= document_count for rank in ranks.tolist())
    for begin, end in zip(relevance.offsets.tolist(), relevance.offsets.tolist()[1:], strict=False):
        assert len(set(ranks[begin:end].tolist())) == end - begin


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(2, 30), st.integers(0, 10_000))
def test_what_is_left_out_counts_for_nothing(query_count: int, document_count: int, seed: int) -> None:
    queries, documents = small_integers(query_count, 4, seed), small_integers(document_count, 4, seed + 1)
    drawn = random_relevance(query_count, document_count, seed, 4)
    others = random_relevance(query_count, document_count, seed + 2, 4)
    right = [set(drawn.pairs(torch.tensor([query]))[1].tolist()) for query in range(query_count)]
    out = [set(others.pairs(torch.tensor([query]))[1].tolist()) - right[query] for query in range(query_count)]
    relevance = Relevance(drawn.offsets, drawn.documents, Relevance.from_lists([sorted(rows) for rows in out]))
    found = exact_ranking(queries, documents, relevance, document_count)
    whole = naive_order(queries, documents)
    order = [[row for row in rows if row not in out[query]] for query, rows in enumerate(whole)]
    pairs = zip(relevance.owners.tolist(), relevance.documents.tolist(), strict=True)
    assert found.ranks.tolist() == [order[query].index(document) + 1 for query, document in pairs]
    for query in range(query_count):
        expected = order[query] if right[query] else []
        assert found.rows[query].tolist() == expected + [-1] * (document_count - len(expected))
    other_direction = exact_ranks(documents, queries, relevance.transpose(document_count))
    ranked = naive_order(documents, queries)
    left = [[query for query in rows if document not in out[query]] for document, rows in enumerate(ranked)]
    transposed = relevance.transpose(document_count)
    pairs = zip(transposed.owners.tolist(), transposed.documents.tolist(), strict=True)
    assert other_direction.tolist() == [left[document].index(query) + 1 for document, query in pairs]


def test_hundreds_of_relevant_documents() -> None:
    queries, documents = torch.randn(3, 8), torch.randn(5000, 8)
    relevance = Relevance.from_lists([range(0, 5000, 2), [4999], []])
    expected = (queries @ documents.T).argsort(dim=1, descending=True, stable=True).argsort(dim=1) + 1
    assert (
        exact_ranks(queries, documents, relevance).tolist() == expected[relevance.owners, relevance.documents].tolist()
    )


@pytest.mark.parametrize("count", [5, 50])
def test_zero_vectors_are_ranked_by_row(count: int) -> None:
    relevance = Relevance.from_lists([range(count), [count - 1]])
    ranks = exact_ranks(torch.zeros(2, 3), torch.randn(count, 3), relevance)
    assert ranks.tolist() == [*range(1, count + 1), count]


@pytest.mark.parametrize("count", [1, 2, 7, 300])
@pytest.mark.parametrize("documents", [3, 17, 1001, 4097, 9001])
def test_copies_of_a_document_tie_wherever_they_stand(count: int, documents: int) -> None:
    generator = torch.Generator().manual_seed(count * documents)
    queries = torch.randn(count, 48, generator=generator)
    copies = torch.randn(1, 48, generator=generator).repeat(documents, 1)
    last = Relevance.from_lists([[documents - 1]] * count)
    assert exact_ranks(queries, copies, last).tolist() == [documents] * count
    assert top_k(queries, copies, 3)[1].tolist() == [[0, 1, 2]] * count


def test_permuting_documents_permutes_ranks_without_ties() -> None:
    generator = torch.Generator().manual_seed(3)
    queries, documents = torch.randn(20, 16, generator=generator), torch.randn(100, 16, generator=generator)
    order = torch.randperm(100, generator=generator)
    every = Relevance.from_lists([range(100)] * 20)
    ranks = exact_ranks(queries, documents, every).view(20, 100)
    assert torch.equal(exact_ranks(queries, documents[order], every).view(20, 100), ranks[:, order])


def test_ranks_of_half_precision_embeddings_and_of_trained_ones() -> None:
    queries, documents = small_integers(4, 3, 1), small_integers(9, 3, 2)
    relevance = Relevance.from_lists([[0], [1, 8], [], [4]])
    expected = naive_ranks(queries, documents, relevance)
    assert exact_ranks(queries.bfloat16(), documents.bfloat16(), relevance).tolist() == expected
    ranks = exact_ranks(queries.requires_grad_(), documents.requires_grad_(), relevance)
    assert ranks.tolist() == expected
    assert top_k(queries, documents, 2)[1].tolist() == [row[:2] for row in naive_order(queries, documents)]


def test_ranks_and_search_are_in_float32_under_autocast_and_reduced_precision() -> None:
    generator = torch.Generator().manual_seed(0)
    queries, documents = torch.randn(40, 64, generator=generator), torch.randn(500, 64, generator=generator)
    relevance = Relevance.from_lists([[row] for row in range(40)])
    expected, found = exact_ranks(queries, documents, relevance), top_k(queries, documents, 20)
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(exact_ranks(queries, documents, relevance), expected)
            assert torch.equal(top_k(queries, documents, 20)[1], found[1])
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_search_agrees_with_ranks() -> None:
    generator = torch.Generator().manual_seed(5)
    queries, documents = torch.randn(30, 24, generator=generator), torch.randn(9000, 24, generator=generator)
    rows = top_k(queries, documents, 10)[1]
    ranks = exact_ranks(queries, documents, Relevance.from_lists(rows.tolist()))
    assert ranks.view(30, 10).sort(dim=1).values.tolist() == [list(range(1, 11))] * 30


def test_no_relevant_document_at_all_and_no_query() -> None:
    none = Relevance.from_lists([[], []])
    assert exact_ranks(torch.randn(2, 3), torch.randn(4, 3), none).tolist() == []
    assert exact_ranks(torch.randn(0, 3), torch.randn(4, 3), Relevance.from_lists([])).tolist() == []
    assert none.to("cpu").transpose(4).counts.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_embeddings_that_are_not_finite_are_refused(value: float) -> None:
    good, bad = torch.ones(4, 3), torch.ones(4, 3)
    bad[2, 1] = value
    relevance = Relevance.from_lists([[0]] * 4)
    for queries, documents, kind in ((good, bad, "document"), (bad, good, "query")):
        with pytest.raises(UserError, match=f"1 {kind} embeddings, first in row 2"):
            exact_ranks(queries, documents, relevance)
        with pytest.raises(UserError, match=f"1 {kind} embeddings, first in row 2"):
            top_k(queries, documents, 1)


def test_arguments_that_do_not_fit_are_refused() -> None:
    queries, documents = torch.ones(2, 3), torch.ones(4, 3)
    with pytest.raises(UserError, match="relevance for 2 queries"):
        exact_ranks(queries, documents, Relevance.from_lists([[0]]))
    with pytest.raises(UserError, match="rows below 4"):
        exact_ranks(queries, documents, Relevance.from_lists([[0], [4]]))
    with pytest.raises(UserError, match="fit float32"):
        exact_ranks(queries * 1e30, documents * 1e30, Relevance.from_lists([[0], [3]]))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("most", [1, 3, 30])
@pytest.mark.parametrize("k", [1, 4, 50])
@pytest.mark.usefixtures("tiny_chunks")
def test_a_ranking_holds_ranks_and_best_documents_of_the_same_order(seed: int, most: int, k: int) -> None:
    queries, documents = small_integers(10, 3, seed), small_integers(20 + seed, 3, seed + 100)
    relevance = random_relevance(10, len(documents), seed, most)
    scores = queries @ documents.T
    order = naive_order(queries, documents)
    for found in (
        exact_ranking(queries, documents, relevance, k),
        ranking_by_scores(lambda rows: scores[rows], relevance, len(documents), k),
    ):
        assert found.ranks.tolist() == naive_ranks(queries, documents, relevance)
        for query, count in enumerate(relevance.counts.tolist()):
            best = order[query][:k]
            rows = best if count else [-1] * len(best)
            assert found.rows[query].tolist() == rows
            expected = scores[query, best] if count else torch.full((len(best),), -torch.inf)
            assert torch.equal(found.scores[query], expected)


def test_scores_that_are_not_finite_and_a_depth_of_nothing_are_refused() -> None:
    relevance = Relevance.from_lists([[1], [0]])
    scores = torch.tensor([[0.0, 1.0], [torch.nan, 1.0]])
    with pytest.raises(UserError, match="finite scores"):
        ranking_by_scores(lambda rows: scores[rows], relevance, 2, 1)
    with pytest.raises(UserError, match="k of at least 1"):
        ranking_by_scores(lambda rows: scores[rows], relevance, 2, 0)
    with pytest.raises(UserError, match="document rows below 1"):
        ranking_by_scores(lambda rows: scores[rows], relevance, 1, 1)
    with pytest.raises(UserError, match="k of at least 1"):
        exact_ranking(torch.eye(2), torch.eye(2), relevance, 0)
