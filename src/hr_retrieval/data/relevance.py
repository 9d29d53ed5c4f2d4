"""Which documents are relevant to which queries, and which are negatives: the one guard against false negatives."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from scipy import sparse

from hr_retrieval.data.guide import Guidance

Codes = npt.NDArray[np.int64]
Rows = npt.NDArray[np.integer]
Mask = npt.NDArray[np.bool_]

# The guide's float16 embeddings of one text differ by rounding, and must not make a twin of the positive a negative.
_ROUNDING = 1e-4


@runtime_checkable
class GroupedTables(Protocol):
    """The arrays of a prepared data set that relevance follows from."""

    @property
    def document_group(self) -> Codes: ...

    @property
    def document_duplicate(self) -> Codes: ...

    @property
    def query_group(self) -> Codes: ...

    @property
    def positive_offsets(self) -> npt.NDArray[np.int64]: ...

    @property
    def positive_documents(self) -> npt.NDArray[np.int32]: ...


@dataclass(frozen=True)
class Guard:
    """A document is relevant to a query if it is a stated positive, is of the query's group or of the group of one of its
    positives, or is a duplicate of one of its positives. Whatever is relevant is never a negative: not in the loss, the
    queue, the mined negatives or the mixer.

    Whatever else the guide finds as close to the query as a stated positive is neither relevant nor a negative:
    document `j` if `cos_g(q, d_j) >= max over the stated positives p of cos_g(q, p) - margin`. By the best of all
    stated positives, not by the pair's own, it depends on rows alone: the same document is judged alike in the batch,
    from another process and in the queue. Sources: Solatorio 2024 (GISTEmbed, arXiv 2402.16829); Moreira et al. 2024
    (NV-Retriever, positive-aware mining, arXiv 2407.15831).

    Attributes:
        tables: what relevance follows from.
        guidance: the guide's opinion of all texts; `None` leaves everything not relevant a negative.
    """

    tables: GroupedTables
    guidance: Guidance | None = None

    def judge(self, query_rows: Rows, document_rows: Rows) -> tuple[Mask, Mask]:
        """Which of the given documents are relevant to the given queries `[B, D]`, and which are negatives `[B, D]`."""
        relevance = self.mask(query_rows, document_rows)
        if self.guidance is None:
            return relevance, ~relevance
        threshold = self._best_positive(self.guidance, query_rows) - self.guidance.margin - _ROUNDING
        near = self.guidance.scores(query_rows, document_rows) >= threshold[:, None]
        return relevance, ~(relevance | near)

    def mask(self, query_rows: Rows, document_rows: Rows) -> Mask:
        """Relevance `[B, D]` of the given documents to the given queries."""
        mask = np.zeros((len(query_rows), len(document_rows)), dtype=bool)
        columns = (
            (self._stated(query_rows), document_rows),
            (self._groups(query_rows), self.tables.document_group[document_rows]),
            (self._duplicates(query_rows), self.tables.document_duplicate[document_rows]),
        )
        for (owners, wanted), codes in columns:
            _mark(mask, owners, wanted, np.asarray(codes, np.int64))
        return mask

    def relevant(self, query_rows: Rows, document_rows: Rows) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The same as `mask` for large sets, as CSR: offsets `[Q + 1]` and, ascending in each query, positions in `document_rows`."""
        columns = (
            (self._stated(query_rows), document_rows),
            (self._groups(query_rows), self.tables.document_group[document_rows]),
            (self._duplicates(query_rows), self.tables.document_duplicate[document_rows]),
        )
        shape = (len(query_rows), len(document_rows))
        total = sparse.csr_array(shape, dtype=np.int32)
        for (owners, wanted), codes in columns:
            total = total + _incidence(owners, wanted, np.asarray(codes, np.int64), shape)
        total.sort_indices()
        return total.indptr.astype(np.int64), total.indices.astype(np.int64)

    def _best_positive(self, guidance: Guidance, query_rows: Rows) -> npt.NDArray[np.float32]:
        """The guide's highest score of each query's stated positives; infinite where there is none."""
        owners, positives = self._stated(query_rows)
        best = np.full(len(query_rows), -np.inf, np.float32)
        np.maximum.at(best, owners, guidance.pair_scores(query_rows[owners], positives))
        return np.where(np.isneginf(best), np.float32(np.inf), best)

    def _stated(self, query_rows: Rows) -> tuple[npt.NDArray[np.int64], Codes]:
        begins = self.tables.positive_offsets[query_rows]
        counts = self.tables.positive_offsets[query_rows + 1] - begins
        owners = np.repeat(np.arange(len(query_rows)), counts)
        within = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
        return owners, self.tables.positive_documents[np.repeat(begins, counts) + within].astype(np.int64)

    def _groups(self, query_rows: Rows) -> tuple[npt.NDArray[np.int64], Codes]:
        owners, positives = self._stated(query_rows)
        own = self.tables.query_group[query_rows]
        owners = np.concatenate([owners, np.arange(len(query_rows))])
        return owners, np.concatenate([self.tables.document_group[positives], own])

    def _duplicates(self, query_rows: Rows) -> tuple[npt.NDArray[np.int64], Codes]:
        owners, positives = self._stated(query_rows)
        return owners, self.tables.document_duplicate[positives]


def _mark(mask: Mask, owners: npt.NDArray[np.int64], wanted: Codes, codes: Codes) -> None:
    """Set `mask[i, j]` where some code wanted by owner `i` is `codes[j]`, by joining both sides on the sorted codes."""
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    begins, ends = np.searchsorted(ordered, wanted, "left"), np.searchsorted(ordered, wanted, "right")
    counts = ends - begins
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    mask[np.repeat(owners, counts), order[np.repeat(begins, counts) + within]] = True


def _incidence(
    owners: npt.NDArray[np.int64], wanted: Codes, codes: Codes, shape: tuple[int, int]
) -> "sparse.csr_array[np.int32]":
    distinct, columns = np.unique(codes, return_inverse=True)
    at = np.searchsorted(distinct, wanted)
    found = (at < len(distinct)) & (distinct[np.minimum(at, len(distinct) - 1)] == wanted)
    left = sparse.coo_array(
        (np.ones(found.sum(), np.int32), (owners[found], at[found])), shape=(shape[0], len(distinct))
    ).tocsr()
    left.data[:] = 1
    right = sparse.coo_array(
        (np.ones(shape[1], np.int32), (columns, np.arange(shape[1]))), shape=(len(distinct), shape[1])
    )
    return left @ right.tocsr()
