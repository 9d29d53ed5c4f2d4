"""What full-rank evaluation of a large corpus holds on the device."""

import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.gpu.card import synchronise
from benchmarks.gpu.made import Size
from hr_retrieval.encoder.wording import Kind
from hr_retrieval.retrieval.metrics import RankingMetrics
from hr_retrieval.retrieval.relevance import Relevance

# Documents that arrive at a time.
_BATCH = 4096


def evaluate(device: torch.device, size: Size, work: Path, card: dict[str, Any]) -> list[dict[str, Any]]:
    """Made embeddings arrive batch by batch, as in a validation, and are ranked in both directions."""
    generator = torch.Generator(device).manual_seed(1)
    rows = torch.randint(size.documents, (size.queries,), generator=torch.Generator().manual_seed(1))
    relevance = Relevance.from_lists([[int(row)] for row in rows])
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    before = _held(device)
    metrics = RankingMetrics(relevance, size.queries, size.documents).to(device)
    begun = time.perf_counter()
    kinds: tuple[Kind, ...] = ("query", "document")
    for kind, count in zip(kinds, (size.queries, size.documents), strict=True):
        for part in torch.split(torch.randperm(count, generator=torch.Generator().manual_seed(2)), _BATCH):
            vectors = torch.randn(len(part), size.dimension, device=device, generator=generator)
            metrics.update(kind, part.to(device), F.normalize(vectors, dim=1))
    synchronise(device)
    arrived = time.perf_counter()
    held = _held(device) - before
    figures = metrics.compute()
    synchronise(device)
    corpus = size.documents * size.dimension * 4
    return [
        {
            "name": "evaluate_memory",
            "what": f"{size.queries:,} queries, {size.documents:,} documents of {size.dimension} numbers, both directions",
            "corpus_mb": corpus / 1e6,
            "held_before_ranking_mb": held / 1e6,
            "peak_mb": (_peak(device) - before) / 1e6,
            "copies_of_the_corpus_at_the_peak": (_peak(device) - before) / corpus,
            "arriving_seconds": arrived - begun,
            "ranking_seconds": time.perf_counter() - arrived,
            "mrr": float(figures["mrr"]),
        }
    ]


def _held(device: torch.device) -> int:
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


def _peak(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
