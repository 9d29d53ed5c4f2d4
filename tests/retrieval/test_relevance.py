"""Tests of which documents are relevant to which queries."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.relevance import Relevance


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sets(st.integers(0, 8)), min_size=1, max_size=6))
def test_transpose_turns_pairs_round(lists: list[set[int]]) -> None:
    plain = Relevance.from_lists([list(rows) for rows in lists])
    # A grade that tells the pair.
    relevance = Relevance(plain.offsets, plain.documents, None, 1 + plain.owners * 9 + plain.documents)
    other = relevance.transpose(9)
    assert other.grades is not None
    assert other.grades.tolist() == (1 + other.documents * 9 + other.owners).tolist()
    pairs = {(query, document) for query, rows in enumerate(lists) for document in rows}
    assert {(q, d) for d, q in zip(other.owners.tolist(), other.documents.tolist(), strict=True)} == pairs
    assert len(relevance) == len(lists)
    assert relevance.counts.tolist() == [len(rows) for rows in lists]
    back = other.transpose(len(lists))
    assert torch.equal(back.offsets, relevance.offsets)
    assert torch.equal(back.documents, relevance.documents)
    assert back.grades is not None
    assert relevance.grades is not None
    assert torch.equal(back.grades, relevance.grades)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sets(st.integers(0, 8)), min_size=1, max_size=6), st.data())
def test_some_queries_keep_what_is_theirs(lists: list[set[int]], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=5))
    left_out = Relevance.from_lists([sorted(set(range(9)) - own)[:2] for own in lists])
    whole = Relevance.from_lists([sorted(own) for own in lists])
    taken = Relevance(whole.offsets, whole.documents, left_out, whole.documents + 1).take(
        torch.tensor(rows, dtype=torch.long)
    )
    assert taken.grades is not None
    assert taken.grades.equal(taken.documents + 1)
    assert [own.tolist() for own in taken.documents.split(taken.counts.tolist())] == [
        sorted(lists[row]) for row in rows
    ]
    assert taken.left_out is not None
    kept = [sorted(set(range(9)) - lists[row])[:2] for row in rows]
    assert [own.tolist() for own in taken.left_out.documents.split(taken.left_out.counts.tolist())] == kept


@pytest.mark.parametrize(
    ("offsets", "documents"),
    [
        ([0, 2, 1, 3], [0, 1, 2]),
        ([1, 3], [0, 1, 2]),
        ([0, 2], [0, 1, 2]),
        ([0, 3], [0, 2, 1]),
        ([0, 2], [1, 1]),
        ([0, 1], [-1]),
        ([], []),
    ],
)
def test_broken_relevance_is_refused(offsets: list[int], documents: list[int]) -> None:
    with pytest.raises(UserError, match="Build the relevance"):
        Relevance(torch.tensor(offsets, dtype=torch.long), torch.tensor(documents, dtype=torch.long))


def test_broken_grades_are_refused() -> None:
    plain = Relevance.from_lists([[0], [1]])
    with pytest.raises(UserError, match="2 grades of at least 1"):
        Relevance(plain.offsets, plain.documents, None, torch.tensor([1, 0]))
