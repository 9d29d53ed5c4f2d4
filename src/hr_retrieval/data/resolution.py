"""What is one text, one query, one pair and one split: worked out from keys alone."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hr_retrieval.data.intake import Intake, Occurrences
from hr_retrieval.data.keys import Codes, Distinct, Hashes, Places, mix
from hr_retrieval.data.split import Splits, components, count_leaks, draw_split

Pairs = npt.NDArray[np.int64]
# Documents for which near-duplicates are sought, as places in their file -> cluster numbers.
Clusterer = Callable[[Places], Codes]


@dataclass(frozen=True)
class Side:
    """The distinct texts of one side, `n` of them.

    Attributes:
        places: where each stands among the occurrences, ascending.
        groups: hash of its group, 0 for none.
        hashes: of its text (and group, where groups are stated), for an id.
        norms: hash of its normalised text.
    """

    places: Places
    groups: Hashes
    hashes: Hashes
    norms: Hashes

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
        leaks: queries for validation or test that share a text or group with another split; only a stated split has any.
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
        split_stated: whether a column states the split.
        clusterer: finds near-duplicates beyond equal normalised texts.
    """
    documents, document_codes = _documents(intake.documents)
    has_positive = np.zeros(len(intake.queries.keys), dtype=bool)
    has_positive[intake.positives[0]] = True
    queries, query_codes = _queries(intake.queries, has_positive, group_stated)
    clusters = _clusters(documents, clusterer)
    count = len(documents)
    stated = _pair_numbers(intake.positives, query_codes, document_codes, count)
    positives = np.unique(stated)
    negatives, dropped, repeated = _negatives(
        _pair_numbers(intake.negatives, query_codes, document_codes, count), positives, documents, queries, clusters
    )
    component = _components(documents, queries, clusters, positives)
    if split_stated:
        splits = intake.splits[queries.places]
        leaks = count_leaks(component, splits)
    else:
        splits, leaks = draw_split(component, queries.norms, validation_share, test_share, seed), 0
    merged = {
        "documents": len(document_codes) - len(documents),
        "queries": int((query_codes >= 0).sum()) - len(queries),
        "pairs": len(stated) - len(positives) + repeated,
    }
    return Resolution(documents, queries, clusters, splits, positives, negatives, dropped, merged, leaks)


def _documents(occurrences: Occurrences) -> tuple[Side, Codes]:
    """Documents of equal text become one, which takes the place (and so id and group) of its first occurrence with a group."""
    distinct = Distinct.of(occurrences.keys)
    places = distinct.first.copy()
    grouped = np.flatnonzero(occurrences.groups)[::-1]
    # Of repeated indices the last assignment stays: in reversed order, the first occurrence.
    places[distinct.codes[grouped]] = grouped
    order = np.argsort(places)
    number = np.empty(len(order), np.int32)
    number[order] = np.arange(len(order), dtype=np.int32)
    places = places[order]
    return _side(occurrences, places, occurrences.keys[places, 0]), number[distinct.codes]


def _queries(occurrences: Occurrences, has_positive: npt.NDArray[np.bool_], group_stated: bool) -> tuple[Side, Codes]:
    """Queries of equal text (and stated group) become one; the code of a query without any positive is -1."""
    keys = occurrences.keys
    if group_stated:
        keys = np.stack([mix(keys[:, column], occurrences.groups) for column in (0, 1)], axis=1)
    distinct = Distinct.of(keys)
    useful = np.zeros(len(distinct), dtype=bool)
    useful[distinct.codes[has_positive]] = True
    number = np.where(useful, np.cumsum(useful) - 1, -1).astype(np.int32)
    places = distinct.first[useful]
    return _side(occurrences, places, keys[places, 0]), number[distinct.codes]


def _side(occurrences: Occurrences, places: Places, hashes: Hashes) -> Side:
    return Side(places, occurrences.groups[places], hashes, occurrences.norms[places])


def _clusters(documents: Side, clusterer: Clusterer | None) -> Codes:
    same = Distinct.of(documents.norms)
    if clusterer is None:
        return same.codes
    # Texts that are equal when normalised are compared with the others once.
    wider: Codes = clusterer(documents.places[same.first])[same.codes]
    return wider


def _pair_numbers(pairs: Codes, query_codes: Codes, document_codes: Codes, count: int) -> Pairs:
    """`query * count + document` of each pair, negative for a query that is not used."""
    numbers: Pairs = query_codes[pairs[0]].astype(np.int64) * count + document_codes[pairs[1]]
    return numbers


def _negatives(
    stated: Pairs, positives: Pairs, documents: Side, queries: Side, clusters: Codes
) -> tuple[Pairs, dict[str, Places], int]:
    """The negatives that contradict nothing, the rows of the others by reason, and how many were repeated."""
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
    groups = Distinct.of(np.concatenate([queries.groups, documents.groups]))
    query_nodes, document_groups = np.split(groups.codes + np.int32(offset), [len(queries)])
    grouped = documents.groups != 0
    same = Distinct.of(queries.norms)
    owners, members = positives // len(documents), positives % len(documents)
    left = np.concatenate([clusters[members], clusters[grouped], query_nodes[same.first[same.codes]]])
    right = np.concatenate([query_nodes[owners], document_groups[grouped], query_nodes])
    return components(left, right, offset + len(groups))[query_nodes]
