"""Scores of all documents for some queries, and the best of them, without sorting a whole row.

A grid `[C, b, n]` is one contiguous matrix for each chunk of `n` documents. The best `k` are found
among the groups of neighbouring documents with the best maxima. Equal scores are ordered by
document row.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from hr_retrieval.errors import UserError

TILE = 64
# Columns of a product whose result stays in the cache of one core.
COLUMNS = 4096
_GROUP = 32


def whole_tiles(documents: Float[Tensor, "_ d"]) -> Float[Tensor, "_ d"]:
    """The documents, padded with zeros to a multiple of `TILE`; they themselves where they are one.

    Matrix products take edge columns through other kernels, which round otherwise. Of whole tiles,
    equal documents get equal scores.
    """
    padding = -len(documents) % TILE
    return F.pad(documents, (0, 0, 0, padding)) if padding else documents


def chunked(documents: Float[Tensor, "N d"]) -> list[Float[Tensor, "_ d"]]:
    """The documents in chunks of `COLUMNS`, the last padded to whole tiles."""
    chunks = list(torch.split(documents.detach(), COLUMNS))
    chunks[-1] = whole_tiles(chunks[-1])
    return chunks


def score_grid(
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


def as_grid(scores: Float[Tensor, "b N"]) -> Float[Tensor, "C b n"]:
    """Given scores in the layout of `score_grid`."""
    if not bool(torch.isfinite(scores).all()):
        raise UserError("finite scores", "NaN or infinity", "Mend the system that gives them.")
    size, count = scores.shape
    width = min(COLUMNS, -(-count // TILE) * TILE)
    grid = scores.new_full((-(-count // width), size, width), -torch.inf)
    for part, chunk in zip(grid, torch.split(scores, width, dim=1), strict=True):
        part[:, : chunk.shape[1]] = chunk
    return grid


def scores_at(grid: Float[Tensor, "C b n"], rows: Int[Tensor, "b m"]) -> Float[Tensor, "b m"]:
    """The scores of given document rows of each query."""
    width = grid.shape[2]
    return grid[rows // width, torch.arange(grid.shape[1], device=grid.device).unsqueeze(1), rows % width]


def best_of_grid(grid: Float[Tensor, "C b n"], k: int) -> tuple[Float[Tensor, "b k"], Int[Tensor, "b k"]]:
    """Scores and rows of the best `k` of each query, best first, equal ones by row."""
    chunks, queries, width = grid.shape
    groups = chunks * width // _GROUP
    if groups < 4 * k:
        return best_of_rows(as_rows(grid), k)
    # Whatever is not in one of the `k` groups of neighbours with the best maxima has `k` better
    # scores before it.
    maxima = as_rows(grid.view(chunks, queries, width // _GROUP, _GROUP).amax(dim=3))
    chosen = best_of_rows(maxima, k)[1].sort(dim=1).values
    rows = (chosen.unsqueeze(2) * _GROUP + torch.arange(_GROUP, device=grid.device)).flatten(1)
    best, at = best_of_rows(scores_at(grid, rows), k)
    return best, rows.gather(1, at)


def as_rows(grid: Float[Tensor, "C b n"]) -> Float[Tensor, "b Cn"]:
    """The scores of each query side by side; -inf behind the last document."""
    return grid[0] if len(grid) == 1 else grid.transpose(0, 1).flatten(1)


def best_of_rows(scores: Float[Tensor, "b n"], k: int) -> tuple[Float[Tensor, "b k"], Int[Tensor, "b k"]]:
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


def _first_at_boundary(scores: Float[Tensor, "t n"], boundary: Float[Tensor, " t"], k: int) -> Int[Tensor, "t k"]:
    """Places of the scores above the boundary, filled up to `k` with the first of those at it."""
    above, level = scores > boundary.unsqueeze(1), scores == boundary.unsqueeze(1)
    room = k - above.sum(dim=1, keepdim=True)
    kept = above | (level & (level.cumsum(dim=1) <= room))
    return kept.nonzero()[:, 1].view(len(scores), k)


@contextmanager
def full_precision() -> Iterator[None]:
    """Float32 products in float32, also where training has allowed TF32 or bfloat16 for them."""
    allowed = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(allowed)


def largest(embeddings: Float[Tensor, "n d"], kind: str) -> float:
    """The largest absolute value; an error if a value is not finite."""
    if not embeddings.numel():
        return 0.0
    low, high = torch.aminmax(embeddings.detach())
    bound = max(-low.item(), high.item())
    if bound != bound or bound == float("inf"):
        rows = (~torch.isfinite(embeddings)).any(dim=1).nonzero().squeeze(1).tolist()
        raise UserError(
            "finite embeddings",
            f"NaN or infinity in {len(rows)} {kind} embeddings, first in row {rows[0]}",
            "Training has diverged or the encoder is broken: lower optimizer.lr or set trainer.precision=32-true.",
        )
    return bound


def check_k(k: int) -> None:
    """Raise `UserError` unless so many documents can be asked for."""
    if k < 1:
        raise UserError("k of at least 1", str(k), "Ask for one or more documents.")
