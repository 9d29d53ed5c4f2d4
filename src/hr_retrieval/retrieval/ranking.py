"""Exact ranks: 1 + the number of documents that score higher, over the whole corpus.

Scores are inner products in float32. Equal scores are ordered by document row, so a ranking is a strict order and does
not depend on chunk sizes. The rows of a prepared data set are sorted by id: ties are broken by id.

Nothing here sorts a whole row of scores: ranks are counted against the scores of the relevant documents, and the best
`k` are found among the groups of neighbouring documents with the best maxima.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from hr_retrieval.errors import UserError

# Matrix products take edge columns through other kernels, which round otherwise. Padded to whole tiles, equal documents
# get equal scores.
_TILE = 64
# Columns of a product whose result stays in the cache of one core.
_COLUMNS = 4096
_QUERIES = 1024
# Scores held at a time while ranks are counted: 512 MiB in float32.
_SCORES = 1 << 27
# Relevant documents held at a time.
_PAIRS = 1 << 22
# Above so many relevant documents a query, one binary search for each score is cheaper than one pass for each of them.
_FEW = 32
# Queries searched at a time, scores of one product, and scores held at a time: 128 MiB in float32.
_SEARCH_QUERIES = 256
_SEARCH_PRODUCT = 1 << 20
_SEARCH_SCORES = 1 << 25
_GROUP = 32
# Single pairs scored at a time.
_PAIRED = 1 << 16


# Query rows `[b]` to their scores of all documents, `[b, N]` in float32.
Scores = Callable[[Tensor], Tensor]
# Scores `[C, b, n]` and `k` to the scores and rows `[b, k]` that are kept.
_Choose = Callable[[Tensor, int], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Relevance:
    """Which documents are relevant to which queries.

    Attributes:
        offsets: `documents[offsets[i] : offsets[i + 1]]` are relevant to query `i`; begins with 0 and ends with `nnz`.
        documents: document rows, ascending and distinct within each query.

    Raises:
        UserError: the above does not hold.
    """

    offsets: Int[Tensor, " Q_plus_1"]
    documents: Int[Tensor, " nnz"]

    def __post_init__(self) -> None:
        offsets, documents = self.offsets, self.documents
        counts = offsets.diff()
        if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(documents) or bool((counts < 0).any()):
            _refuse_relevance(f"offsets that ascend from 0 to {len(documents)}", "other offsets")
        owners = self.owners
        ascending = (documents[1:] > documents[:-1]) | (owners[1:] != owners[:-1])
        if not bool(ascending.all()) or bool((documents < 0).any()):
            _refuse_relevance("document rows that are distinct and ascend within each query", "other rows")

    @classmethod
    def from_lists(cls, documents: Sequence[Sequence[int]]) -> "Relevance":
        """The relevant document rows of each query, in any order."""
        counts = torch.tensor([0, *(len(rows) for rows in documents)], dtype=torch.long)
        flat = [row for rows in documents for row in sorted(rows)]
        return cls(counts.cumsum(0), torch.tensor(flat, dtype=torch.long))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def counts(self) -> Int[Tensor, " Q"]:
        """Relevant documents of each query."""
        return self.offsets.diff()

    @property
    def owners(self) -> Int[Tensor, " nnz"]:
        """The query of each entry of `documents`."""
        return torch.arange(len(self), device=self.offsets.device).repeat_interleave(self.counts)

    def check(self, query_count: int, document_count: int) -> None:
        """Raise `UserError` unless this speaks of so many queries and of no document beyond so many."""
        if len(self) != query_count:
            _refuse_relevance(f"relevance for {query_count} queries", f"relevance for {len(self)}")
        if len(self.documents) and int(self.documents.max()) >= document_count:
            _refuse_relevance(f"document rows below {document_count}", f"row {int(self.documents.max())}")

    def transpose(self, document_count: int) -> "Relevance":
        """Which queries are relevant to which documents: the other direction."""
        self.check(len(self), document_count)
        offsets = torch.zeros(document_count + 1, dtype=torch.long, device=self.documents.device)
        torch.cumsum(torch.bincount(self.documents, minlength=document_count), 0, out=offsets[1:])
        return Relevance(offsets, self.owners[self.documents.argsort(stable=True)])

    def to(self, device: torch.device | str) -> "Relevance":
        """The same on another device."""
        return Relevance(self.offsets.to(device), self.documents.to(device))


@dataclass(frozen=True)
class Ranking:
    """What one system puts where.

    Attributes:
        ranks: of each relevant document, in the order of `Relevance.documents`.
        scores: of the best `k` documents of each query, best first; -inf for a query without a relevant document, which
            is not ranked.
        rows: of the same documents; -1 for such a query.
    """

    ranks: Int[Tensor, " nnz"]
    scores: Float[Tensor, "Q k"]
    rows: Int[Tensor, "Q k"]


class ExactIndex:
    """Exact search over a fixed matrix of documents.

    Args:
        documents: their embeddings, on any device.
        dtype: how they are stored. `float32` is exact. `bfloat16` halves the memory and is faster: over four times as
            many candidates as are asked for are chosen by scores rounded to bfloat16, any of those that tie, and
            ordered by the float32 query's score with the stored document.

    The matrix is kept as it is if it has this dtype and a multiple of 64 rows, else a copy is.

    Raises:
        UserError: a value is not finite, there is no document, or `dtype` is another.
    """

    def __init__(self, documents: Float[Tensor, "N d"], dtype: torch.dtype = torch.float32) -> None:
        if dtype not in (torch.float32, torch.bfloat16):
            raise UserError("an index of float32 or bfloat16", str(dtype), "Choose one of them.")
        if not len(documents):
            raise UserError("at least one document", "none", "Fill the corpus first.")
        _largest(documents, "document")
        self._count = len(documents)
        padding = -len(documents) % _TILE
        stored = documents.detach().to(dtype).contiguous()
        self._documents = F.pad(stored, (0, 0, 0, padding)) if padding else stored

    def __len__(self) -> int:
        return self._count

    def search(self, queries: Float[Tensor, "Q d"], k: int) -> tuple[Float[Tensor, "Q k"], Int[Tensor, "Q k"]]:
        """Scores and rows of the best `k` documents of each query (of all if there are fewer), best first.

        Raises:
            UserError: `k` is below 1, the dimension is not the index's, or a value is not finite.
        """
        _check_k(k)
        if queries.shape[1] != self._documents.shape[1]:
            raise UserError(
                f"queries of {self._documents.shape[1]} dimensions, as the documents have",
                f"{queries.shape[1]}",
                "Embed both with the same encoder and the same truncation.",
            )
        _largest(queries, "query")
        k = min(k, self._count)
        on_cpu = queries.is_cpu and self._documents.is_cpu
        if len(queries) == 1 and on_cpu and self._documents.dtype == torch.float32:
            return self._search_one(queries.detach().float(), k)
        with torch.no_grad(), _full_precision():
            if queries.shape[0] <= _SEARCH_QUERIES:
                return self._search(queries.detach().float(), k)
            found = [self._search(block.float(), k) for block in torch.split(queries.detach(), _SEARCH_QUERIES)]
        return torch.cat([scores for scores, _ in found]), torch.cat([rows for _, rows in found])

    @torch.no_grad()
    def score(
        self, queries: Float[Tensor, "Q d"], query_rows: Int[Tensor, " P"], document_rows: Int[Tensor, " P"]
    ) -> Float[Tensor, " P"]:
        """Scores of the given pairs, up to rounding those that `search` gives."""
        device = self._documents.device
        blocks = [torch.split(rows.to(device), _PAIRED) for rows in (query_rows, document_rows)]
        parts = [(queries[q].float() * self._documents[d].float()).sum(dim=1) for q, d in zip(*blocks, strict=True)]
        return torch.cat(parts)

    def _search_one(self, query: Float[Tensor, "1 d"], k: int) -> tuple[Float[Tensor, "1 k"], Int[Tensor, "1 k"]]:
        # For a single query numpy's matrix-vector product can take half the time of torch's.
        scores = self._documents.numpy() @ query.numpy()[0]
        return _best_of_one(scores[: self._count], k)

    def _search(self, queries: Float[Tensor, "b d"], k: int) -> tuple[Float[Tensor, "b k"], Int[Tensor, "b k"]]:
        if self._documents.dtype == torch.float32:
            return self._scan(queries, k, _best_of_grid)
        many = min(4 * k + 16, self._count)
        rows = self._scan(queries.to(self._documents.dtype), many, _candidates_of_grid)[1].sort(dim=1).values
        size = max(1, _SEARCH_SCORES // (many * queries.shape[1]))
        parts = zip(torch.split(queries, size), torch.split(rows, size), strict=True)
        # A sum of products and not a matrix product: the same for equal documents wherever they stand.
        scores = torch.cat([(self._documents[found].float() * part.unsqueeze(1)).sum(dim=2) for part, found in parts])
        best, at = _best(scores, k)
        return best, rows.gather(1, at)

    def _scan(
        self, queries: Float[Tensor, "b d"], k: int, choose: _Choose
    ) -> tuple[Float[Tensor, "b k"], Int[Tensor, "b k"]]:
        """The best `k` part by part, each merged with the best so far."""
        size = max(len(queries), 1)
        width = max(_SEARCH_PRODUCT // size // _COLUMNS, 1) * _COLUMNS
        step = max(_SEARCH_SCORES // size // width, 1) * width
        if len(self._documents) <= step:
            return choose(self._grid(queries, 0, step, width), k)
        parts = range(0, self._count, step)
        scores, rows = choose(self._grid(queries, 0, step, width), min(k, step))
        for begin in parts[1:]:
            grid = self._grid(queries, begin, step, width)
            best, at = choose(grid, min(k, grid.shape[0] * grid.shape[2]))
            # Rows so far come first and are smaller: the earlier place wins a tie, as the smaller row should.
            scores, rows = torch.cat([scores, best], dim=1), torch.cat([rows, at + begin], dim=1)
            scores, at = _best(scores, min(k, scores.shape[1]))
            rows = rows.gather(1, at)
        return scores, rows

    def _grid(self, queries: Float[Tensor, "b d"], begin: int, step: int, width: int) -> Float[Tensor, "C b n"]:
        part = self._documents[begin : begin + step]
        chunks = (part,) if len(part) <= width else torch.split(part, width)
        return _score_grid(queries, chunks, min(self._count - begin, step))


def top_k(
    queries: Float[Tensor, "Q d"], documents: Float[Tensor, "N d"], k: int
) -> tuple[Float[Tensor, "Q k"], Int[Tensor, "Q k"]]:
    """Scores and rows of the best `k` documents of each query, as of an `ExactIndex` that is used once."""
    return ExactIndex(documents).search(queries, k)


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
        UserError: an embedding is not finite, scores would overflow, or the arguments do not fit each other.
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
    _check_k(k)
    return _rank(_products(queries, documents, relevance), relevance, len(documents), min(k, len(documents)))


@torch.no_grad()
def ranking_by_scores(scores: Scores, relevance: Relevance, document_count: int, k: int) -> Ranking:
    """The same for a system that is no product of embeddings.

    Args:
        scores: given query rows `[b]`, their scores `[b, N]` in float32; called for as many rows as fit in memory.
        relevance: what is ranked.
        document_count: `N`.
        k: how many of the best documents are kept.

    Memory beyond that of `scores`: at most 1 GiB.

    Raises:
        UserError: a score is not finite, the arguments do not fit each other, or `k` is below 1.
    """
    _check_k(k)
    relevance.check(len(relevance), document_count)
    return _rank(lambda rows: _as_grid(scores(rows)), relevance, document_count, min(k, document_count))


def _rank(grid_of: Callable[[Tensor], Tensor], relevance: Relevance, document_count: int, k: int) -> Ranking:
    """Ranks, and the best `k` if that is above 0, from the score grids of blocks of queries."""
    ranks, offsets = torch.empty_like(relevance.documents), relevance.offsets
    best = torch.full((len(relevance), k), -torch.inf, device=offsets.device)
    best_rows = torch.full((len(relevance), k), -1, dtype=torch.long, device=offsets.device)
    # Queries with equally many relevant documents come together, so that little is padded.
    counts, order = relevance.counts.sort(descending=True, stable=True)
    with _full_precision():
        for begin, end in _blocks(counts, document_count):
            rows = order[begin:end]
            places, valid = _padded(offsets[rows], counts[begin:end])
            positives = relevance.documents[places]
            grid = grid_of(rows)
            count = _count_each if positives.shape[1] <= _FEW else _count_by_search
            ranks[places[valid]] = count(grid, positives, counts[begin:end])[valid] + 1
            if k:
                best[rows], best_rows[rows] = _best_of_grid(grid, k)
    return Ranking(ranks, best, best_rows)


def _products(
    queries: Float[Tensor, "Q d"], documents: Float[Tensor, "N d"], relevance: Relevance
) -> Callable[[Tensor], Tensor]:
    """The score grid of given query rows, by inner products of embeddings that have been checked."""
    relevance.check(len(queries), len(documents))
    if len(relevance.documents):
        _check_range(queries, documents)
    chunks = _chunks(documents)
    return lambda rows: _score_grid(queries.detach()[rows].float(), chunks, len(documents))


def _as_grid(scores: Float[Tensor, "b N"]) -> Float[Tensor, "C b n"]:
    """Given scores in the layout of `_score_grid`."""
    if not bool(torch.isfinite(scores).all()):
        raise UserError("finite scores", "NaN or infinity", "Mend the system that gives them.")
    size, count = scores.shape
    width = min(_COLUMNS, -(-count // _TILE) * _TILE)
    grid = scores.new_full((-(-count // width), size, width), -torch.inf)
    for part, chunk in zip(grid, torch.split(scores, width, dim=1), strict=True):
        part[:, : chunk.shape[1]] = chunk
    return grid


def _check_k(k: int) -> None:
    if k < 1:
        raise UserError("k of at least 1", str(k), "Ask for one or more documents.")


def _chunks(documents: Float[Tensor, "N d"]) -> list[Float[Tensor, "_ d"]]:
    """The documents in chunks of `_COLUMNS`, the last padded to whole tiles."""
    chunks = list(torch.split(documents.detach(), _COLUMNS))
    chunks[-1] = F.pad(chunks[-1], (0, 0, 0, -len(chunks[-1]) % _TILE))
    return chunks


def _blocks(counts: Int[Tensor, " Q"], document_count: int) -> Iterator[tuple[int, int]]:
    """Cut queries, sorted by descending number of relevant documents, into blocks that fit, but for those with none."""
    rows = max(1, min(_QUERIES, _SCORES // (-(-document_count // _COLUMNS) * _COLUMNS)))
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


def _score_grid(
    queries: Float[Tensor, "b d"], chunks: Sequence[Float[Tensor, "_ d"]], document_count: int
) -> Float[Tensor, "C b n"]:
    """Scores of all documents, one contiguous matrix a chunk; -inf where there is no document."""
    width = len(chunks[0])
    grid = queries.new_empty((len(chunks), len(queries), width))
    for scores, chunk in zip(grid, chunks, strict=True):
        # Written with `out`, a product is not cast by autocast.
        torch.mm(queries, chunk.to(queries.dtype).T, out=scores[:, : len(chunk)])
    if document_count < len(chunks) * width:
        grid[-1, :, document_count - (len(chunks) - 1) * width :] = -torch.inf
    return grid


def _count_each(
    grid: Float[Tensor, "C b n"], positives: Int[Tensor, "b P"], counts: Int[Tensor, " b"]
) -> Int[Tensor, "b P"]:
    """Documents before each positive, by one pass over the scores for each place `p` among the positives."""
    # From the same products as all other scores: a product of its own could round otherwise.
    own = _scores_at(grid, positives)
    before = torch.zeros_like(positives)
    marks = torch.empty_like(grid[0])
    for place in range(positives.shape[1]):
        size = int((counts > place).sum())
        threshold = own[:size, place].unsqueeze(1)
        above, at_least = before[:size, place], torch.zeros_like(before[:size, place])
        for scores in grid:
            # Marks are floats because their sum is vectorised where that of booleans is not; it is exact below 2 ** 24.
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
    keys, order = _keys(_scores_at(grid, positives), positives).sort(dim=1)
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


def _best_of_grid(grid: Float[Tensor, "C b n"], k: int) -> tuple[Float[Tensor, "b k"], Int[Tensor, "b k"]]:
    """Scores and rows of the best `k` of each query, best first, equal ones by row."""
    chunks, queries, width = grid.shape
    groups = chunks * width // _GROUP
    if groups < 4 * k:
        return _best(_by_query(grid), k)
    # Whatever is not in one of the `k` groups of neighbours with the best maxima has `k` better scores before it.
    maxima = _by_query(grid.view(chunks, queries, width // _GROUP, _GROUP).amax(dim=3))
    chosen = _best(maxima, k)[1].sort(dim=1).values
    rows = (chosen.unsqueeze(2) * _GROUP + torch.arange(_GROUP, device=grid.device)).flatten(1)
    best, at = _best(_scores_at(grid, rows), k)
    return best, rows.gather(1, at)


def _candidates_of_grid(grid: Float[Tensor, "C b n"], k: int) -> tuple[Float[Tensor, "b k"], Int[Tensor, "b k"]]:
    """Scores and rows of `k` documents of each query that no other outscores; any of those that tie."""
    chunks, queries, width = grid.shape
    stride = width // _GROUP
    if chunks * stride < 4 * k:
        best, rows = _by_query(grid).topk(k, dim=1)
        return best.float(), rows
    # Groups of documents far apart: maxima over a dimension that is not the last are vectorised in bfloat16 too.
    chosen = _by_query(grid.view(chunks, queries, _GROUP, stride).amax(dim=2)).topk(k, dim=1, sorted=False).indices
    firsts = chosen // stride * width + chosen % stride
    rows = (firsts.unsqueeze(2) + torch.arange(0, width, stride, device=grid.device)).flatten(1)
    best, at = _scores_at(grid, rows).topk(k, dim=1)
    return best.float(), rows.gather(1, at)


def _by_query(grid: Float[Tensor, "C b n"]) -> Float[Tensor, "b Cn"]:
    return grid[0] if len(grid) == 1 else grid.transpose(0, 1).flatten(1)


def _scores_at(grid: Float[Tensor, "C b n"], rows: Int[Tensor, "b m"]) -> Float[Tensor, "b m"]:
    width = grid.shape[2]
    return grid[rows // width, torch.arange(grid.shape[1], device=grid.device).unsqueeze(1), rows % width]


def _best(scores: Float[Tensor, "b n"], k: int) -> tuple[Float[Tensor, "b k"], Int[Tensor, "b k"]]:
    """The best `k` of each row, best first, equal ones by place; `1 <= k <= n`."""
    if k == scores.shape[1]:
        return scores.sort(dim=1, descending=True, stable=True)
    best, at = scores.topk(k + 1, dim=1)
    if bool((best[:, 1:] < best[:, :-1]).all()):
        return best[:, :k], at[:, :k]
    # `topk` orders ties as it likes, and which of them it takes at the boundary.
    at = at[:, :k].contiguous()
    cut = (best[:, k] == best[:, k - 1]).nonzero().squeeze(1)
    if len(cut):
        at[cut] = _first_at_boundary(scores[cut], best[cut, k - 1], k)
    at = at.sort(dim=1).values
    best, order = scores.gather(1, at).sort(dim=1, descending=True, stable=True)
    return best, at.gather(1, order)


def _best_of_one(scores: npt.NDArray[np.float32], k: int) -> tuple[Float[Tensor, "1 k"], Int[Tensor, "1 k"]]:
    """What `_best` gives for the row `scores`. Its few small steps cost numpy a third of what they cost torch."""
    if k < len(scores):
        at = np.argpartition(scores, -k - 1)[-k - 1 :]
        at = at[np.argsort(-scores[at])]
        best = scores[at]
        if (best[1:] < best[:-1]).all():
            return torch.from_numpy(best[None, :k]), torch.from_numpy(at[None, :k])
    return _best(torch.from_numpy(scores[None]), k)


def _first_at_boundary(scores: Float[Tensor, "t n"], boundary: Float[Tensor, " t"], k: int) -> Int[Tensor, "t k"]:
    """Places of the scores above the boundary, filled up to `k` with the first of those at it."""
    above, level = scores > boundary.unsqueeze(1), scores == boundary.unsqueeze(1)
    room = k - above.sum(dim=1, keepdim=True)
    kept = above | (level & (level.cumsum(dim=1) <= room))
    return kept.nonzero()[:, 1].view(len(scores), k)


@contextmanager
def _full_precision() -> Iterator[None]:
    """Float32 products in float32, also where training has allowed TF32 or bfloat16 for them."""
    allowed = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(allowed)


def _largest(embeddings: Float[Tensor, "n d"], kind: str) -> float:
    """The largest absolute value; an error if a value is not finite."""
    if not embeddings.numel():
        return 0.0
    low, high = torch.aminmax(embeddings.detach())
    largest = max(-low.item(), high.item())
    if largest != largest or largest == float("inf"):
        rows = (~torch.isfinite(embeddings)).any(dim=1).nonzero().squeeze(1).tolist()
        raise UserError(
            "finite embeddings",
            f"NaN or infinity in {len(rows)} {kind} embeddings, first in row {rows[0]}",
            "Training has diverged or the encoder is broken: lower optimizer.lr or set trainer.precision=32-true.",
        )
    return largest


def _check_range(queries: Float[Tensor, "Q d"], documents: Float[Tensor, "N d"]) -> None:
    bound = _largest(queries, "query") * _largest(documents, "document") * queries.shape[1]
    if bound > torch.finfo(torch.float32).max:
        raise UserError(
            "embeddings whose products fit float32", f"values up to {bound:.0e}", "Normalise the embeddings."
        )


def _refuse_relevance(expected: str, got: str) -> None:
    raise UserError(expected, got, "Build the relevance from the same queries and documents that are ranked.")
