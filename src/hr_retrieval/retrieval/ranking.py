"""Exact ranks: 1 + the number of documents that score higher, over the whole corpus.

Scores are inner products in float32. Equal scores are ordered by document row, so a ranking is a
strict order and does not depend on chunk sizes. So the rows must stand in an order that says
nothing of relevance: `EvaluationSet` draws lots.

Nothing here sorts a whole row of scores: ranks are counted against the scores of the relevant
documents.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.grid import (
    COLUMNS,
    as_grid,
    best_of_grid,
    check_k,
    chunked,
    full_precision,
    largest,
    score_grid,
    scores_at,
)
from hr_retrieval.retrieval.relevance import Relevance

_QUERIES = 1024
# Scores held at a time while ranks are counted: 512 MiB in float32.
_SCORES = 1 << 27
# Relevant documents held at a time.
_PAIRS = 1 << 22
# Above so many relevant documents a query, one binary search for each score is cheaper than one
# pass for each of them.
_FEW = 32

# Query rows `[b]` to their scores of all documents, `[b, N]` in float32.
Scores = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Ranking:
    """What one system puts where.

    Attributes:
        ranks: of each relevant document, in the order of `Relevance.documents`.
        scores: of the best `k` documents of each query, best first; -inf where there is none: for a
            query without a relevant document, which is not ranked, and where fewer than `k`
            documents take part.
        rows: of the same documents; -1 where there is none.
    """

    ranks: Int[Tensor, " nnz"]
    scores: Float[Tensor, "Q k"]
    rows: Int[Tensor, "Q k"]


@torch.no_grad()
def exact_ranks(
    queries: Float[Tensor, "Q d"], documents: Float[Tensor, "N d"], relevance: Relevance
) -> Int[Tensor, " nnz"]:
    """Rank of each relevant document in the whole corpus: 1 + documents that score higher, or as high on a smaller row.

    Args:
        queries: embeddings on any device; `documents` and `relevance` on the same one.
        documents: embeddings.
        relevance: what is ranked; the ranks are in the order of `relevance.documents`.

    Memory beyond the arguments: at most 1 GiB, and usually a fraction.

    Raises:
        UserError: an embedding is not finite, scores would overflow, or the arguments do not fit
            each other.
    """
    return _rank(_products(queries, documents, relevance), relevance, len(documents), 0).ranks


@torch.no_grad()
def exact_ranking(
    queries: Float[Tensor, "Q d"], documents: Float[Tensor, "N d"], relevance: Relevance, k: int
) -> Ranking:
    """The ranks of `exact_ranks` and the best `k` documents (all if there are fewer), both from the same scores.

    Raises:
        UserError: as `exact_ranks`, or `k` is below 1.
    """
    check_k(k)
    return _rank(_products(queries, documents, relevance), relevance, len(documents), min(k, len(documents)))


@torch.no_grad()
def ranking_by_scores(scores: Scores, relevance: Relevance, document_count: int, k: int) -> Ranking:
    """The same for a system that is no product of embeddings.

    Args:
        scores: given query rows `[b]`, their scores `[b, N]` in float32; called for as many rows as
            fit in memory.
        relevance: what is ranked.
        document_count: `N`.
        k: how many of the best documents are kept.

    Memory beyond that of `scores`: at most 1 GiB.

    Raises:
        UserError: a score is not finite, the arguments do not fit each other, or `k` is below 1.
    """
    check_k(k)
    relevance.check(len(relevance), document_count)
    return _rank(lambda rows: as_grid(scores(rows)), relevance, document_count, min(k, document_count))


def _rank(grid_of: Callable[[Tensor], Tensor], relevance: Relevance, document_count: int, k: int) -> Ranking:
    """Ranks, and the best `k` if that is above 0, from the score grids of blocks of queries."""
    ranks, offsets = torch.empty_like(relevance.documents), relevance.offsets
    best = torch.full((len(relevance), k), -torch.inf, device=offsets.device)
    best_rows = torch.full((len(relevance), k), -1, dtype=torch.long, device=offsets.device)
    # Queries with equally many relevant documents come together, so that little is padded.
    counts, order = relevance.counts.sort(descending=True, stable=True)
    with full_precision():
        for begin, end in _blocks(counts, document_count):
            rows = order[begin:end]
            places, valid = _padded(offsets[rows], counts[begin:end])
            positives = relevance.documents[places]
            grid = grid_of(rows)
            if relevance.left_out is not None:
                _leave_out(grid, *relevance.left_out.pairs(rows))
            count = _count_each if positives.shape[1] <= _FEW else _count_by_search
            ranks[places[valid]] = count(grid, positives, counts[begin:end])[valid] + 1
            if k:
                best[rows], best_rows[rows] = best_of_grid(grid, k)
    best_rows[best.isneginf()] = -1
    return Ranking(ranks, best, best_rows)


def _leave_out(grid: Float[Tensor, "C b n"], queries: Int[Tensor, " m"], documents: Int[Tensor, " m"]) -> None:
    """Put these documents behind all others of these queries of the grid."""
    width = grid.shape[2]
    grid[documents // width, queries, documents % width] = -torch.inf


def _products(
    queries: Float[Tensor, "Q d"], documents: Float[Tensor, "N d"], relevance: Relevance
) -> Callable[[Tensor], Tensor]:
    """The score grid of given query rows, by inner products of embeddings that have been checked."""
    relevance.check(len(queries), len(documents))
    if len(relevance.documents):
        _check_range(queries, documents)
    chunks = chunked(documents)
    return lambda rows: score_grid(queries.detach()[rows].float(), chunks, len(documents))


def _blocks(counts: Int[Tensor, " Q"], document_count: int) -> Iterator[tuple[int, int]]:
    """Cut queries, sorted by descending number of relevant documents, into blocks that fit, but for those with none."""
    rows = max(1, min(_QUERIES, _SCORES // (-(-document_count // COLUMNS) * COLUMNS)))
    begin, total = 0, int((counts > 0).sum())
    while begin < total:
        end = min(total, begin + max(1, min(rows, _PAIRS // int(counts[begin]))))
        yield begin, end
        begin = end


def _padded(begins: Int[Tensor, " b"], counts: Int[Tensor, " b"]) -> tuple[Int[Tensor, "b P"], Bool[Tensor, "b P"]]:
    """Places of the relevant documents of each query, padded with its first, and which are no padding."""
    within = torch.arange(int(counts[0]), device=counts.device)
    valid = within < counts.unsqueeze(1)
    return begins.unsqueeze(1) + within * valid, valid


def _count_each(
    grid: Float[Tensor, "C b n"], positives: Int[Tensor, "b P"], counts: Int[Tensor, " b"]
) -> Int[Tensor, "b P"]:
    """Documents before each positive, by one pass over the scores for each place `p` among the positives."""
    # From the same products as all other scores: a product of its own could round otherwise.
    own = scores_at(grid, positives)
    before = torch.zeros_like(positives)
    marks = torch.empty_like(grid[0])
    for place in range(positives.shape[1]):
        size = int((counts > place).sum())
        threshold = own[:size, place].unsqueeze(1)
        above, at_least = before[:size, place], torch.zeros_like(before[:size, place])
        for scores in grid:
            # Marks are floats because their sum is vectorised where that of booleans is not; it is
            # exact below 2 ** 24.
            above += torch.gt(scores[:size], threshold, out=marks[:size]).sum(dim=1).long()
            at_least += torch.ge(scores[:size], threshold, out=marks[:size]).sum(dim=1).long()
        tied = (at_least - above > 1).nonzero().squeeze(1)
        if len(tied):
            above[tied] += _tied_before(grid, tied, threshold[tied], positives[tied, place])
    return before


def _tied_before(
    grid: Float[Tensor, "C b n"], queries: Int[Tensor, " t"], threshold: Float[Tensor, "t 1"], rows: Int[Tensor, " t"]
) -> Int[Tensor, " t"]:
    """Documents with the same score on a smaller row."""
    width = grid.shape[2]
    columns = torch.arange(width, device=grid.device)
    total = torch.zeros_like(rows)
    for number, scores in enumerate(grid):
        smaller = columns < (rows - number * width).unsqueeze(1)
        total += ((scores[queries] == threshold) & smaller).sum(dim=1)
    return total


def _count_by_search(
    grid: Float[Tensor, "C b n"], positives: Int[Tensor, "b P"], counts: Int[Tensor, " b"]
) -> Int[Tensor, "b P"]:
    """The same by one binary search for each score among the positives' scores."""
    width, size = grid.shape[2], positives.shape[1]
    keys, order = _keys(scores_at(grid, positives), positives).sort(dim=1)
    histogram = torch.zeros((len(positives), size + 1), dtype=torch.long, device=grid.device)
    one = torch.ones((), dtype=torch.long, device=grid.device)
    for number, scores in enumerate(grid):
        rows = torch.arange(number * width, (number + 1) * width, device=grid.device)
        beaten = torch.searchsorted(keys, _keys(scores, rows.expand_as(scores)))
        histogram.scatter_add_(1, beaten, one.expand_as(beaten))
    # A score that beats `j` positives stands before the `j` lowest of them.
    before = histogram.flip(1).cumsum(1).flip(1)[:, 1:]
    return torch.empty_like(before).scatter_(1, order, before)


def _keys(scores: Float[Tensor, "b n"], rows: Int[Tensor, "b n"]) -> Int[Tensor, "b n"]:
    """Integers that are larger for a higher score, and for equal scores larger for a smaller row."""
    # Adding 0 makes -0 and 0 the same; the rest makes the bits of floats ascend as the floats do.
    bits = (scores + 0.0).view(torch.int32)
    ascending = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).long()
    return (ascending << 32) - rows


def _check_range(queries: Float[Tensor, "Q d"], documents: Float[Tensor, "N d"]) -> None:
    bound = largest(queries, "query") * largest(documents, "document") * queries.shape[1]
    if bound > torch.finfo(torch.float32).max:
        raise UserError(
            "embeddings whose products fit float32", f"values up to {bound:.0e}", "Normalise the embeddings."
        )
