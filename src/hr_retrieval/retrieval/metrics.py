"""Retrieval metrics from exact ranks, for each query and for both directions.

With the ranks `r_1 < r_2 < ... < r_R` of the `R` relevant documents of a query, at full depth
unless cut off:

    mrr         1 / r_1 (Voorhees, TREC-8, 1999); mrr@10 is 0 where r_1 > 10
    pass@k      1 if r_1 <= k, else 0; also success@k, hit rate, accuracy@k
    recall@k    |{i : r_i <= k}| / R
    ndcg@10     sum_{i : r_i <= 10} g_i / log2(1 + r_i), over the same with the highest grades at the
                ranks 1 ... min(R, 10) (Järvelin and Kekäläinen, TOIS 2002); the gain g_i is the grade
                itself, as trec_eval, and so BEIR and MTEB, have it, and not 2^g_i - 1
    map         sum_i i / r_i / R (Buckley and Voorhees, SIGIR 2000)
    r_precision |{i : r_i <= R}| / R

All others take every grade above 0 for relevant. `mrr >= pass@1` for every query. A query without a
relevant document has no ranks: it is left out and counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchmetrics import Metric

from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.arrivals import Arrivals
from hr_retrieval.retrieval.ranking import exact_ranks
from hr_retrieval.retrieval.relevance import Relevance

CUTOFFS = (1, 5, 10, 100)
_DEPTH = 10


@dataclass(frozen=True)
class Embedded:
    """What was ranked: embeddings in the order of their rows, and which documents are relevant to which queries."""

    queries: Float[Tensor, "Q d"]
    documents: Float[Tensor, "N d"]
    relevance: Relevance


class RankingMetrics(Metric):
    """Mean metrics of embeddings that arrive in any order and on any number of processes.

    Args:
        relevance: which documents are relevant to which queries. Equal scores are ordered by row on
            both sides, so rows must say nothing of relevance (see `EvaluationSet`).
        query_count: queries that must have arrived before `compute`.
        document_count: documents that must have arrived before `compute`.
        cutoffs: the `k` of `pass@k` and `recall@k`.
        both_directions: also rank the queries for each document, under `document_to_query/`.

    Attributes:
        query_values: the metrics of each query that has a relevant document, as `compute` last
            found them; on the processor, in the order of the queries.
        embedded: what `compute` last ranked.

    Each device holds all embeddings once: `torchmetrics` would hold what arrives, what is gathered,
    and what is put in order, so that it is the shell alone. Its own retrieval functions are not
    used: they take a relevant document with a score of 0 or less for an irrelevant one.

    Raises:
        UserError: `relevance` does not fit the counts, or holds nothing to measure.
    """

    full_state_update = False

    def __init__(
        self,
        relevance: Relevance,
        query_count: int,
        document_count: int,
        cutoffs: Sequence[int] = CUTOFFS,
        both_directions: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        relevance.check(query_count, document_count)
        if not len(relevance.documents):
            raise UserError("a relevant document for at least one query", "none", "Check the qrels of this split.")
        self.relevance, self.cutoffs, self.both_directions = relevance, tuple(cutoffs), both_directions
        self.arrivals = {"query": Arrivals("query", query_count), "document": Arrivals("document", document_count)}
        self.query_values: dict[str, Tensor] = {}
        self.embedded: Embedded | None = None

    def update(
        self, kind: Literal["query", "document"], rows: Int[Tensor, " b"], embeddings: Float[Tensor, "b d"]
    ) -> None:
        """Take the embeddings of some rows; each row comes once, on one process."""
        self.arrivals[kind].take(rows, embeddings)

    def reset(self) -> None:
        """Forget what has arrived."""
        super().reset()
        for arrivals in self.arrivals.values():
            arrivals.reset()

    def compute(self) -> dict[str, Tensor]:
        """Means over the queries that have a relevant document, by name, and how many were left out as `excluded`.

        Raises:
            UserError: a row is missing or came twice, or an embedding is not finite.
        """
        queries, documents = (arrivals.whole(self.device) for arrivals in self.arrivals.values())
        relevance = self.relevance.to(queries.device)
        self.embedded = Embedded(queries, documents, relevance)
        self.query_values = _values(queries, documents, relevance, self.cutoffs)
        means = _means(self.query_values, relevance)
        if self.both_directions:
            transposed = relevance.transpose(len(documents))
            other = _means(_values(documents, queries, transposed, self.cutoffs), transposed)
            means |= {f"document_to_query/{name}": value for name, value in other.items()}
        return means


def per_query(
    ranks: Int[Tensor, " nnz"], relevance: Relevance, cutoffs: Sequence[int] = CUTOFFS
) -> dict[str, Float[Tensor, " measured"]]:
    """Metrics of each query that has a relevant document, in the order of the queries, in float64.

    Args:
        ranks: as from `exact_ranks`.
        relevance: what was ranked.
        cutoffs: the `k` of `pass@k` and `recall@k`; `pass@1` is always there.

    Raises:
        UserError: there is not one rank for each relevant document, or a cut-off is below 1.
    """
    if len(ranks) != len(relevance.documents):
        raise UserError(f"{len(relevance.documents)} ranks", str(len(ranks)), "Rank with the same relevance.")
    if any(cutoff < 1 for cutoff in cutoffs):
        raise UserError("cut-offs of at least 1", str(tuple(cutoffs)), "Mend them.")
    measured = relevance.counts > 0
    counts = relevance.counts[measured]
    owners = torch.arange(len(counts), device=ranks.device).repeat_interleave(counts)
    ranks, places, grades = _ascending(ranks, relevance.grades, owners, counts)
    first = ranks[counts.cumsum(0) - counts]
    reciprocal = 1.0 / first.double()
    values = {"mrr": reciprocal, f"mrr@{_DEPTH}": reciprocal * (first <= _DEPTH)}
    for cutoff in sorted({1, *cutoffs}):
        values[f"pass@{cutoff}"] = (first <= cutoff).double()
    for cutoff in sorted(set(cutoffs)):
        values[f"recall@{cutoff}"] = _share(ranks <= cutoff, owners, counts)
    values[f"ndcg@{_DEPTH}"] = _ndcg(ranks, grades, owners, counts)
    values["map"] = _sums(places / ranks.double(), owners, len(counts)) / counts
    values["r_precision"] = _share(ranks <= counts[owners], owners, counts)
    return values


def _values(
    queries: Float[Tensor, "Q d"], documents: Float[Tensor, "N d"], relevance: Relevance, cutoffs: Sequence[int]
) -> dict[str, Float[Tensor, " measured"]]:
    # The metrics are worked out in float64, which not every device has.
    return per_query(exact_ranks(queries, documents, relevance).cpu(), relevance.to("cpu"), cutoffs)


def _means(values: dict[str, Float[Tensor, " measured"]], relevance: Relevance) -> dict[str, Tensor]:
    means = {name: value.mean() for name, value in values.items()}
    means["excluded"] = (relevance.counts == 0).sum().cpu()
    return means


def _ascending(
    ranks: Int[Tensor, " nnz"],
    grades: Int[Tensor, " nnz"] | None,
    owners: Int[Tensor, " nnz"],
    counts: Int[Tensor, " Q"],
) -> tuple[Int[Tensor, " nnz"], Int[Tensor, " nnz"], Int[Tensor, " nnz"] | None]:
    """The ranks of each query in ascending order, the place of each, from 1, and the grades in this order."""
    order = _within(ranks, owners)
    begins = counts.cumsum(0) - counts
    places = torch.arange(1, len(ranks) + 1, device=ranks.device) - begins[owners]
    return ranks[order], places, None if grades is None else grades[order]


def _within(values: Int[Tensor, " nnz"], owners: Int[Tensor, " nnz"]) -> Int[Tensor, " nnz"]:
    """The order that puts the values of each query in ascending order."""
    by_value = values.argsort(stable=True)
    return by_value[owners[by_value].argsort(stable=True)]


def _sums(values: Float[Tensor, " nnz"], owners: Int[Tensor, " nnz"], size: int) -> Float[Tensor, " Q"]:
    return torch.zeros(size, dtype=torch.float64, device=values.device).index_add_(0, owners, values)


def _share(hits: Bool[Tensor, " nnz"], owners: Int[Tensor, " nnz"], counts: Int[Tensor, " Q"]) -> Float[Tensor, " Q"]:
    return _sums(hits.double(), owners, len(counts)) / counts


def _ndcg(
    ranks: Int[Tensor, " nnz"],
    grades: Int[Tensor, " nnz"] | None,
    owners: Int[Tensor, " nnz"],
    counts: Int[Tensor, " Q"],
) -> Float[Tensor, " Q"]:
    """Of ranks that ascend within each query."""
    gains = torch.ones_like(ranks) if grades is None else grades
    best = gains[_within(-gains, owners)]
    places = torch.arange(1, len(ranks) + 1, device=ranks.device) - (counts.cumsum(0) - counts)[owners]
    found, ideal = (_sums(_discounted(*pair), owners, len(counts)) for pair in ((gains, ranks), (best, places)))
    return found / ideal


def _discounted(gains: Int[Tensor, " nnz"], ranks: Int[Tensor, " nnz"]) -> Float[Tensor, " nnz"]:
    return torch.where(ranks <= _DEPTH, gains / torch.log2(1.0 + ranks.double()), 0.0)
