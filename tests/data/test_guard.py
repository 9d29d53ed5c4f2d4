"""The guard against false negatives, against a loop over sets."""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.data.guard import Guard
from hr_retrieval.data.guidance import Guidance
from hr_retrieval.errors import UserError

Array = npt.NDArray[np.int64]


@dataclass
class Tables:
    """A prepared data set as its arrays, from what it states in plain lists."""

    groups: list[str | None]
    duplicates: list[int]
    texts: list[str]
    query_groups: list[str | None]
    query_texts: list[str]
    positives: list[set[int]]
    negatives: list[set[int]]

    def __post_init__(self) -> None:
        names = sorted({group for group in (*self.groups, *self.query_groups) if group})
        distinct = list(dict.fromkeys(self.query_texts))
        self.query_text = np.array([distinct.index(text) for text in self.query_texts], np.int32)
        self.document_text = np.array(
            [distinct.index(text) if text in distinct else -1 for text in self.texts], np.int32
        )
        self.document_duplicate = np.array(self.duplicates)
        self.query_group = np.array(
            [
                names.index(group) if group else -1 - int(text)
                for group, text in zip(self.query_groups, self.query_text, strict=True)
            ]
        )
        of = [{names.index(group)} if group else set() for group in self.groups]
        for query, positives in enumerate(self.positives):
            for document in positives:
                of[document].add(int(self.query_group[query]))
        self.group_offsets, self.document_groups = csr([sorted(groups) for groups in of])
        self.text_offsets, text_queries = csr(
            [[row for row, own in enumerate(self.query_texts) if own == text] for text in distinct]
        )
        self.text_queries = text_queries.astype(np.int32)
        self.positive_offsets, positive_documents = csr([sorted(rows) for rows in self.positives])
        self.negative_offsets, negative_documents = csr([sorted(rows) for rows in self.negatives])
        self.positive_documents = positive_documents.astype(np.int32)
        self.negative_documents = negative_documents.astype(np.int32)
        self.positive_grades = np.ones(len(positive_documents), np.int8)
        self.positive_weights = np.ones(len(positive_documents), np.float32)


def csr(lists: list[list[int]]) -> tuple[Array, Array]:
    return np.cumsum([0, *map(len, lists)]), np.array([row for rows in lists for row in rows], dtype=np.int64)


@st.composite
def tables(draw: st.DrawFn) -> Tables:
    documents, queries = draw(st.integers(1, 8)), draw(st.integers(1, 6))
    groups = st.sampled_from([None, None, "a", "b"])

    def several(values: st.SearchStrategy[Any], size: int) -> list[Any]:
        return draw(st.lists(values, min_size=size, max_size=size))

    positives = several(st.sets(st.integers(0, documents - 1), max_size=3), queries)
    negatives = [
        rows - own
        for rows, own in zip(
            several(st.sets(st.integers(0, documents - 1), max_size=2), queries), positives, strict=True
        )
    ]
    return Tables(
        several(groups, documents),
        several(st.integers(0, 5), documents),
        several(st.sampled_from("vwxyz"), documents),
        several(groups, queries),
        several(st.sampled_from("xyz12"), queries),
        positives,
        negatives,
    )


def naive(tables: Tables, query: int, document: int) -> str:
    """What a query and a document are to each other, rule by rule."""
    if tables.texts[document] == tables.query_texts[query]:
        return "own text"
    if document in tables.positives[query]:
        return "relevant"
    twins = [row for row, text in enumerate(tables.query_texts) if text == tables.query_texts[query]]
    positives = set().union(*(tables.positives[twin] for twin in twins))
    negatives = set().union(*(tables.negatives[twin] for twin in twins))

    def is_one_of(rows: set[int]) -> bool:
        return any(tables.duplicates[document] == tables.duplicates[row] for row in rows)

    def groups_of(row: int) -> set[Any]:
        stated = {tables.groups[row]} - {None}
        # A query without a group is in a group of its text.
        return stated | {
            tables.query_groups[asking] or (tables.query_texts[asking],)
            for asking, rows in enumerate(tables.positives)
            if row in rows
        }

    if document in tables.negatives[query] or is_one_of(negatives):
        return "negative"
    own_groups = {tables.query_groups[twin] for twin in twins} - {None}
    if is_one_of(positives) or groups_of(document) & own_groups:
        return "relevant"
    if any(groups_of(document) & groups_of(positive) for positive in positives):
        return "likely"
    return "nothing stated"


