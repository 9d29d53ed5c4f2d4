"""Which queries train, validate and test: by whole components of texts that belong together."""

import numpy as np

from hr_retrieval.data.arrays import Codes, Hashes, Mask, Splits
from hr_retrieval.data.keys import mix
from hr_retrieval.data.tables import SPLITS
from hr_retrieval.errors import UserError


class TooFewGroupsError(UserError):
    """The queries hang together so much that they cannot be split."""


def alone(count: int) -> Codes:
    """The roots of `count` nodes without an edge, for `join`."""
    return np.arange(count, dtype=np.int32)


def join(roots: Codes, left: Codes, right: Codes) -> Codes:
    """The smallest node of each node's connected component, after more edges `left[i] - right[i]`.

    Hooking and pointer jumping over arrays (Shiloach and Vishkin 1982): the memory of a few copies
    of the edges and two of the nodes, where a sparse matrix takes ten of each.

    Args:
        roots: of each node, from `alone` or an earlier `join`; they are changed in place.
    """
    while True:
        left, right = roots[left], roots[right]
        crossing = left != right
        left, right = left[crossing], right[crossing]
        if len(left) == 0:
            return roots
        # Every edge now joins two roots, and hooking the larger to the smaller cannot make a cycle.
        np.minimum.at(roots, np.maximum(left, right), np.minimum(left, right))
        while not np.array_equal(above := roots[roots], roots):
            roots[:] = above


def draw_split(component: Codes, keys: Hashes, validation_share: float, test_share: float, seed: int) -> Splits:
    """Split queries `[Q]` so that no component stands in two splits: 0 train, 1 validation, 2 test.

    Components are ordered by a hash of their smallest key and the seed. Validation takes the first
    until its share of the queries is full, test the last, so that new rows move few old ones. A
    component that is larger than a whole share stays in training.

    Args:
        component: of each query.
        keys: hashes of the texts of the queries.
        validation_share: of the queries, from 0 to below 1; 0 gives no validation split.
        test_share: likewise.

    Raises:
        UserError: the shares leave nothing to train on.
        TooFewGroupsError: there are too few components to fill every split.
    """
    check_shares(validation_share, test_share)
    codes = _renumbered(component)
    # Half of what counts take; with ten million components that is a share of the peak.
    sizes = np.bincount(codes).astype(np.int32)
    smallest = np.full(len(sizes), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(smallest, codes, keys)
    order = np.argsort(mix(smallest, seed), kind="stable")
    del smallest
    chosen = np.zeros(len(sizes), np.int8)
    for number, share, ordered in ((1, validation_share, order), (2, test_share, order[::-1])):
        # At least one query, however few there are.
        room = max(round(share * len(component)), 1) if share else 0
        fitting = ordered[(sizes[ordered] <= room) & (chosen[ordered] == 0)]
        chosen[fitting[np.cumsum(sizes[fitting]) <= room]] = number
    split: Splits = chosen[codes]
    wanted = [True, validation_share > 0, test_share > 0]
    for name, number in SPLITS.items():
        if wanted[number] and not (split == number).any():
            raise TooFewGroupsError(
                f"enough separate groups of queries to fill the {name} split",
                f"{len(sizes)} for {len(component)} queries, the largest of {sizes.max()} queries",
                "Give more rows; or map data.columns.group to a finer column, leave it out, or change the shares. Where documents "
                "are few and shared by design, as skills are, set data.shared_documents=true.",
            )
    return split


def _renumbered(component: Codes) -> Codes:
    """The same components without gaps between their numbers."""
    there = np.zeros(int(component.max(initial=-1)) + 1, bool)
    there[component] = True
    numbers: Codes = np.cumsum(there, dtype=np.int32) - np.int32(1)
    return numbers[component]


def check_shares(validation_share: float, test_share: float) -> None:
    """Raise `UserError` unless both shares are from 0 and leave something to train on."""
    if not (min(validation_share, test_share) >= 0 and validation_share + test_share < 1):
        raise UserError(
            "validation_share and test_share from 0, together below 1",
            f"{validation_share} and {test_share}",
            "Lower them.",
        )


def count_leaks(component: Codes, split: Splits) -> int:
    """Queries for validation or test whose component also holds queries of another split."""
    count = int(component.max()) + 1 if len(component) else 0
    lowest, highest = np.full(count, 9, np.int8), np.full(count, -1, np.int8)
    np.minimum.at(lowest, component, split)
    np.maximum.at(highest, component, split)
    return int(((lowest != highest)[component] & (split > 0)).sum())


def shown_by_none(component: Codes, split: Splits) -> Mask:
    """The queries `[Q]` whose component holds none of a later split: without the others, no component is in two."""
    highest = np.full(int(component.max(initial=-1)) + 1, -1, np.int8)
    np.maximum.at(highest, component, split)
    kept: Mask = split == highest[component]
    return kept
