"""What travels from the data module to the Lightning module."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hr_retrieval.encoder.ragged import Ragged, on_device


@dataclass(frozen=True)
class Batch:
    """A training batch: everything downstream is written over anchors, documents, relevance and negatives.

    All but tokens stays on the CPU, so that what follows from it is known without waiting for a
    GPU.

    Attributes:
        anchors: the tokens of `B` queries.
        documents: the tokens of `D >= B` documents: one positive of each anchor in the anchors'
            order, then further positives and stated or mined negatives.
        relevance: which document is relevant to which anchor, by ids, groups and duplicates;
            `relevance[i, i]` holds.
        negative: which document is a negative of which anchor. One that is neither relevant nor a
            negative counts for nothing: it is not pulled, pushed or mixed in.
        drawn: which document is in the batch for which anchor's sake; `drawn[i, i]` holds.
        query_rows: where the anchors stand in `queries.parquet`; of several sources, in their tables
            one behind the other.
        document_rows: likewise the documents in `corpus.parquet`.
        source: the number of the source that they are of.
        weights: what each relevant document weighs in the loss; `None` for 1 each.
    """

    anchors: Ragged
    documents: Ragged
    relevance: Bool[Tensor, "B D"]
    negative: Bool[Tensor, "B D"]
    drawn: Bool[Tensor, "B D"]
    query_rows: Int[Tensor, " B"]
    document_rows: Int[Tensor, " D"]
    source: int = 0
    weights: Float[Tensor, "B D"] | None = None

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch with its tokens on another device."""
        return replace(self, anchors=self.anchors.to(device), documents=self.documents.to(device))


@dataclass(frozen=True)
class EvaluationBatch:
    """Texts to be embedded for ranking.

    Attributes:
        kind: whether these are queries or documents.
        rows: their positions in the evaluation set, not in the tables.
        tokens: their tokens.
        source: the number of the source whose evaluation set it is.
    """

    kind: Literal["query", "document"]
    rows: Int[Tensor, " b"]
    tokens: Ragged
    source: int = 0

    def to(self, device: torch.device | str) -> "EvaluationBatch":
        """The same batch on another device."""
        return EvaluationBatch(self.kind, on_device(self.rows, device), self.tokens.to(device), self.source)
