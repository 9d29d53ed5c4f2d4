"""Dates that are read, and what is none."""

from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.dates import check_date_format, day_of, seconds_of


@pytest.mark.parametrize(
    ("value", "form", "day"),
    [
        ("2026-01-31", None, "2026-01-31"),
        (" 2026-01-31 10:00 ", None, "2026-01-31"),
        ("2026-01-31T23:00:00-0300", None, "2026-02-01"),
        ("2026-01-31 23:00:00 UTC", None, "2026-01-31"),
        ("2026-01-31T23:00:00.123Z", None, "2026-01-31"),
        ("31.01.2026", None, "2026-01-31"),
        ("1/31/2026", "%m/%d/%Y", "2026-01-31"),
        (date(2026, 1, 31), None, "2026-01-31"),
        (datetime(2026, 1, 31, 12), "%Y", "2026-01-31"),
        (pd.Timestamp("2026-01-31"), None, "2026-01-31"),
        (datetime(1969, 12, 31, tzinfo=UTC), None, "1969-12-31"),
    ],
)
def test_dates_that_are_read(value: Any, form: str | None, day: str) -> None:
    seconds = seconds_of(value, form)
    assert seconds is not None
    assert day_of(seconds) == day


@pytest.mark.parametrize(
    "value",
    ["", "2026", "01/02/2026", "2026-13-01", "31.02.2026", "20260131", "2026-W05", "yesterday", 1769817600, 2026.0, None, pd.NaT, True],
)  # fmt: skip
def test_dates_that_are_not(value: Any) -> None:
    assert seconds_of(value) is None


@pytest.mark.parametrize("form", ["%m/%d", "%d", "what", "%Q"])
def test_a_format_without_a_day(form: str) -> None:
    check_date_format("%d/%m/%y")
    with pytest.raises(UserError, match=r"data\.columns\.date_format"):
        check_date_format(form)
