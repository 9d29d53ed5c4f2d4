"""The embedded batches of all processes as one, and what the guard says of them."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hr_retrieval.data.batch import Batch
from hr_retrieval.data.guard import Guard
from hr_retrieval.objective.mixing import MemoryQueue, Neighbours
from hr_retrieval.train.distributed import gather_parts


@dataclass(frozen=True)
class GlobalBatch:
    """What one step compares; each process holds the same.

    Attributes:
        anchors: unit embeddings.
        documents: likewise; the first `B` are the anchors' own positives in the anchors' order.
        relevance, negative: as in `Batch`.
        query_rows, document_rows: likewise.
        identities: a code for each document, equal for duplicates.
    """

    anchors: Float[Tensor, "B d"]
    documents: Float[Tensor, "D d"]
    relevance: Bool[Tensor, "B D"]
    negative: Bool[Tensor, "B D"]
    query_rows: Int[Tensor, " B"]
    document_rows: Int[Tensor, " D"]
    identities: Int[Tensor, " D"]

    def ignored_share(self) -> Float[Tensor, ""]:
        """The share of what is not relevant that the guard took out of the negatives."""
        others = ~self.relevance
        return (others & ~self.negative).sum() / others.sum().clamp(min=1)


def gathered(
    batch: Batch, anchors: Float[Tensor, "B d"], documents: Float[Tensor, "D d"], guard: Guard, processes: int
) -> GlobalBatch:
    """This process's batch with its embeddings, joined with those of the others; gradients flow back to where they
    came from (see `gather_parts`).
    """
    if processes == 1:
        identities = _identities(guard, batch.document_rows)
        return GlobalBatch(
            anchors, documents, batch.relevance, batch.negative, batch.query_rows, batch.document_rows, identities
        )
    size = len(batch.anchors)
    query_rows = torch.cat(gather_parts(batch.query_rows))
    # Own positives of all processes first, in the anchors' order, then everything else.
    document_rows = torch.cat([*gather_parts(batch.document_rows[:size]), *gather_parts(batch.document_rows[size:])])
    all_documents = torch.cat([*gather_parts(documents[:size]), *gather_parts(documents[size:])])
    # As in the batch of one process: what two processes brought, or one as an extra to another's own, counts once.
    kept = distinct(document_rows, len(query_rows))
    document_rows = document_rows[kept]
    return GlobalBatch(
        torch.cat(gather_parts(anchors)),
        all_documents[kept],
        *_judged(guard, query_rows, document_rows),
        query_rows,
        document_rows,
        _identities(guard, document_rows),
    )


def remembered(queue: MemoryQueue, whole: GlobalBatch, guard: Guard) -> Neighbours:
    """What the queue holds beside the batch's own documents, judged by the same guard as in the batch."""
    return beyond(*queue.current(), whole, guard)


def beyond(embeddings: Float[Tensor, "K d"], rows: Int[Tensor, " K"], whole: GlobalBatch, guard: Guard) -> Neighbours:
    """Embeddings of an earlier step and the rows of their documents, those of the batch aside, judged as in the batch."""
    # A stale copy of an anchor's own positive would pass for another positive and satisfy the triplet for free.
    others = ~torch.isin(rows, whole.document_rows)
    rows = rows[others]
    return Neighbours(embeddings[others], *_judged(guard, whole.query_rows, rows), _identities(guard, rows))


def distinct(rows: Int[Tensor, " D"], own: int) -> Int[Tensor, " kept"]:
    """Positions of the first `own` rows, and of each other row that is not among these, once and in ascending order."""
    numbers = rows.cpu().numpy()
    extra, first = np.unique(numbers[own:], return_index=True)
    kept = own + first[~np.isin(extra, numbers[:own])]
    return torch.from_numpy(np.concatenate([np.arange(own), kept])).to(rows.device)


def _judged(
    guard: Guard, query_rows: Int[Tensor, " B"], document_rows: Int[Tensor, " D"]
) -> tuple[Bool[Tensor, "B D"], Bool[Tensor, "B D"]]:
    relevance, negative = guard.judge(query_rows.cpu().numpy(), document_rows.cpu().numpy())
    return torch.from_numpy(relevance).to(query_rows.device), torch.from_numpy(negative).to(query_rows.device)


def _identities(guard: Guard, document_rows: Int[Tensor, " D"]) -> Int[Tensor, " D"]:
    return torch.from_numpy(guard.identities(document_rows.cpu().numpy())).to(document_rows.device)
