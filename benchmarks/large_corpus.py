"""Exact ranks over a large corpus: time, and the memory beyond the embeddings.

    python -m benchmarks.large_corpus [--queries 10000] [--documents 1000000]

Made embeddings of 384 dimensions in float32, two relevant documents a query, in a process of its
own: the matrix of a million documents takes 1.5 GB; `peak` is what the process holds of its own at
its highest, embeddings included.
"""

import argparse
import time

import torch

from benchmarks.growth import AnonymousMemory
from hr_retrieval.markdown import markdown_table
from hr_retrieval.retrieval.metrics import per_query
from hr_retrieval.retrieval.ranking import exact_ranks
from hr_retrieval.retrieval.relevance import Relevance

_DIMENSION, _BLOCK = 384, 50_000


def main() -> None:
    """Rank, check a few queries against a full sort, and print one line of a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--documents", type=int, default=1_000_000)
    arguments = parser.parse_args()
    watch = AnonymousMemory()
    generator = torch.Generator().manual_seed(1)
    queries, documents = (_unit(count, generator) for count in (arguments.queries, arguments.documents))
    rows = torch.randint(arguments.documents // 2, (arguments.queries,), generator=generator)
    relevance = Relevance.from_lists([[int(row), int(row) + arguments.documents // 2] for row in rows])
    held = watch.figures()["anonymous"]
    watch = AnonymousMemory()
    begun = time.monotonic()
    ranks = exact_ranks(queries, documents, relevance)
    mrr = float(per_query(ranks, relevance)["mrr"].mean())
    seconds = time.monotonic() - begun
    _check(queries[:3], documents, relevance, ranks)
    found = watch.figures()
    header = ["queries", "documents", "seconds", "MB before", "peak MB", "MRR"]
    memory = [f"{held:.0f}", f"{found['peak_anonymous']:.0f}"]
    row = [f"{len(queries):,}", f"{len(documents):,}", f"{seconds:.1f}", *memory, f"{mrr:.2e}"]
    print(markdown_table([header, row], text=()))


def _unit(count: int, generator: torch.Generator) -> torch.Tensor:
    """Random directions, made block by block."""
    embeddings = torch.empty(count, _DIMENSION)
    for part in torch.split(embeddings, _BLOCK):
        torch.nn.functional.normalize(torch.randn(part.shape, generator=generator), dim=1, out=part)
    return embeddings


def _check(queries: torch.Tensor, documents: torch.Tensor, relevance: Relevance, ranks: torch.Tensor) -> None:
    """A rank is 1 + the number of documents that score higher, up to what rounding does to neighbours."""
    for number, query in enumerate(queries):
        own = slice(int(relevance.offsets[number]), int(relevance.offsets[number + 1]))
        scores = documents @ query
        for row, rank in zip(relevance.documents[own].tolist(), ranks[own].tolist(), strict=True):
            higher, near = int((scores > scores[row] + 1e-6).sum()), int((scores > scores[row] - 1e-6).sum())
            if not higher < rank <= max(near, higher + 1):
                raise AssertionError(f"rank {rank} of a document with {higher} to {near} scores above it")


if __name__ == "__main__":
    main()
