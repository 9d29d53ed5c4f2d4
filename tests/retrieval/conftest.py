"""Full sorts in plain Python, and embeddings for them."""

import pytest
import torch
from torch import Tensor

from hr_retrieval.retrieval import grid, index, ranking
from hr_retrieval.retrieval.relevance import Relevance


def naive_order(queries: Tensor, documents: Tensor) -> list[list[int]]:
    scores = queries @ documents.T
    return [sorted(range(len(row)), key=lambda place: (-row[place], place)) for row in scores.tolist()]


def naive_ranks(queries: Tensor, documents: Tensor, relevance: Relevance) -> list[int]:
    order = naive_order(queries, documents)
    pairs = zip(relevance.owners.tolist(), relevance.documents.tolist(), strict=True)
    return [order[query].index(document) + 1 for query, document in pairs]


def small_integers(rows: int, dimension: int, seed: int, spread: int = 2) -> Tensor:
    """Embeddings whose products are exact in float32, with many ties and with zero vectors."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-spread, spread + 1, (rows, dimension), generator=generator).float()


@pytest.fixture
def tiny_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes at which a few dozen documents take every path: several chunks, blocks, groups, and the binary search."""
    for module, sizes in {
        grid: {"TILE": 4, "COLUMNS": 8, "_GROUP": 2},
        index: {"COLUMNS": 8, "_SEARCH_PRODUCT": 24, "_SEARCH_SCORES": 96, "_SEARCH_QUERIES": 5},
        ranking: {"COLUMNS": 8, "_QUERIES": 3, "_PAIRS": 12, "_FEW": 3},
    }.items():
        for name, size in sizes.items():
            monkeypatch.setattr(module, name, size)
