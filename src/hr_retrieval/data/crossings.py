"""What stands in two splits of one data set, so that training or the choice of settings shows what is measured."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hr_retrieval.data.arrays import Codes, Mask, Rows
from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.tables import SPLITS

KINDS = ("query text", "document", "near-duplicate document", "group")


@dataclass(frozen=True)
class Crossing:
    """Validation and test queries that share something with another split.

    Attributes:
        kind: what they share: one of `KINDS`.
        queries: how many they are.
        example: the text of one.
        other: the text of a query of another split that shares it.
    """

    kind: str
    queries: int
    example: str
    other: str

    def __str__(self) -> str:
        return f"{self.queries:,} share a {self.kind} (such as {self.example[:80]!r} and {self.other[:80]!r})"


def crossings(dataset: PreparedDataset, shared_documents: bool = False) -> list[Crossing]:
    """What crosses splits, by kind; a query that shares a document is not counted for its near-duplicates again.

    Args:
        shared_documents: whether documents may answer queries of several splits.
    """
    found, counted = [], np.zeros(dataset.query_count, bool)
    for kind, owners, codes in _shared(dataset, shared_documents):
        crossing = _crossing(dataset, kind, owners, codes, counted)
        if crossing is not None:
            found.append(crossing)
    return found


def _shared(dataset: PreparedDataset, shared_documents: bool) -> Iterator[tuple[str, Rows, Rows | Codes]]:
    """Of each kind pairs of a query and the code of what it has."""
    everyone = np.arange(dataset.query_count)
    owners = np.repeat(everyone, np.diff(dataset.positive_offsets))
    documents = np.asarray(dataset.positive_documents)
    # A text shows a query as another query, and as what answers one.
    texts = np.asarray(dataset.document_text)[documents]
    answers = slice(0, 0) if shared_documents else slice(None)
    yield "query text", np.append(everyone, owners[answers]), np.append(np.asarray(dataset.query_text), texts[answers])
    if not shared_documents:
        yield "document", owners, documents
        yield "near-duplicate document", owners, np.asarray(dataset.document_duplicate)[documents]
    yield "group", everyone, np.asarray(dataset.query_group)


def _crossing(dataset: PreparedDataset, kind: str, owners: Rows, codes: Rows | Codes, counted: Mask) -> Crossing | None:
    # What stands alone has a negative code.
    owners, codes = owners[codes >= 0], codes[codes >= 0]
    if not len(codes):
        return None
    splits = np.asarray(dataset.query_split)[owners]
    width = int(codes.max()) + 1
    lowest, highest = np.full(width, len(SPLITS), np.int8), np.full(width, -1, np.int8)
    np.minimum.at(lowest, codes, splits)
    np.maximum.at(highest, codes, splits)
    leaking = np.flatnonzero((lowest[codes] != highest[codes]) & (splits > 0) & ~counted[owners])
    if not len(leaking):
        return None
    first = leaking[0]
    other = np.flatnonzero((codes == codes[first]) & (splits != splits[first]))[0]
    queries = np.unique(owners[leaking])
    if kind != "query text":
        counted[queries] = True
    example, beside = dataset.texts_at("queries", np.array([owners[first], owners[other]]))
    return Crossing(kind, len(queries), example, beside)
