"""The best documents by their passages, against a loop over all of them."""

from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.passages import PassageIndex


def naive(
    scores: list[float], offsets: list[int], k: int, pooled: str, allowed: list[bool] | None
) -> list[tuple[float, int, int]]:
    """Scores and places, best first, of one query, and the best passage of each document."""
    found = []
    for document, (begin, end) in enumerate(pairwise(offsets)):
        if allowed is None or allowed[document]:
            own = scores[begin:end]
            value = max(own) if pooled == "max" else sum(own) / len(own)
            found.append((-value, document, begin + own.index(max(own))))
    return sorted(found)[:k]


@pytest.mark.parametrize("pooled", ["max", "mean"])
@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("counts", [[1] * 40, [1, 3, 2, 5] * 10])
@pytest.mark.parametrize("more", [False, True])
def test_documents_are_found_by_their_passages(pooled: str, filtered: bool, counts: list[int], more: bool) -> None:
    torch.manual_seed(0)
    offsets = torch.tensor([0, *counts]).cumsum(0)
    passages, queries = (F.normalize(torch.randn(size, 16), dim=1) for size in (int(offsets[-1]), 5))
    allowed = torch.rand(len(counts)) < 0.5 if filtered else None
    added = torch.rand(5, len(passages)) if more else None
    best = PassageIndex(passages, offsets).search(queries, 7, pooled, allowed, added)
    scores = queries @ passages.T + (0 if added is None else added)
    if not more:
        every = PassageIndex(passages, offsets).scores(queries, pooled)
        assert every.gather(1, best.documents).flatten().tolist() == pytest.approx(best.scores.flatten().tolist())
    for query in range(5):
        expected = naive(
            scores[query].tolist(), offsets.tolist(), 7, pooled, None if allowed is None else allowed.tolist()
        )
        assert best.documents[query].tolist() == [document for _, document, _ in expected]
        assert best.passages[query].tolist() == [passage for _, _, passage in expected]
        assert best.scores[query].tolist() == pytest.approx([-score for score, _, _ in expected], abs=1e-5)


def test_fewer_are_found_where_fewer_are_allowed() -> None:
    index = PassageIndex(torch.eye(4), torch.arange(5))
    assert len(index) == 4
    assert index.search(torch.eye(4)[:1], 9).documents.shape == (1, 4)
    assert index.search(torch.eye(4)[:1], 9, allowed=torch.tensor([False, True, False, False])).documents.tolist() == [
        [1]
    ]
    assert index.search(torch.eye(4)[:2], 9, allowed=torch.zeros(4, dtype=torch.bool)).documents.shape == (2, 0)
    with pytest.raises(UserError, match="max or mean"):
        index.search(torch.eye(4), 1, "sum")
