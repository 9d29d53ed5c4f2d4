"""What is one text, one query, one pair and one split: worked out from keys alone.

A little longer than other files: what hangs together is worked out on the same two sides.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hr_retrieval.data.arrays import Codes, Hashes, Mask, PairNumbers, Places, Splits
from hr_retrieval.data.grades import Grades, Weights
from hr_retrieval.data.keys import Distinct, distinct_numbers, mix
from hr_retrieval.data.tables import SPLITS
from hr_retrieval.prepare.disk_array import stored
from hr_retrieval.prepare.intake import Intake
from hr_retrieval.prepare.occurrences import Occurrences
from hr_retrieval.prepare.split import alone, count_leaks, draw_split, join, shown_by_none
from hr_retrieval.prepare.time_split import filled, latest_dates, split_by_time

# PairNumbers that are looked at together.
_BLOCK = 1 << 22
# Documents for which near-duplicates are sought, as places in their file -> cluster numbers.
Clusterer = Callable[[Places], Codes]


@dataclass(frozen=True)
class Side:
    """The distinct texts of one side, `n` of them.

    Attributes:
        places: where each stands among the occurrences, ascending.
        groups: hash of its stated group; 0 for none, and where a document is stated for several.
        norms: hash of its normalised text.
        hashes: of its text (and group, where groups are stated), for an id.
    """

    places: Places
    groups: Hashes
    norms: Hashes
    hashes: Hashes

    def __len__(self) -> int:
        return len(self.places)


@dataclass(frozen=True)
class Resolution:
    """What is to be written.

    Attributes:
        clusters: of the documents; equal numbers mark near-duplicates.
        positives: `query * len(documents) + document`, ascending.
        grades: of each of them the highest that is stated, 1 to 3.
        weights: likewise, above 0.
        negatives: as `positives`.
        dropped: reason -> rows of `Intake.negatives` that are not used.
        merged: how many repeated documents, queries and pairs became one.
        leaks: queries for validation or test that share a text or group with another split; only a
            stated split has any.
        repaired: queries left out because they would show measured ones.
        borders: of a split by time, the date from which each later split is.
    """

    documents: Side
    queries: Side
    clusters: Codes
    splits: Splits
    positives: PairNumbers
    grades: Grades
    weights: Weights
    negatives: PairNumbers
    dropped: dict[str, Places]
    merged: dict[str, int]
    leaks: int
    repaired: int = 0
    borders: dict[str, int] = field(default_factory=dict)


def resolve(
    intake: Intake,
    group_stated: bool,
    split_stated: bool,
    clusterer: Clusterer | None,
    validation_share: float,
    test_share: float,
    seed: int,
    shared_documents: bool = False,
    repair: bool = False,
    by_time: bool = False,
) -> Resolution:
    """Merge what is repeated, drop negatives that contradict, find near-duplicates, split.

    Args:
        group_stated: whether a column states the group; queries are then one only within their
            group.
        split_stated: whether a column states the split; what it gives to training is divided where
            it states no validation.
        clusterer: finds near-duplicates beyond equal normalised texts.
        shared_documents: whether queries may stand in different splits although one document
            answers them.
        repair: whether a stated split loses the queries of training and validation that hang
            together with ones for test, and those of training that do with ones for validation.
        by_time: whether the dates split the queries, each by its latest; what hangs together with a
            query of a later split is left out of the earlier one, as by `repair`.

    Raises:
        TooFewGroupsError: a split would be empty.
    """
    documents, document_codes = _documents(intake)
    count = len(documents)
    queries, query_codes = _queries(intake, group_stated)
    merged = {
        "documents": len(document_codes) - count,
        "queries": int((query_codes >= 0).sum()) - len(queries),
    }
    clusters = _clusters(documents, clusterer)
    stated = _pair_numbers(intake.positives.read(), query_codes, document_codes, count)
    negative = _pair_numbers(intake.negatives.read(), query_codes, document_codes, count)
    dates = latest_dates(intake.dates.read(), query_codes, len(queries)) if by_time else None
    del query_codes, document_codes
    positives = distinct_numbers(stated)
    merged["pairs"] = len(stated) - len(positives)
    grades, weights = (_highest(positives, stated, values.read()) for values in (intake.grades, intake.weights))
    del stated
    negatives, dropped, repeated = _negatives(negative, positives, documents)
    merged["pairs"] += repeated
    component = _components(documents, queries, clusters, positives[:0] if shared_documents else positives)
    borders: dict[str, int] = {}
    if dates is not None:
        splits, borders = split_by_time(dates, validation_share, test_share)
    elif split_stated:
        splits = intake.splits.read()[queries.places]
        rest = splits == SPLITS["train"]
        if validation_share and rest.any() and not (splits == SPLITS["validation"]).any():
            splits[rest] = draw_split(component[rest], queries.norms[rest], validation_share, 0.0, seed)
    else:
        splits = draw_split(component, queries.norms, validation_share, test_share, seed)
    found = Resolution(
        documents, queries, clusters, splits, positives, grades, weights, negatives, dropped, merged, 0, borders=borders
    )
    if dates is not None:
        return _without_queries(found, filled(shown_by_none(component, splits), splits, borders))
    if split_stated and repair:
        return _without_queries(found, shown_by_none(component, splits))
    return replace(found, leaks=count_leaks(component, splits)) if split_stated else found


def _without_queries(resolution: Resolution, kept: Mask) -> Resolution:
    """The same with some of the queries."""
    queries, count = resolution.queries, len(resolution.documents)
    number = np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int64)

    def renumbered(pairs: PairNumbers) -> PairNumbers:
        owners, members = np.divmod(pairs[kept[pairs // count]], count)
        numbers: PairNumbers = number[owners] * count + members
        return numbers

    return replace(
        resolution,
        queries=Side(queries.places[kept], queries.groups[kept], queries.norms[kept], queries.hashes[kept]),
        splits=resolution.splits[kept],
        positives=renumbered(resolution.positives),
        grades=resolution.grades[kept[resolution.positives // count]],
        weights=resolution.weights[kept[resolution.positives // count]],
        negatives=renumbered(resolution.negatives),
        repaired=int((~kept).sum()),
    )


def _highest(pairs: PairNumbers, stated: PairNumbers, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Of each of the ascending pairs the highest value that is stated of it."""
    if len(values) and (values == values[0]).all():
        return np.full(len(pairs), values[0])
    highest = np.zeros(len(pairs), values.dtype)
    for begin in range(0, len(stated), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        np.maximum.at(highest, np.searchsorted(pairs, stated[part]), values[part])
    return highest


def _documents(intake: Intake) -> tuple[Side, Codes]:
    """Documents of equal text become one, at the place (so with the id) of the first that is no
    negative, if there is one.
    """
    occurrences = intake.documents
    distinct = Distinct.of(occurrences.keys.read())
    places, groups = distinct.first.copy(), occurrences.groups.read()
    own = np.ones(len(groups), dtype=bool)
    own[intake.negatives.read()[:, 1]] = False
    for chosen in (own, groups != 0):
        at = np.flatnonzero(chosen)[::-1]
        # Of repeated indices the last assignment stays: in reversed order, the first occurrence.
        places[distinct.codes[at]] = at
    order = np.argsort(places)
    number = np.empty(len(order), np.int32)
    number[order] = np.arange(len(order), dtype=np.int32)
    places, codes = places[order], number[distinct.codes]
    stated = groups[places]
    # The positives say that a document is of several groups; no row of it decides.
    stated[codes[(groups != 0) & (groups != stated[codes])]] = 0
    return _side(occurrences, places, stated, occurrences.keys.read()[places, 0]), codes


def _queries(intake: Intake, group_stated: bool) -> tuple[Side, Codes]:
    """Queries of equal text (and stated group) become one; the code of a query without any positive is -1."""
    keys = intake.queries.keys.read()
    if group_stated:
        groups = intake.queries.groups.read()
        for column in (0, 1):
            keys[:, column] = mix(keys[:, column], groups)
    distinct = Distinct.of(keys)
    useful = np.zeros(len(distinct), dtype=bool)
    useful[distinct.codes[intake.positives.read()[:, 0]]] = True
    number = np.where(useful, np.cumsum(useful, dtype=np.int32) - 1, -1).astype(np.int32)
    places = distinct.first[useful]
    groups = intake.queries.groups.read()[places]
    return _side(intake.queries, places, groups, keys[places, 0]), number[distinct.codes]


def _side(occurrences: Occurrences, places: Places, groups: Hashes, hashes: Hashes) -> Side:
    """The texts at these places; what is said of them lies on disk, as tens of millions of them are
    too much for memory.
    """
    file = occurrences.file
    return Side(
        stored(file.with_suffix(".places"), places),
        stored(file.with_suffix(".chosen_groups"), groups),
        stored(file.with_suffix(".chosen_norms"), occurrences.norms.read()[places]),
        stored(file.with_suffix(".hashes"), hashes),
    )


def _clusters(documents: Side, clusterer: Clusterer | None) -> Codes:
    same = Distinct.of(documents.norms)
    if clusterer is None:
        return same.codes
    # Texts that are equal when normalised are compared with the others once.
    wider: Codes = clusterer(documents.places[same.first])[same.codes]
    return wider


def _pair_numbers(pairs: Codes, query_codes: Codes, document_codes: Codes, count: int) -> PairNumbers:
    """`query * count + document` of each pair, negative for a query that is not used."""
    numbers: PairNumbers = query_codes[pairs[:, 0]].astype(np.int64)
    numbers *= count
    numbers += document_codes[pairs[:, 1]]
    return numbers


def _negatives(
    stated: PairNumbers, positives: PairNumbers, documents: Side
) -> tuple[PairNumbers, dict[str, Places], int]:
    """The negatives that contradict nothing, the rows of the others by reason, and how many were repeated."""
    if len(stated) == 0:
        return stated, {}, 0
    unused = stated < 0
    owners, members = np.divmod(np.where(unused, 0, stated), max(len(documents), 1))
    reasons = {"negative: its anchor has no positive in any row": unused}
    same = Distinct.of(documents.norms)
    relevant = np.unique(positives // len(documents) * len(same) + same.codes[positives % len(documents)])
    contradicting = ~unused & np.isin(owners * len(same) + same.codes[members], relevant)
    reasons["negative: the same text as a positive of its anchor"] = contradicting
    kept = stated[~unused & ~contradicting]
    negatives = distinct_numbers(kept)
    dropped = {reason: np.flatnonzero(mask) for reason, mask in reasons.items() if mask.any()}
    return negatives, dropped, len(kept) - len(negatives)


def _components(documents: Side, queries: Side, clusters: Codes, positives: PairNumbers) -> Codes:
    """Of each query, the component of what shares a group, a positive, a near-duplicate or a normalised text.

    Nodes are clusters of documents and groups of queries, which are few edges fewer than the texts
    themselves. A query without a group is a node with its twins.
    """
    offset = int(clusters.max(initial=0)) + 1
    grouped = queries.groups != 0
    groups = Distinct.of(np.where(grouped, queries.groups, queries.norms))
    query_nodes: Codes = groups.codes + np.int32(offset)
    roots = alone(offset + len(groups))
    del groups
    # Queries of one text, documents of a query's text, and documents stated for a group of queries.
    own = documents.groups != 0
    for keys, nodes, wanted, of in (
        (queries.norms, query_nodes, queries.norms, query_nodes),
        (queries.norms, query_nodes, documents.norms, clusters),
        (queries.groups[grouped], query_nodes[grouped], documents.groups[own], clusters[own]),
    ):
        join(roots, *_edges(keys, nodes, wanted, of))
    for begin in range(0, len(positives), _BLOCK):
        owners, members = np.divmod(positives[begin : begin + _BLOCK], len(documents))
        join(roots, clusters[members], query_nodes[owners])
    return roots[query_nodes]


def _edges(keys: Hashes, nodes: Codes, wanted: Hashes, of: Codes) -> tuple[Codes, Codes]:
    """Edges from the nodes of what is wanted to a node that has its key, where there is one and it is another node."""
    if len(keys) == 0:
        return of[:0], of[:0]
    same = Distinct.of(keys)
    keys, nodes = keys[same.first], nodes[same.first]
    del same
    order = np.argsort(keys)
    keys, nodes = keys[order], nodes[order]
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found = (keys[at] == wanted) & (nodes[at] != of)
    return nodes[at[found]], of[found]
