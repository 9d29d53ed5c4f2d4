"""Documents in fewer bytes: cut to their first numbers, rounded to 8 bits or to one, and what is ranked so."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.grid import best_of_rows, full_precision
from hr_retrieval.retrieval.ranking import exact_ranks, ranking_by_scores
from hr_retrieval.retrieval.relevance import Relevance

FORMS = ("float32", "int8", "binary", "binary, rescored")
# The scale of a vector of 8-bit numbers.
_SCALE_BYTES = 4


@dataclass(frozen=True)
class Size:
    """How a document is kept.

    Queries stay whole numbers of float32, cut as the documents are, but to `binary`.

    Attributes:
        dimensions: `k`, the first numbers of a unit vector, brought to unit length again.
        form: `float32`; `int8`, `round(127 v / max |v|)` and that maximum; `binary`, the signs of
            both sides, compared by how many agree; `binary, rescored`, where the best `rescored` of
            these are ordered anew by the query and the `int8` document (Yamada et al. 2021, BPR,
            arXiv 2106.00882).
        rescored: how many these are; the others stay behind them.
    """

    dimensions: int
    form: str
    rescored: int = 100

    @property
    def searched_bytes(self) -> int:
        """Bytes of a document that every search reads."""
        return {
            "float32": 4 * self.dimensions,
            "int8": self.dimensions + _SCALE_BYTES,
        }.get(self.form, -(-self.dimensions // 8))

    @property
    def further_bytes(self) -> int:
        """Bytes of a document that are read for the best ones alone; they may lie on a disk."""
        return self.dimensions + _SCALE_BYTES if self.form == "binary, rescored" else 0


def sizes(whole: int, dimensions: Sequence[int], rescored: int) -> Iterator[Size]:
    """Every form of whole vectors and of these first numbers, the longest first.

    Raises:
        UserError: a dimension is not from 1 to `whole`, or `rescored` is below 1.
    """
    if rescored < 1:
        raise UserError("rescored of at least 1", str(rescored), "100 is the default.")
    if any(not 1 <= one <= whole for one in dimensions):
        raise UserError(
            f"dimensions from 1 to {whole}, the encoder's own", str(list(dimensions)), "Leave out what it has not."
        )
    for one in sorted({whole, *dimensions}, reverse=True):
        yield from (Size(one, form, rescored) for form in FORMS)


@torch.no_grad()
def compressed_ranks(
    queries: Float[Tensor, "Q d"], documents: Float[Tensor, "N d"], relevance: Relevance, size: Size
) -> Int[Tensor, " nnz"]:
    """As `exact_ranks`, of documents that are kept so."""
    if size.dimensions < queries.shape[1]:
        queries, documents = (F.normalize(side[:, : size.dimensions], dim=1) for side in (queries, documents))
    if size.form == "float32":
        return exact_ranks(queries, documents, relevance)
    if size.form == "int8":
        return exact_ranks(queries, rounded(documents), relevance)
    signs = [torch.where(side >= 0, 1.0, -1.0) for side in (queries, documents)]
    if size.form == "binary":
        return exact_ranks(signs[0], signs[1], relevance)
    kept, depth = rounded(documents), min(size.rescored, len(documents))

    def scores(rows: Int[Tensor, " b"]) -> Float[Tensor, "b N"]:
        with full_precision():
            agreeing = signs[0][rows] @ signs[1].T
        best = best_of_rows(agreeing, depth)[1]
        anew = (queries[rows].unsqueeze(1) * kept[best]).sum(2)
        # Cosines stand above what is compared by signs alone: that is at most -2 now.
        return (agreeing / size.dimensions - 3).scatter(1, best, anew)

    return ranking_by_scores(scores, relevance, len(documents), 1).ranks


def rounded(vectors: Float[Tensor, "N k"]) -> Float[Tensor, "N k"]:
    """What 8 bits a number and one scale a vector leave of the vectors."""
    scale = vectors.abs().amax(1, keepdim=True).clamp(min=torch.finfo(vectors.dtype).tiny) / 127
    return (vectors / scale).round() * scale
