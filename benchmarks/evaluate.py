"""How long exact ranks and all metrics take, against sentence-transformers and torchmetrics.

python -m benchmarks.evaluate            about two minutes
python -m benchmarks.evaluate --quick    a few seconds, smaller; the ratios are smaller too
"""

import sys
from collections.abc import Callable
from typing import Any

import torch
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from torch import Tensor
from torchmetrics.retrieval import RetrievalHitRate, RetrievalMAP, RetrievalMRR, RetrievalNormalizedDCG, RetrievalRecall

from benchmarks.interleave import comparison, interleave, table
from hr_retrieval.retrieval.metrics import per_query
from hr_retrieval.retrieval.ranking import exact_ranks
from hr_retrieval.retrieval.relevance import Relevance

_DIMENSION = 384


class _Precomputed:
    """What the evaluator asks of a model, with embeddings that are there already."""

    similarity_fn_name = "dot"

    def __init__(self, queries: Tensor, documents: Tensor) -> None:
        self._queries, self._documents = queries, documents

    def similarity(self, queries: Tensor, documents: Tensor) -> Tensor:
        return queries @ documents.T

    def encode_query(self, texts: list[str], **options: Any) -> Tensor:
        return self._queries

    def encode_document(self, texts: list[str], **options: Any) -> Tensor:
        begin = int(texts[0])
        return self._documents[begin : begin + len(texts)]


def run(quick: bool) -> list[dict[str, Any]]:
    """Both comparisons; each first checks that the peer gets the same figures."""
    return [
        _against_sentence_transformers(2_000 if quick else 10_000, 3 if quick else 5),
        _against_torchmetrics(200 if quick else 2_000, 2_000 if quick else 10_000, 3),
    ]


def _against_sentence_transformers(size: int, rounds: int) -> dict[str, Any]:
    queries, documents, relevance = _data(size, size)
    model = _Precomputed(queries, documents)
    evaluator = InformationRetrievalEvaluator(
        {str(row): str(row) for row in range(size)},
        {str(row): str(row) for row in range(size)},
        {str(row): {str(row)} for row in range(size)},
        mrr_at_k=[10],
        accuracy_at_k=[1, 5, 10, 100],
        precision_recall_at_k=[1, 5, 10, 100],
        write_csv=False,
    )

    def peer() -> dict[str, float]:
        evaluator.score_functions = {"dot": model.similarity}
        evaluator.score_function_names = ["dot"]
        scores: dict[str, dict[int, float]] = evaluator.compute_all_metrics(model)["dot"]
        return {"mrr@10": scores["mrr@k"][10], "pass@1": scores["accuracy@k"][1], "ndcg@10": scores["ndcg@k"][10]}

    what = f"all metrics, {size:,} x {size:,} x {_DIMENSION}: sentence-transformers InformationRetrievalEvaluator"
    return _compared("evaluate", what, lambda: _metrics(queries, documents, relevance), peer, rounds)


def _against_torchmetrics(query_count: int, document_count: int, rounds: int) -> dict[str, Any]:
    queries, documents, relevance = _data(query_count, document_count)
    target = torch.zeros(query_count, document_count, dtype=torch.bool)
    target[relevance.owners, relevance.documents] = True
    indexes = torch.arange(query_count).repeat_interleave(document_count)
    peers = {
        "mrr": RetrievalMRR(),
        "pass@1": RetrievalHitRate(top_k=1),
        "recall@10": RetrievalRecall(top_k=10),
        "ndcg@10": RetrievalNormalizedDCG(top_k=10),
        "map": RetrievalMAP(),
    }

    def peer() -> dict[str, float]:
        scores = (queries @ documents.T).flatten()
        values = {}
        for name, metric in peers.items():
            metric.reset()
            metric.update(scores, target.flatten(), indexes)
            values[name] = float(metric.compute())
        return values

    what = f"13 metrics against 5 of torchmetrics, {query_count:,} x {document_count:,} x {_DIMENSION}"
    return _compared("evaluate_torchmetrics", what, lambda: _metrics(queries, documents, relevance), peer, rounds)


def _compared(
    name: str, what: str, ours: Callable[[], dict[str, float]], peer: Callable[[], dict[str, float]], rounds: int
) -> dict[str, Any]:
    values, expected = ours(), peer()
    for metric, value in expected.items():
        if abs(values[metric] - value) > 1e-4:
            raise AssertionError(f"{name}: {metric} is {values[metric]} here and {value} there")
    timings = interleave({"ours": ours, "peer": peer}, rounds, warm=True)
    return comparison(name, what, timings["ours"], timings["peer"])


def _metrics(queries: Tensor, documents: Tensor, relevance: Relevance) -> dict[str, float]:
    values = per_query(exact_ranks(queries, documents, relevance), relevance)
    return {name: float(value.mean()) for name, value in values.items()}


def _data(query_count: int, document_count: int) -> tuple[Tensor, Tensor, Relevance]:
    """Unit embeddings; each query lies near its one relevant document, so that all scores of positives are above 0."""
    generator = torch.Generator().manual_seed(0)
    documents = torch.nn.functional.normalize(torch.randn(document_count, _DIMENSION, generator=generator), dim=1)
    noise = torch.randn(query_count, _DIMENSION, generator=generator) / _DIMENSION**0.5
    queries = torch.nn.functional.normalize(documents[:query_count] + 4 * noise, dim=1)
    return queries, documents, Relevance.from_lists([[row] for row in range(query_count)])


if __name__ == "__main__":
    print(table(run("--quick" in sys.argv[1:])))
