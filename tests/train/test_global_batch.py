"""What one step compares, of one process; `test_distributed.py` has two."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.data.batch import Batch
from hr_retrieval.data.guard import Guard
from hr_retrieval.encoder.ragged import Ragged
from hr_retrieval.train.global_batch import GlobalBatch, beyond, distinct, gathered
from tests.data.test_guard import Tables

# Documents 0 and 3 are duplicates. Query 0 has document 0, query 1 document 1 and the stated
# negative 2. Documents 4 and 5 are of the group of document 1: likely answers of query 1.
GUARD = Guard(
    Tables([None, "a", None, None, "a", "a"], [0, 1, 2, 0, 4, 5], list("stuvwx"), [None, None], ["p", "q"], [{0}, {1}], [set(), {2}])
)  # fmt: skip
EMBEDDINGS = F.normalize(torch.randn(6, 4, generator=torch.Generator().manual_seed(1)), dim=1)


def whole(*documents: int) -> GlobalBatch:
    """Both queries with their positives and further documents."""
    queries, rows = np.array([0, 1]), np.array([0, 1, *documents])
    relevance, negative = map(torch.from_numpy, GUARD.judge(queries, rows))
    tokens = Ragged.from_lists([[1]] * len(rows))
    batch = Batch(
        tokens.take(torch.arange(2)),
        tokens,
        relevance,
        negative,
        negative,
        torch.from_numpy(queries),
        torch.from_numpy(rows),
    )
    return gathered(batch, EMBEDDINGS[:2], EMBEDDINGS[rows], None, GUARD, processes=1)


def test_one_process_compares_its_own_batch() -> None:
    found = whole(3, 4)
    assert found.documents.equal(EMBEDDINGS[[0, 1, 3, 4]])
    assert found.relevance.tolist() == [[True, False, True, False], [False, True, False, False]]
    assert found.negative.tolist() == [[False, True, False, True], [True, False, True, False]]
    assert found.relevant == 3
    assert found.identities.tolist() == [0, 1, 0, 4]


@pytest.mark.parametrize(("documents", "share"), [((), 0.0), ((4,), 1 / 4), ((4, 5), 2 / 6), ((3, 4), 1 / 5)])
def test_the_ignored_share_is_of_what_is_not_relevant(documents: tuple[int, ...], share: float) -> None:
    """Document 4 and 5 count for nothing beside query 1, and are negatives of query 0."""
    assert float(whole(*documents).ignored_share()) == pytest.approx(share)


def test_what_is_kept_of_earlier_steps_is_judged_as_in_the_batch_without_its_own_documents() -> None:
    rows = torch.tensor([5, 1, 3, 2, 3])
    found = beyond(EMBEDDINGS[rows], rows, whole(4), GUARD)
    assert found.embeddings.equal(EMBEDDINGS[[5, 3, 2, 3]])
    assert found.relevance.tolist() == [[False, True, False, True], [False, False, False, False]]
    assert found.negative.tolist() == [[True, False, True, False], [False, True, True, True]]
    assert found.identities.tolist() == [5, 0, 2, 0]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=12), st.integers(0, 12))
def test_documents_brought_twice_count_once(rows: list[int], own: int) -> None:
    """The anchors' own are repeated as they are; of the others the first of each, ascending."""
    own = min(own, len(rows))
    others = sorted(set(rows[own:]) - set(rows[:own]))
    expected = [*range(own), *(own + rows[own:].index(row) for row in others)]
    assert distinct(torch.tensor(rows, dtype=torch.long), own).tolist() == expected
