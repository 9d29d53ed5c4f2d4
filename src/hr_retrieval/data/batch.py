"""What travels from the data module to the Lightning module."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hr_retrieval.encoder.ragged import Ragged


@dataclass(frozen=True)
class Batch:
    """A training batch: everything downstream is written over anchors, documents, relevance and negatives.

    Attributes:
        anchors: the tokens of `B` queries.
        documents: the tokens of `D >= B` documents: one positive of each anchor in the anchors' order, then
            further positives and stated or mined negatives.
        relevance: which document is relevant to which anchor, by ids, groups and duplicates; `relevance[i, i]` holds.
        negative: which document is a negative of which anchor. One that is neither relevant nor a negative counts for
            nothing: it is not pulled, pushed or mixed in.
        query_rows: where the anchors stand in `queries.parquet`.
        document_rows: where the documents stand in `corpus.parquet`.
    """

    anchors: Ragged
    documents: Ragged
    relevance: Bool[Tensor, "B D"]
    negative: Bool[Tensor, "B D"]
    query_rows: Int[Tensor, " B"]
    document_rows: Int[Tensor, " D"]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """The same batch on another device."""
        return Batch(
            self.anchors.to(device, non_blocking),
            self.documents.to(device, non_blocking),
            self.relevance.to(device, non_blocking=non_blocking),
            self.negative.to(device, non_blocking=non_blocking),
            self.query_rows.to(device, non_blocking=non_blocking),
            self.document_rows.to(device, non_blocking=non_blocking),
        )

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory."""
        return Batch(
            self.anchors.pin_memory(),
            self.documents.pin_memory(),
            self.relevance.pin_memory(),
            self.negative.pin_memory(),
            self.query_rows.pin_memory(),
            self.document_rows.pin_memory(),
        )


@dataclass(frozen=True)
class EvaluationBatch:
    """Texts to be embedded for ranking.

    Attributes:
        kind: whether these are queries or documents.
        rows: their positions in the evaluation set, not in the tables.
        tokens: their tokens.
    """

    kind: Literal["query", "document"]
    rows: Int[Tensor, " b"]
    tokens: Ragged

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "EvaluationBatch":
        """The same batch on another device."""
        rows = self.rows.to(device, non_blocking=non_blocking)
        return EvaluationBatch(self.kind, rows, self.tokens.to(device, non_blocking))

    def pin_memory(self) -> "EvaluationBatch":
        """The same batch in page-locked memory."""
        return EvaluationBatch(self.kind, self.rows.pin_memory(), self.tokens.pin_memory())
