"""The date of a row, read strictly: what could mean two days means none."""

import re
from datetime import UTC, date, datetime
from typing import Any

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.clean import is_missing

_ISO = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\S+(?: ?[+-]\d{2}:?\d{2}| UTC)?)?")
# As Russian tables write it; no other order of day and month is written with full stops there.
_DOTTED = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})")
EXPECTED = "no date as 2026-01-31 or 31.01.2026"


def check_date_format(form: str | None) -> None:
    """Raise `UserError` unless `datetime` writes a date by the format that it reads again."""
    sample = datetime(2026, 1, 31)
    if form is None:
        return
    try:
        if datetime.strptime(sample.strftime(form), form).date() == sample.date():
            return
    except (ValueError, TypeError):
        pass
    remedy = "Write it as datetime.strptime has it: '%m/%d/%Y'."
    raise UserError("data.columns.date_format to hold year, month and day", repr(form), remedy)


def seconds_of(value: Any, form: str | None = None) -> int | None:
    """Seconds since 1970, of UTC where no zone is said; `None` for what is no date.

    Args:
        form: of texts, as `datetime.strptime` has it; `None` takes ISO 8601 and `31.01.2026`.
    """
    if isinstance(value, str):
        value = _read(value.strip(), form)
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime) or is_missing(value):
        return None
    moment = value if value.tzinfo else value.replace(tzinfo=UTC)
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())


def day_of(seconds: int) -> str:
    """The day as ISO 8601 has it."""
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def _read(text: str, form: str | None) -> datetime | None:
    try:
        if form is not None:
            return datetime.strptime(text, form)
        dotted = _DOTTED.fullmatch(text)
        if dotted:
            day, month, year = map(int, dotted.groups())
            return datetime(year, month, day)
        return datetime.fromisoformat(text.removesuffix(" UTC")) if _ISO.fullmatch(text) else None
    except ValueError:
        return None
