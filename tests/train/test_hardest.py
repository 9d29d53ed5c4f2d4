"""The hardest allowed documents of a query, against a loop."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.data.guard import Guard
from hr_retrieval.data.guidance import Guidance
from hr_retrieval.data.negatives import MiningOptions
from hr_retrieval.retrieval.index import ExactIndex
from hr_retrieval.train.hardest import Hardest, hardest_allowed
from tests.data.test_guard import Tables
from tests.data.test_guard import naive as kind


def drawn_tables(generator: np.random.Generator, queries: int, documents: int) -> Tables:
    """Each query with one to three positives; a few groups and duplicates."""
    positives = [
        set(generator.choice(documents, generator.integers(1, 4), replace=False).tolist()) for _ in range(queries)
    ]
    groups = [f"g{number}" for number in generator.integers(0, documents, documents + queries)]
    return Tables(
        list(groups[:documents]),
        generator.integers(0, documents, documents).tolist(),
        [f"d{row}" for row in range(documents)],
        list(groups[documents:]),
        [f"q{row}" for row in range(queries)],
        positives,
        [set(generator.choice(documents, 1).tolist()) - own for own in positives],
    )


def naive(
    tables: Tables,
    candidates: list[int],
    embeddings: list[list[int]],
    query: list[int],
    row: int,
    options: MiningOptions,
) -> list[tuple[int, int, float, float]]:
    """Document, rank, score and the positive's score of one query's hardest allowed negatives, by loops.

    `embeddings` are those of the candidates.
    """
    score = {
        document: float(sum(a * b for a, b in zip(query, vector, strict=True)))
        for document, vector in zip(candidates, embeddings, strict=True)
    }
    best = max(score[document] for document in tables.positives[row])
    kept: list[tuple[int, int, float, float]] = []
    rank = 0
    for document in sorted(score, key=lambda document: (-score[document], document))[: options.depth]:
        if kind(tables, row, document) not in ("negative", "nothing stated"):
            continue
        rank += 1
        if rank <= options.skip or len(kept) == options.per_query:
            continue
        share = options.positive_share
        if share is None or score[document] < best - (1 - share) * abs(best):
            kept.append((document, rank, score[document], best))
    return kept


def listed(found: Hardest) -> list[tuple[int, int, int, float, float]]:
    columns = (found.query_rows, found.document_rows, found.ranks, found.scores, found.positive_scores)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    depth=st.integers(1, 40),
    skip=st.integers(0, 3),
    share=st.sampled_from([None, 0.5, 0.95, 1.0]),
)
def test_the_hardest_are_those_of_a_loop_with_ties_guard_and_positives_below_zero(
    seed: int, depth: int, skip: int, share: float | None
) -> None:
    """Small whole numbers: many ties, and scores without rounding."""
    generator = np.random.default_rng(seed)
    tables = drawn_tables(generator, 6, 30)
    claimed = set(tables.positive_documents.tolist())
    candidates = np.array(sorted(claimed | set(generator.choice(30, 12).tolist())), np.int64)
    documents, queries = generator.integers(-2, 3, (len(candidates), 3)), generator.integers(-2, 3, (6, 3))
    options = MiningOptions(depth + skip, min(depth, 4), share, skip)
    rows = np.array([0, 2, 3, 5])
    index = ExactIndex(torch.from_numpy(documents).float())
    found = hardest_allowed(index, candidates, torch.from_numpy(queries[rows]).float(), rows, Guard(tables), options)
    expected = [
        (row, *kept)
        for row in rows.tolist()
        for kept in naive(tables, candidates.tolist(), documents.tolist(), queries[row].tolist(), row, options)
    ]
    assert listed(found) == expected


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.1, 1.0), skip=st.integers(0, 5))
def test_never_relevant_never_too_close_always_sorted(seed: int, share: float, skip: int) -> None:
    generator = np.random.default_rng(seed)
    tables = drawn_tables(generator, 10, 50)
    guard, rows, candidates = Guard(tables), np.arange(10), np.arange(50)
    documents, queries = (torch.from_numpy(generator.standard_normal((n, 4))).float() for n in (50, 10))
    options = MiningOptions(30, 5, share, skip)
    found = hardest_allowed(ExactIndex(documents), candidates, queries, rows, guard, options)
    _, negative = guard.judge(rows, candidates)
    assert negative[found.query_rows, found.document_rows].all()
    positive = found.positive_scores.astype(np.float64)
    assert (found.scores < positive - (1 - share) * np.abs(positive)).all()
    assert (found.ranks > skip).all()
    order = np.lexsort((-found.scores, found.query_rows))
    assert (order == np.arange(len(order))).all()
    assert np.bincount(found.query_rows, minlength=10).max() <= 5
    assert found.looked_at == 10 * 30
    assert found.relevant + found.close + len(found.scores) <= found.looked_at


def test_what_a_guide_finds_as_close_as_the_positive_is_not_mined() -> None:
    generator = np.random.default_rng(0)
    documents, queries = (
        values / np.linalg.norm(values, axis=1, keepdims=True)
        for values in (generator.normal(size=(20, 8)), generator.normal(size=(5, 8)))
    )
    tables, rows = drawn_tables(generator, 5, 20), np.arange(5)
    index, options = ExactIndex(torch.from_numpy(documents).float()), MiningOptions(depth=20, positive_share=None)
    candidates = np.arange(20)

    def mined_by(guard: Guard) -> set[tuple[int, int]]:
        found = hardest_allowed(index, candidates, torch.from_numpy(queries).float(), rows, guard, options)
        return set(zip(found.query_rows.tolist(), found.document_rows.tolist(), strict=True))

    guidance = Guidance(queries.astype(np.float16), documents.astype(np.float16), margin=0.4)
    guided = Guard(tables, guidance)
    _, negative = guided.judge(rows, candidates)
    plain = mined_by(Guard(tables))
    assert mined_by(guided) != plain
    assert all(negative[query, document] for query, document in mined_by(guided))
