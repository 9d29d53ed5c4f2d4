"""Long texts as passages, and documents ranked by all of theirs."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from hr_retrieval.encoder.embedder import Embedder
from hr_retrieval.encoder.wording import Kind
from hr_retrieval.retrieval.passages import PassageIndex
from hr_retrieval.retrieval.ranking import Ranking, ranking_by_scores
from hr_retrieval.retrieval.relevance import Relevance


@dataclass(frozen=True)
class Passages:
    """The passages of `N` texts, embedded.

    Attributes:
        embeddings: of all, those of a text in neighbouring rows.
        offsets: the passages of text `i` are the rows `offsets[i] : offsets[i + 1]`.
    """

    embeddings: Float[Tensor, "P d"]
    offsets: Int[Tensor, " N_plus_1"]

    @classmethod
    def of(cls, encoder: Embedder, texts: Sequence[str], kind: Kind, overlap: int) -> "Passages":
        """Cut as `Encoder.passages` does, on the CPU."""
        spans = encoder.passages(list(texts), kind, overlap)
        pieces = [text[begin:end] for text, own in zip(texts, spans, strict=True) for begin, end in own]
        offsets = torch.tensor([0, *map(len, spans)]).cumsum(0)
        return cls(encoder.encode(pieces, kind).cpu(), offsets)

    def unit_means(self) -> Float[Tensor, "N d"]:
        """One vector a text; of a text of one passage its own."""
        counts = self.offsets.diff()
        if len(self.embeddings) == len(counts):
            return self.embeddings
        return F.normalize(torch.segment_reduce(self.embeddings, "mean", lengths=counts, axis=0), dim=1)


def passage_ranking(
    queries: Float[Tensor, "Q d"], documents: Passages, relevance: Relevance, pooled: str, k: int
) -> Ranking:
    """Exact ranks where a document scores by the largest (`max`) or the mean (`mean`) score of its passages."""
    index = PassageIndex(documents.embeddings, documents.offsets)
    return ranking_by_scores(lambda rows: index.scores(queries[rows], pooled), relevance, len(index), k)
