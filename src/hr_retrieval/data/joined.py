"""Several prepared data sets as one set of judged tables, so that one guard speaks for all of them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hr_retrieval.data.arrays import Codes, Offsets, Rows
from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.judged import JudgedArrays
from hr_retrieval.data.keys import Distinct, distinct_numbers, places_of, rows_by_code


def first_rows(datasets: Sequence[PreparedDataset]) -> tuple[list[int], list[int]]:
    """Where the queries, and where the documents of each data set begin among all."""
    queries, documents = (
        np.cumsum([0, *counts])[:-1].tolist()
        for counts in ([data.query_count for data in datasets], [data.document_count for data in datasets])
    )
    return queries, documents


def joined(datasets: Sequence[PreparedDataset], shared_groups: bool = True) -> JudgedArrays:
    """The arrays of all data sets; of a single one they are its own.

    Queries of equal normalised text are of one text, and documents of equal text duplicates of each
    other, in whichever data set they stand; a document is of all groups that any document of its
    text is of.

    Args:
        shared_groups: whether equal group ids of several data sets mean the same group.
    """
    if len(datasets) == 1:
        return datasets[0]
    firsts = first_rows(datasets)[1]
    query_hashes, document_hashes, query_split = (
        np.concatenate([np.asarray(getattr(data, name)) for data in datasets])
        for name in ("query_hashes", "document_hashes", "query_split")
    )
    texts, documents = Distinct.of(query_hashes), Distinct.of(document_hashes)
    text_offsets, text_queries = rows_by_code(texts.codes, len(texts))
    query_group, owners, groups = _groups(datasets, texts.codes, shared_groups)
    group_offsets, document_groups = _groups_by_text(documents.codes, owners, groups)
    positives, negatives = (
        _concatenated(
            [(getattr(data, f"{kind}_offsets"), getattr(data, f"{kind}_documents")) for data in datasets], firsts
        )
        for kind in ("positive", "negative")
    )
    return JudgedArrays(
        document_duplicate=_duplicates(datasets, documents.codes),
        document_text=places_of(document_hashes, query_hashes[texts.first]),
        group_offsets=group_offsets,
        document_groups=document_groups,
        query_group=query_group,
        query_text=texts.codes,
        query_split=query_split,
        text_offsets=text_offsets,
        text_queries=text_queries,
        positive_offsets=positives[0],
        positive_documents=positives[1],
        positive_grades=np.concatenate([np.asarray(data.positive_grades) for data in datasets]),
        positive_weights=np.concatenate([np.asarray(data.positive_weights) for data in datasets]),
        negative_offsets=negatives[0],
        negative_documents=negatives[1],
    )


def _duplicates(datasets: Sequence[PreparedDataset], texts: Codes) -> Codes:
    """One code for what is connected by a data set's own duplicates, or by an equal text."""
    own, begin = [], 0
    for data in datasets:
        numbers = np.unique(np.asarray(data.document_duplicate), return_inverse=True)[1]
        own.append(numbers + begin)
        begin += int(numbers.max(initial=-1)) + 1
    left = np.concatenate(own)
    size = begin + int(texts.max(initial=-1)) + 1
    graph = coo_array((np.ones(len(left), bool), (left, texts + begin)), shape=(size, size))
    codes: Codes = connected_components(graph, directed=False)[1][left].astype(np.int64)
    return codes


def _groups(
    datasets: Sequence[PreparedDataset], texts: Codes, shared: bool
) -> tuple[Codes, npt.NDArray[np.int64], Codes]:
    """The group of each query; and the groups of documents, as rows and groups beside each other."""
    stated = np.concatenate([np.asarray(data.group_hashes) for data in datasets])
    codes = Distinct.of(stated).codes.astype(np.int64) if shared else np.arange(len(stated), dtype=np.int64)
    query_groups, owners, groups = [], [], []
    first_query = first_document = first_group = 0
    for data in datasets:
        # Of queries without a stated group, a negative code says the text.
        of_text = texts[first_query + np.asarray(data.text_queries)[np.asarray(data.text_offsets[:-1])]]

        def renamed(own: Codes, of_text: Codes = of_text, first: int = first_group) -> Codes:
            own = np.asarray(own, np.int64)
            here = np.empty(len(own), np.int64)
            here[own >= 0] = codes[first + own[own >= 0]]
            here[own < 0] = -1 - of_text[-1 - own[own < 0]].astype(np.int64)
            return here

        query_groups.append(renamed(data.query_group))
        groups.append(renamed(data.document_groups))
        owners.append(first_document + np.repeat(np.arange(data.document_count), np.diff(data.group_offsets)))
        first_query += data.query_count
        first_document += data.document_count
        first_group += len(data.group_hashes)
    return np.concatenate(query_groups), np.concatenate(owners), np.concatenate(groups)


def _groups_by_text(texts: Codes, owners: npt.NDArray[np.int64], groups: Codes) -> tuple[Offsets, Codes]:
    """CSR of the groups of each document: those of all documents of its text."""
    lowest = min(int(groups.min(initial=0)), 0)
    span = int(groups.max(initial=-1)) + 1 - lowest
    pairs = distinct_numbers(texts[owners].astype(np.int64) * span + groups - lowest)
    count = int(texts.max(initial=-1)) + 1
    begins = np.searchsorted(pairs, np.arange(count + 1, dtype=np.int64) * span)
    counts = np.diff(begins)[texts]
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
    return offsets, pairs[np.repeat(begins[texts], counts) + within] % max(span, 1) + lowest


def _concatenated(tables: Sequence[tuple[Offsets, Rows]], firsts: Sequence[int]) -> tuple[Offsets, Rows]:
    """CSR tables one behind the other, with documents counted among all."""
    ends = np.cumsum([0, *(len(documents) for _, documents in tables)])
    offsets = [np.asarray(own[:-1]) + end for (own, _), end in zip(tables, ends[:-1], strict=True)]
    documents = [np.asarray(rows, np.int64) + first for (_, rows), first in zip(tables, firsts, strict=True)]
    return np.concatenate([*offsets, ends[-1:]]).astype(np.int64), np.concatenate(documents)
