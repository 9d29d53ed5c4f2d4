"""How long exact search takes, and in indexes that read less, against numpy and torch.

    python -m benchmarks.search            about half a minute
    python -m benchmarks.search --quick    a few seconds, smaller; the ratios are smaller too

Unset OPENBLAS_CORETYPE where it is set: a core type other than the machine's makes numpy slow, and
with it ours for one query.
"""

import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.indexes import GraphIndex, RoundedIndex
from benchmarks.interleave import comparison, interleave, table
from hr_retrieval.retrieval.index import ExactIndex

_DIMENSION, _K = 384, 10
# Random directions are alike to a graph, which finds less of their neighbours than of texts'.
_RECALL = {"bf16": 0.98, "hnsw": 0.2}


def run(quick: bool) -> list[dict[str, Any]]:
    """One query and a batch in exact search, then in each index that reads less; what is found is checked first."""
    small, large = (2_000, 20_000) if quick else (10_000, 100_000)
    rounds = 5 if quick else 11
    return [
        _one_against_numpy(small, rounds),
        _batch_against_product(small, rounds),
        *_indexes_against_torch("bf16", "bfloat16", RoundedIndex, large, rounds),
        *_indexes_against_torch("hnsw", "HNSW", GraphIndex, small, rounds),
    ]


def _one_against_numpy(size: int, rounds: int) -> dict[str, Any]:
    documents, query = _unit(size, 1), _unit(1, 2)
    index, matrix, vector = ExactIndex(documents), documents.numpy(), query[0].numpy()

    def peer() -> tuple[Any, Any]:
        scores = matrix @ vector
        rows = np.argpartition(scores, -_K)[-_K:]
        order = rows[np.argsort(-scores[rows])]
        return scores[order], order

    if index.search(query, _K)[1][0].tolist() != peer()[1].tolist():
        raise AssertionError("numpy finds other documents")
    timings = interleave({"ours": lambda: index.search(query, _K), "peer": peer}, 3 * rounds, repeats=30)
    return comparison(
        "search", f"1 query, {size:,} documents: numpy product and argpartition", timings["ours"], timings["peer"]
    )


def _batch_against_product(size: int, rounds: int) -> dict[str, Any]:
    documents, queries = _unit(size, 1), _unit(256, 2)
    index = ExactIndex(documents)
    timings = interleave(
        {"ours": lambda: index.search(queries, _K), "peer": lambda: queries @ documents.T}, 3 * rounds, repeats=3
    )
    return comparison(
        "search_batch", f"256 queries, {size:,} documents: the matrix product alone", timings["ours"], timings["peer"]
    )


def _indexes_against_torch(
    name: str, label: str, kind: type[RoundedIndex | GraphIndex], size: int, rounds: int
) -> list[dict[str, Any]]:
    """One query and a batch, once it is known to find enough of the best."""
    documents, probes = _unit(size, 1), _unit(256, 3)
    index = kind(documents)
    exact = (probes @ documents.T).topk(_K, dim=1).indices
    recall = float((exact.unsqueeze(2) == index.search(probes, _K).unsqueeze(1)).any(dim=2).double().mean())
    if recall < _RECALL[name]:
        raise AssertionError(f"{label} finds {recall:.4f} of the best {_K}")
    rows = []
    for count in (1, 256):
        queries = _unit(count, 2)

        def ours(queries: Tensor = queries) -> Tensor:
            return index.search(queries, _K)

        def peer(queries: Tensor = queries) -> Tensor:
            return (queries @ documents.T).topk(_K, dim=1).indices

        timings = interleave({"ours": ours, "peer": peer}, rounds)
        what = f"{count} queries, {size:,} documents, {label} (recall@{_K} {recall:.4f}): torch float32"
        rows.append(comparison(f"search_{name}" + "_batch" * (count > 1), what, timings["ours"], timings["peer"]))
    return rows


def _unit(rows: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(rows, _DIMENSION, generator=generator), dim=1)


if __name__ == "__main__":
    print(table(run("--quick" in sys.argv[1:])))
