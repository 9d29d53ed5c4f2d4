"""Full-rank evaluation on a GPU against the CPU."""

import torch
import torch.nn.functional as F

from hr_retrieval.retrieval.index import ExactIndex
from hr_retrieval.retrieval.metrics import RankingMetrics
from hr_retrieval.retrieval.ranking import exact_ranks
from hr_retrieval.retrieval.relevance import Relevance

QUERIES, DOCUMENTS = 300, 9_000


def relevance() -> Relevance:
    generator = torch.Generator().manual_seed(3)
    rows = torch.randint(DOCUMENTS, (QUERIES, 40), generator=generator)
    counts = torch.randint(0, 40, (QUERIES,), generator=generator).tolist()
    return Relevance.from_lists([sorted(set(row[:count].tolist())) for row, count in zip(rows, counts, strict=True)])


def measured(queries: torch.Tensor, documents: torch.Tensor, device: torch.device) -> dict[str, float]:
    metrics = RankingMetrics(relevance(), len(queries), len(documents)).to(device)
    for kind, vectors in (("query", queries), ("document", documents)):
        for rows in torch.randperm(len(vectors)).split(1000):
            metrics.update(kind, rows.to(device), vectors[rows].to(device))  # type: ignore[arg-type]
    return {name: float(value) for name, value in metrics.compute().items()}


def test_ranks_are_those_of_the_cpu_to_the_last_one_ties_included(device: torch.device) -> None:
    """Of numbers whose products are exact in float32 and would not be in TF32; half of the documents come twice."""
    generator = torch.Generator().manual_seed(0)
    queries, documents = (
        torch.randint(-2047, 2048, (count, 4), generator=generator).float() for count in (QUERIES, DOCUMENTS)
    )
    documents[DOCUMENTS // 2 :] = documents[: DOCUMENTS // 2]
    expected = exact_ranks(queries, documents, relevance())
    ranks = exact_ranks(queries.to(device), documents.to(device), relevance().to(device))
    assert torch.equal(ranks.cpu(), expected)
    assert measured(queries, documents, device) == measured(queries, documents, torch.device("cpu"))


def test_figures_of_unit_vectors_are_those_of_the_cpu_but_for_rounding(device: torch.device) -> None:
    generator = torch.Generator().manual_seed(1)
    queries, documents = (
        F.normalize(torch.randn(count, 48, generator=generator), dim=1) for count in (QUERIES, DOCUMENTS)
    )
    expected = measured(queries, documents, torch.device("cpu"))
    figures = measured(queries, documents, device)
    assert figures.keys() == expected.keys()
    for name, value in expected.items():
        assert abs(figures[name] - value) < 1e-3 * max(1.0, abs(value)), name


def test_an_index_finds_what_it_finds_on_the_cpu(device: torch.device) -> None:
    generator = torch.Generator().manual_seed(2)
    queries, documents = (
        torch.randint(-2047, 2048, (count, 4), generator=generator).float() for count in (50, DOCUMENTS)
    )
    expected = ExactIndex(documents).search(queries, 20)
    found = ExactIndex(documents.to(device)).search(queries.to(device), 20)
    assert [torch.equal(one.cpu(), other) for one, other in zip(found, expected, strict=True)] == [True, True]
