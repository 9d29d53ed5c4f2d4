"""The approximate index against exact search."""

import sys

import pytest
import torch

from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.index import ExactIndex
from hr_retrieval.time.approximate import ApproximateIndex


def unit(rows: int, seed: int, dimension: int = 24) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(rows, dimension, generator=generator), dim=1)


def found(index: ApproximateIndex, queries: torch.Tensor, documents: torch.Tensor, k: int = 10) -> float:
    rows, exact = index.search(queries, k)[1].tolist(), ExactIndex(documents).search(queries, k)[1].tolist()
    return sum(len(set(own) & set(best)) for own, best in zip(rows, exact, strict=True)) / (k * len(queries))


def test_it_finds_nearly_what_exact_search_finds_with_the_same_scores() -> None:
    pytest.importorskip("faiss")
    documents, queries = unit(1500, 1), unit(40, 2)
    index = ApproximateIndex(documents)
    assert len(index) == 1500
    assert found(index, queries, documents) > 0.95
    scores, rows = index.search(queries, 5)
    assert scores.shape == rows.shape == (40, 5)
    assert scores == pytest.approx((documents[rows] * queries.unsqueeze(1)).sum(dim=2), abs=1e-5)
    assert bool((scores.diff(dim=1) <= 0).all())


@pytest.mark.parametrize("option", ["neighbours", "ef_construction", "ef_search"])
def test_with_little_of_any_option_it_finds_less(option: str) -> None:
    pytest.importorskip("faiss")
    documents, queries = unit(1500, 1), unit(40, 2)
    # Fewer candidates while searching: else these would make up for a poor graph.
    usual = {"neighbours": 8, "ef_construction": 40, "ef_search": 20}
    assert found(ApproximateIndex(documents, **{**usual, option: 2}), queries, documents) < found(
        ApproximateIndex(documents, **usual), queries, documents
    )


def test_all_documents_where_there_are_fewer_than_k() -> None:
    pytest.importorskip("faiss")
    assert sorted(ApproximateIndex(unit(3, 1)).search(unit(1, 2), 10)[1][0].tolist()) == [0, 1, 2]


def test_bad_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    index = ApproximateIndex(unit(3, 1))
    with pytest.raises(UserError, match="queries of 24 dimensions"):
        index.search(unit(1, 2, dimension=8), 1)
    with pytest.raises(UserError, match="k of at least 1"):
        index.search(unit(1, 2), 0)
    with pytest.raises(UserError, match="at least one document"):
        ApproximateIndex(torch.ones(0, 4))
    with pytest.raises(UserError, match="ef_search of at least 1"):
        ApproximateIndex(unit(3, 1), ef_search=0)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(UserError, match=r"hr-retrieval\[search\]"):
        ApproximateIndex(unit(3, 1))
