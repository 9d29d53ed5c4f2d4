"""The guard against false negatives, against a loop over sets."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.data.guide import Guidance
from hr_retrieval.data.relevance import Guard

Array = npt.NDArray[np.int64]


@dataclass
class Tables:
    document_group: Array
    document_duplicate: Array
    query_group: Array
    positive_offsets: Array
    positive_documents: npt.NDArray[np.int32]


@st.composite
def tables(draw: st.DrawFn) -> Tables:
    documents, queries = draw(st.integers(1, 8)), draw(st.integers(1, 6))
    # Codes below 0 stand for "no group": unique to their row, as the prepared data set writes them.
    codes = st.integers(-1, 3)
    group = [
        code if code >= 0 else -1 - row
        for row, code in enumerate(draw(st.lists(codes, min_size=documents, max_size=documents)))
    ]
    duplicate = [
        code if code >= 0 else -1 - row
        for row, code in enumerate(draw(st.lists(codes, min_size=documents, max_size=documents)))
    ]
    query_group = [
        code if code >= 0 else -1 - documents - row
        for row, code in enumerate(draw(st.lists(codes, min_size=queries, max_size=queries)))
    ]
    positives = [sorted(draw(st.sets(st.integers(0, documents - 1), max_size=3))) for _ in range(queries)]
    offsets = np.cumsum([0, *map(len, positives)])
    flat = np.array([row for rows in positives for row in rows], dtype=np.int32)
    return Tables(np.array(group), np.array(duplicate), np.array(query_group), offsets, flat)


def naive(tables: Tables, query: int, document: int) -> bool:
    positives = tables.positive_documents[tables.positive_offsets[query] : tables.positive_offsets[query + 1]].tolist()
    if document in positives or tables.document_group[document] == tables.query_group[query]:
        return True
    return any(
        tables.document_group[document] == tables.document_group[positive]
        or tables.document_duplicate[document] == tables.document_duplicate[positive]
        for positive in positives
    )


@settings(max_examples=100, deadline=None)
@given(tables(), st.data())
def test_mask_and_lists_match_the_loop(tables: Tables, data: st.DataObject) -> None:
    guard = Guard(tables)
    queries = np.array(data.draw(st.lists(st.integers(0, len(tables.query_group) - 1), min_size=1, max_size=6)))
    documents = np.array(data.draw(st.lists(st.integers(0, len(tables.document_group) - 1), min_size=1, max_size=8)))
    expected = np.array([[naive(tables, query, document) for document in documents] for query in queries])
    assert (guard.mask(queries, documents) == expected).all()
    offsets, relevant = guard.relevant(queries, documents)
    rows = [relevant[begin:end].tolist() for begin, end in pairwise(offsets)]
    assert rows == [np.flatnonzero(row).tolist() for row in expected]


def cosine(first: list[float], second: list[float]) -> float:
    return sum(x * y for x, y in zip(first, second, strict=True))


@settings(max_examples=100, deadline=None)
@given(tables(), st.data(), st.sampled_from([0.0, 0.3, 1.9]))
def test_the_guide_takes_out_what_is_as_close_as_the_best_stated_positive(
    tables: Tables, data: st.DataObject, margin: float
) -> None:
    # Unit vectors of few directions, so that scores are equal often and never nearly so.
    directions = np.array([[1, 0], [0.6, 0.8], [0, 1], [-1, 0]], dtype=np.float16)
    sides = [
        directions[data.draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))]
        for size in (len(tables.query_group), len(tables.document_group))
    ]
    queries, documents = np.arange(len(sides[0])), np.arange(len(sides[1]))
    relevance, negative = Guard(tables, Guidance(sides[0], sides[1], margin)).judge(queries, documents)
    assert (relevance == Guard(tables).mask(queries, documents)).all()
    for query in queries:
        vectors = sides[1].astype(float).tolist()
        own = sides[0][query].astype(float).tolist()
        stated = tables.positive_documents[tables.positive_offsets[query] : tables.positive_offsets[query + 1]]
        best = max((cosine(own, vectors[positive]) for positive in stated), default=float("inf"))
        for document in documents:
            near = cosine(own, vectors[document]) >= best - margin - 1e-3
            assert negative[query, document] == (not naive(tables, int(query), int(document)) and not near)


@settings(max_examples=30, deadline=None)
@given(tables())
def test_without_a_guide_all_others_are_negatives(tables: Tables) -> None:
    queries, documents = np.arange(len(tables.query_group)), np.arange(len(tables.document_group))
    relevance, negative = Guard(tables).judge(queries, documents)
    assert (negative == ~relevance).all()