@settings(max_examples=200, deadline=None)
@given(tables(), st.data())
def test_judgements_match_the_rules_one_by_one(tables: Tables, data: st.DataObject) -> None:
    guard = Guard(tables)
    queries = np.array(data.draw(st.lists(st.integers(0, len(tables.query_texts) - 1), min_size=1, max_size=6)))
    documents = np.array(data.draw(st.lists(st.integers(0, len(tables.texts) - 1), min_size=1, max_size=8)))
    expected = np.array([[naive(tables, query, document) for document in documents] for query in queries])
    relevance, negative = guard.judge(queries, documents)
    assert (relevance == (expected == "relevant")).all()
    assert (negative == np.isin(expected, ["negative", "nothing stated"])).all()
    for found, kind in (
        (guard.relevant(queries, documents), "relevant"),
        (guard.own_text(queries, documents), "own text"),
    ):
        rows = [found[1][begin:end].tolist() for begin, end in pairwise(found[0])]
        assert rows == [np.flatnonzero(row).tolist() for row in expected == kind]


@settings(max_examples=50, deadline=None)
@given(tables())
def test_an_identical_text_counts_where_it_is_asked_for(tables: Tables) -> None:
    queries, documents = np.arange(len(tables.query_texts)), np.arange(len(tables.texts))
    relevance, negative = Guard(tables, identical_text="count").judge(queries, documents)
    ignored, ignored_negative = Guard(tables).judge(queries, documents)
    same = np.array([[text == own for text in tables.texts] for own in tables.query_texts])
    assert (ignored == (relevance & ~same)).all()
    assert (ignored_negative == (negative & ~same)).all()
    assert relevance[same].sum() == sum(
        naive(replace_texts(tables), query, document) == "relevant"
        for query, document in zip(*same.nonzero(), strict=True)
    )
    with pytest.raises(UserError, match="identical_text to be ignore or count"):
        Guard(tables, identical_text="keep")


def replace_texts(tables: Tables) -> Tables:
    """The same without a document that has a query's text."""
    return replace(tables, texts=["?"] * len(tables.texts))


def test_a_document_of_many_groups_says_nothing_of_what_is_likely() -> None:
    # Document 0 answers every query, as a common skill does; document q + 1 answers query q alone.
    for queries, likely in ((8, True), (9, False)):
        data = Tables(
            [None] * (queries + 1),
            list(range(queries + 1)),
            ["d"] * (queries + 1),
            [None] * queries,
            [f"q{row}" for row in range(queries)],
            [{0, row + 1} for row in range(queries)],
            [set()] * queries,
        )
        _, negative = Guard(data).judge(np.array([0]), np.arange(queries + 1))
        assert negative[0, 2:].all() == (not likely)
        assert not negative[0, :2].any()


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
        for size in (len(tables.query_texts), len(tables.texts))
    ]
    queries, documents = np.arange(len(sides[0])), np.arange(len(sides[1]))
    relevance, negative = Guard(tables, Guidance(sides[0], sides[1], margin)).judge(queries, documents)
    assert (relevance == Guard(tables).judge(queries, documents)[0]).all()
    for query in queries:
        vectors = sides[1].astype(float).tolist()
        own = sides[0][query].astype(float).tolist()
        twins = [row for row, text in enumerate(tables.query_texts) if text == tables.query_texts[query]]
        stated = set().union(*(tables.positives[twin] for twin in twins))
        best = max((cosine(own, vectors[positive]) for positive in stated), default=float("inf"))
        for document in documents:
            near = cosine(own, vectors[document]) >= best - margin - 1e-3
            kind = naive(tables, int(query), int(document))
            assert negative[query, document] == (kind == "negative" or (kind == "nothing stated" and not near))


@settings(max_examples=50, deadline=None)
@given(tables())
def test_duplicates_alone_have_one_identity(tables: Tables) -> None:
    rows = np.arange(len(tables.texts))[::-1]
    found = Guard(tables).identities(rows)
    same = [[tables.duplicates[one] == tables.duplicates[other] for other in rows] for one in rows]
    assert (found[:, None] == found[None]).tolist() == same
