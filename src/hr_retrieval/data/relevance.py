"""Which documents are relevant to which queries: the one guard against false negatives."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from scipy import sparse

Codes = npt.NDArray[np.int64]
Rows = npt.NDArray[np.integer]


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
    """

    tables: GroupedTables

    def mask(self, query_rows: Rows, document_rows: Rows) -> npt.NDArray[np.bool_]:
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


def _mark(mask: npt.NDArray[np.bool_], owners: npt.NDArray[np.int64], wanted: Codes, codes: Codes) -> None:
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
