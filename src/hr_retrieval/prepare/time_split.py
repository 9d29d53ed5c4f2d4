"""Which queries train, validate and test by their dates: the later ones measure, the past trains."""

import numpy as np

from hr_retrieval.data.arrays import Codes, Mask, Places, Splits
from hr_retrieval.data.tables import SPLITS
from hr_retrieval.prepare.split import TooFewGroupsError, check_shares


def split_by_time(dates: Places, validation_share: float, test_share: float) -> tuple[Splits, dict[str, int]]:
    """Split queries `[Q]` by their dates `[Q]`: the latest test, those before them validate, the past trains.

    Queries of one date are in one split, the later one.

    Returns:
        The splits, and the date from which each of the later ones is.
    """
    check_shares(validation_share, test_share)
    ordered, splits = np.sort(dates), np.zeros(len(dates), np.int8)
    borders: dict[str, int] = {}
    for number, name, own, later in ((1, "validation", validation_share, test_share), (2, "test", test_share, 0.0)):
        if own:
            # At least one query, however few there are.
            borders[name] = int(ordered[len(ordered) - max(round((own + later) * len(ordered)), 1)])
            splits[dates >= borders[name]] = number
    return splits, borders


def latest_dates(dates: Places, query_codes: Codes, count: int) -> Places:
    """The latest date of each query."""
    latest = np.full(count, np.iinfo(np.int64).min)
    used = query_codes >= 0
    np.maximum.at(latest, query_codes[used], dates[used])
    return latest


def filled(kept: Mask, splits: Splits, borders: dict[str, int]) -> Mask:
    """The same queries `[Q]`, if there is one in each split that is wanted.

    Raises:
        TooFewGroupsError: there is none.
    """
    for name, number in SPLITS.items():
        if (name == "train" or name in borders) and not (kept & (splits == number)).any():
            raise TooFewGroupsError(
                f"queries for {name} that do not hang together with later ones",
                f"none of {int((splits == number).sum()):,} by their dates",
                "Give rows of more dates, change the shares, or map data.columns.group to a finer column. Where documents are "
                "few and shared by design, as skills are, set data.shared_documents=true.",
            )
    return kept
