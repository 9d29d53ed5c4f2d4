"""The embedded batches of all processes as one, and what the guard says of them."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hr_retrieval.data.batch import Batch
from hr_retrieval.data.guard import Guard
from hr_retrieval.data.source import Source
from hr_retrieval.encoder.ragged import on_device
from hr_retrieval.objective.mixing import MemoryQueue, Neighbours
from hr_retrieval.train.distributed import gather_parts


@dataclass(frozen=True)
class GlobalBatch:
    """What one step compares; each process holds the same.

    Attributes:
        anchors: unit embeddings.
        documents: likewise; the first `B` are the anchors' own positives in the anchors' order.
        relevance, negative: as in `Batch`, where the embeddings lie.
        relevant: how many pairs are relevant.
        query_rows, document_rows: likewise, on the CPU.
        identities: a code for each document, equal for duplicates.
        views: unit embeddings of the anchors' views, where the mixing takes them.
        weights: as in `Batch`, where the embeddings lie.
    """

    anchors: Float[Tensor, "B d"]
    documents: Float[Tensor, "D d"]
    relevance: Bool[Tensor, "B D"]
    negative: Bool[Tensor, "B D"]
    relevant: int
    query_rows: Int[Tensor, " B"]
    document_rows: Int[Tensor, " D"]
    identities: Int[Tensor, " D"]
    views: Float[Tensor, "B d"] | None
    weights: Float[Tensor, "B D"] | None = None

    def ignored_share(self) -> Float[Tensor, ""]:
        """The share of what is not relevant that the guard took out of the negatives."""
        others = ~self.relevance
        return (others & ~self.negative).sum() / others.sum().clamp(min=1)


class Surroundings(Protocol):
    """What knows the documents around a batch."""

    def around(self, whole: GlobalBatch, guard: Guard) -> Neighbours:
        """Documents beyond the batch that are near to its texts, judged for its anchors."""
        ...


def gathered(
    batch: Batch,
    anchors: Float[Tensor, "B d"],
    documents: Float[Tensor, "D d"],
    views: Float[Tensor, "B d"] | None,
    guard: Guard,
    processes: int,
) -> GlobalBatch:
    """This process's batch with its embeddings, joined with those of the others; gradients flow
    back to where they came from (see `gather_parts`).
    """
    device = anchors.device
    if processes == 1:
        return GlobalBatch(
            anchors,
            documents,
            on_device(batch.relevance, device),
            on_device(batch.negative, device),
            int(batch.relevance.sum()),
            batch.query_rows,
            batch.document_rows,
            _identities(guard, batch.document_rows, device),
            views,
            None if batch.weights is None else on_device(batch.weights, device),
        )
    size = len(batch.anchors)
    query_rows = torch.cat(gather_parts(batch.query_rows.to(device))).cpu()
    # Own positives of all processes first, in the anchors' order, then everything else.
    rows = batch.document_rows.to(device)
    document_rows = torch.cat([*gather_parts(rows[:size]), *gather_parts(rows[size:])]).cpu()
    all_documents = torch.cat([*gather_parts(documents[:size]), *gather_parts(documents[size:])])
    # As in the batch of one process: what two processes brought, or one as an extra to another's
    # own, counts once.
    kept = distinct(document_rows, len(query_rows))
    document_rows = document_rows[kept]
    relevance, negative = _judged(guard, query_rows, document_rows)
    weights = guard.weights(query_rows.numpy(), document_rows.numpy())
    return GlobalBatch(
        torch.cat(gather_parts(anchors)),
        all_documents[on_device(kept, device)],
        on_device(relevance, device),
        on_device(negative, device),
        int(relevance.sum()),
        query_rows,
        document_rows,
        _identities(guard, document_rows, device),
        None if views is None else torch.cat(gather_parts(views)),
        None if weights is None else on_device(torch.from_numpy(weights), device),
    )


def remembered(queue: MemoryQueue, whole: GlobalBatch, guard: Guard, source: Source) -> Neighbours:
    """What the queue holds of the batch's source beside the batch's own documents, judged by the same
    guard as in the batch.
    """
    embeddings, rows = queue.current()
    own = (rows >= source.first_document) & (rows < source.first_document + source.dataset.document_count)
    return beyond(embeddings[own], rows[own], whole, guard)


def beyond(embeddings: Float[Tensor, "K d"], rows: Int[Tensor, " K"], whole: GlobalBatch, guard: Guard) -> Neighbours:
    """Embeddings of an earlier step and the rows of their documents, those of the batch aside,
    judged as in the batch.
    """
    # A stale copy of an anchor's own positive would pass for another positive and satisfy the
    # triplet for free.
    rows, device = rows.cpu(), embeddings.device
    others = (~torch.isin(rows, whole.document_rows)).nonzero().squeeze(1)
    rows = rows[others]
    relevance, negative = (on_device(part, device) for part in _judged(guard, whole.query_rows, rows))
    return Neighbours(embeddings[on_device(others, device)], relevance, negative, _identities(guard, rows, device))


def distinct(rows: Int[Tensor, " D"], own: int) -> Int[Tensor, " kept"]:
    """Positions of the first `own` rows, and of each other row that is not among these, once and in ascending order."""
    numbers = rows.numpy()
    extra, first = np.unique(numbers[own:], return_index=True)
    kept = own + first[~np.isin(extra, numbers[:own])]
    return torch.from_numpy(np.concatenate([np.arange(own), kept]))


def _judged(
    guard: Guard, query_rows: Int[Tensor, " B"], document_rows: Int[Tensor, " D"]
) -> tuple[Bool[Tensor, "B D"], Bool[Tensor, "B D"]]:
    relevance, negative = guard.judge(query_rows.numpy(), document_rows.numpy())
    return torch.from_numpy(relevance), torch.from_numpy(negative)


def _identities(guard: Guard, document_rows: Int[Tensor, " D"], device: torch.device) -> Int[Tensor, " D"]:
    return on_device(torch.from_numpy(guard.identities(document_rows.numpy())), device)
