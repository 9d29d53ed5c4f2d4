"""Pairs of places as two columns of numbers, and how what they stand for is looked up and joined."""

import numpy as np

from hr_retrieval.data.arrays import Codes, Offsets, Places, Rows

# Two columns of equal length: places of queries, and beside each the place of a document (or a
# code) that goes with it.
Pairs = tuple[Places, Places]


def spread(offsets: Offsets, rows: Rows) -> Pairs:
    """Where the values of some rows of a CSR table stand, each beside the place of its row among `rows`."""
    begins = offsets[rows]
    counts = offsets[np.asarray(rows, np.int64) + 1] - begins
    owners = np.repeat(np.arange(len(rows)), counts)
    within = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
    return owners, np.repeat(begins, counts) + within


def lists(offsets: Offsets, values: Codes | Rows, rows: Rows) -> Pairs:
    """The values of some rows of a CSR table, each beside the place of its row among `rows`."""
    owners, places = spread(offsets, rows)
    return owners, values[places].astype(np.int64)


def through(owners: Places, pairs: Pairs) -> Pairs:
    """The same pairs, whose left places stand for these owners."""
    return owners[pairs[0]], pairs[1]


def joined(wanted: Pairs, there: tuple[Places, Codes | Rows]) -> Pairs:
    """Left places of both where the codes on their right are equal; a pair may come more than once."""
    order = np.argsort(there[1], kind="stable")
    ordered = there[1][order]
    begins, ends = np.searchsorted(ordered, wanted[1], "left"), np.searchsorted(ordered, wanted[1], "right")
    counts = ends - begins
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(wanted[0], counts), there[0][order[np.repeat(begins, counts) + within]]
