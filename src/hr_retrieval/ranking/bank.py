"""Training queries, to which a document may be near without being an answer."""

import numpy as np
import torch

from hr_retrieval.data.arrays import Rows
from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.guard import Guard
from hr_retrieval.data.tables import SPLITS
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.mixing import Bank, Composition
from hr_retrieval.retrieval.relevance import Relevance

# Training queries taken at most, the first by lot.
_SIZE = 4096


def training_bank(
    mixing: Composition, dataset: PreparedDataset, guard: Guard, encoder: Encoder, document_rows: Rows
) -> Bank | None:
    """The bank of a mixing that needs one, on the encoder's device; `None` for any other.

    Left out of each document's are the queries that it, or a duplicate of it, answers, and those of
    its own text.

    Raises:
        UserError: one is needed, and no query is of the training split.
    """
    check_anchors(mixing, dataset)
    if "anchors" not in mixing.needs:
        return None
    rows = _training_queries(dataset)
    rows = rows[np.argsort(dataset.query_lots[rows])][:_SIZE]
    parts = [
        Relevance(torch.from_numpy(offsets), torch.from_numpy(documents))
        for offsets, documents in (guard.relevant(rows, document_rows), guard.own_text(rows, document_rows))
    ]
    pairs = torch.unique(torch.cat([part.documents * len(rows) + part.owners for part in parts]))
    counts = torch.bincount(pairs // len(rows), minlength=len(document_rows))
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return Bank(encoder.encode(dataset.texts_at("queries", rows), "query"), Relevance(offsets, pairs % len(rows)))


def check_anchors(mixing: Composition, dataset: PreparedDataset) -> None:
    """Raise `UserError` if the mixing needs training queries and the data set has none."""
    if "anchors" in mixing.needs and not len(_training_queries(dataset)):
        raise UserError(
            "queries of the training split, to which ranking/mixing=hubs with bank=anchors compares each document",
            f"none in {dataset.folder}",
            "Set ranking.mixing.bank=documents, or ranking/mixing=none.",
        )


def _training_queries(dataset: PreparedDataset) -> Rows:
    return np.flatnonzero(np.asarray(dataset.query_split) == SPLITS["train"])
