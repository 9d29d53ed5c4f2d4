"""What is one text, one query, one pair and one split: worked out from keys alone."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hr_retrieval.data.intake import Intake, Occurrences, stored
from hr_retrieval.data.keys import Codes, Distinct, Hashes, Places, mix
from hr_retrieval.data.split import NAMES as SPLIT_NAMES
from hr_retrieval.data.split import Splits, alone, count_leaks, draw_split, join

Pairs = npt.NDArray[np.int64]
# Pairs that are looked at together.
_BLOCK = 1 << 22
# Documents for which near-duplicates are sought, as places in their file -> cluster numbers.
Clusterer = Callable[[Places], Codes]


@dataclass(frozen=True)
class Side:
    """The distinct texts of one side, `n` of them.

    Attributes:
        places: where each stands among the occurrences, ascending.
        groups: hash of its group, 0 for none.
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
        negatives: likewise.
        dropped: reason -> rows of `Intake.negatives` that are not used.
        merged: how many repeated documents, queries and pairs became one.
        leaks: queries for validation or test that share a text or group with another split; only a stated split has
            any.
    """

    documents: Side
    queries: Side
    clusters: Codes
    splits: Splits
    positives: Pairs
    negatives: Pairs
    dropped: dict[str, Places]
    merged: dict[str, int]
    leaks: int


def resolve(
    intake: Intake,
    group_stated: bool,
    split_stated: bool,
    clusterer: Clusterer | None,
    validation_share: float,
    test_share: float,
    seed: int,
) -> Resolution:
    """Merge what is repeated, drop negatives that contradict, find near-duplicates, split.

    Args:
        group_stated: whether a column states the group; queries are then one only within their group.
        split_stated: whether a column states the split; what it gives to training is divided where it states no validation.
        clusterer: finds near-duplicates beyond equal normalised texts.
    """
    documents, document_codes = _documents(intake.documents)
    count = len(documents)
    queries, query_codes = _queries(intake, group_stated)
    merged = {
        "documents": len(document_codes) - count,
        "queries": int((query_codes >= 0).sum()) - len(queries),
    }
    clusters = _clusters(documents, clusterer)
    stated = _pair_numbers(intake.positives.read(), query_codes, document_codes, count)
    negative = _pair_numbers(intake.negatives.read(), query_codes, document_codes, count)
    del query_codes, document_codes
    positives = _unique(stated)
    merged["pairs"] = len(stated) - len(positives)
    del stated
    negatives, dropped, repeated = _negatives(negative, positives, documents, queries, clusters)
    merged["pairs"] += repeated
    component = _components(documents, queries, clusters, positives)
    if split_stated:
        splits = intake.splits.read()[queries.places]
        rest = splits == SPLIT_NAMES.index("train")
        if validation_share and rest.any() and not (splits == SPLIT_NAMES.index("validation")).any():
            splits[rest] = draw_split(component[rest], queries.norms[rest], validation_share, 0.0, seed)
        leaks = count_leaks(component, splits)
    else:
        splits, leaks = draw_split(component, queries.norms, validation_share, test_share, seed), 0
    return Resolution(documents, queries, clusters, splits, positives, negatives, dropped, merged, leaks)


def _documents(occurrences: Occurrences) -> tuple[Side, Codes]:
    """Documents of equal text become one, at the place (so with the id and group) of the first that has a group."""
    distinct = Distinct.of(occurrences.keys.read())
    places = distinct.first.copy()
    grouped = np.flatnonzero(occurrences.groups.read())[::-1]
    # Of repeated indices the last assignment stays: in reversed order, the first occurrence.
    places[distinct.codes[grouped]] = grouped
    order = np.argsort(places)
    number = np.empty(len(order), np.int32)
    number[order] = np.arange(len(order), dtype=np.int32)
    places = places[order]
    return _side(occurrences, places, occurrences.keys.read()[places, 0]), number[distinct.codes]


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
    return _side(intake.queries, places, keys[places, 0]), number[distinct.codes]


def _side(occurrences: Occurrences, places: Places, hashes: Hashes) -> Side:
    """The texts at these places; what is said of them lies on disk, as tens of millions of them are too much for memory."""
    file = occurrences.file
    return Side(
        stored(file.with_suffix(".places"), places),
        stored(file.with_suffix(".chosen_groups"), occurrences.groups.read()[places]),
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


def _pair_numbers(pairs: Codes, query_codes: Codes, document_codes: Codes, count: int) -> Pairs:
    """`query * count + document` of each pair, negative for a query that is not used."""
    numbers: Pairs = query_codes[pairs[:, 0]].astype(np.int64)
    numbers *= count
    numbers += document_codes[pairs[:, 1]]
    return numbers


def _unique(pairs: Pairs) -> Pairs:
    """`np.unique`, which needs several times the memory."""
    ordered = np.sort(pairs)
    kept = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=kept[1:])
    return ordered[kept]


def _negatives(
    stated: Pairs, positives: Pairs, documents: Side, queries: Side, clusters: Codes
) -> tuple[Pairs, dict[str, Places], int]:
    """The negatives that contradict nothing, the rows of the others by reason, and how many were repeated."""
    if len(stated) == 0:
        return stated, {}, 0
    unused = stated < 0
    owners, members = np.divmod(np.where(unused, 0, stated), max(len(documents), 1))
    reasons = {"negative: its anchor has no positive in any row": unused}
    width = int(clusters.max(initial=0)) + 1
    relevant = np.unique(positives // len(documents) * width + clusters[positives % len(documents)])
    rest = ~unused
    contradicting = np.zeros(len(stated), dtype=bool)
    contradicting[rest] = np.isin(owners[rest] * width + clusters[members[rest]], relevant)
    reasons["negative: the same text as a positive of its anchor"] = contradicting
    rest &= ~contradicting
    related = np.zeros(len(stated), dtype=bool)
    groups = documents.groups[members[rest]]
    related[rest] = (groups == queries.groups[owners[rest]]) & (groups != 0)
    reasons["negative: of the group of its anchor"] = related
    kept = stated[rest & ~related]
    negatives = np.unique(kept)
    dropped = {reason: np.flatnonzero(mask) for reason, mask in reasons.items() if mask.any()}
    return negatives, dropped, len(kept) - len(negatives)


def _components(documents: Side, queries: Side, clusters: Codes, positives: Pairs) -> Codes:
    """Of each query, the component of what shares a group, a positive, a near-duplicate or a normalised query text.

    Nodes are clusters of documents and groups of queries, which are few edges fewer than the texts themselves.
    """
    offset = int(clusters.max(initial=0)) + 1
    # A document has its group from a query of that group which it answers: the positives join it.
    groups = Distinct.of(queries.groups)
    query_nodes: Codes = groups.codes + np.int32(offset)
    count = offset + len(groups)
    del groups
    same = Distinct.of(queries.norms)
    twins = query_nodes[same.first[same.codes]]
    apart = twins != query_nodes
    roots = join(alone(count), twins[apart], query_nodes[apart])
    del same, twins, apart
    for begin in range(0, len(positives), _BLOCK):
        owners, members = np.divmod(positives[begin : begin + _BLOCK], len(documents))
        join(roots, clusters[members], query_nodes[owners])
    return roots[query_nodes]
