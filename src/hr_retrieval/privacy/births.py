"""Birth dates: a date beside a word that says so."""

import re
from collections.abc import Iterator

from hr_retrieval.privacy.span import Span

_MONTHS = (
    r"(?:январ|феврал|март|апрел|ма[йя]|июн|июл|август|сентябр|октябр|ноябр|декабр|"
    r"jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[^\W\d_]{0,6}"
)
_DATE = (
    rf"(?:\d{{1,2}}[./-]\d{{1,2}}[./-](?:(?:19|20)\d{{2}}|\d{{2}})|(?:19|20)\d{{2}}[-./]\d{{1,2}}[-./]\d{{1,2}}|"
    rf"\d{{1,2}}(?:st|nd|rd|th)?\s{_MONTHS}\.?,?\s(?:19|20)\d{{2}}|{_MONTHS}\.?\s\d{{1,2}}(?:st|nd|rd|th)?,?\s(?:19|20)\d{{2}})"
)
_BEFORE = re.compile(
    rf"(?:родил[а-я]{{0,9}}+|рожд[а-я]{{0,9}}+|\bд\.?\s?р\b|\bborn|\bbirth|\bd\.?o\.?b\b)[^\d\n]{{0,25}}?(?P<date>{_DATE})(?!\d)",
    re.IGNORECASE,
)
_BEHIND = re.compile(
    rf"(?<!\d)(?P<date>{_DATE})\s?(?:г\.\s?р\b|г\.\s?рожд|года?\sрожд|гр\b|year of birth)", re.IGNORECASE
)
# Quickly told: most texts have neither.
_WORDS = ("род", "рожд", "р.", "др", "гр", "born", "birth", "dob", "d.o.b")
_DIGITS = re.compile(r"\d\d")


def births(text: str) -> Iterator[Span]:
    """The birth dates of a text."""
    if not _DIGITS.search(text):
        return
    folded = text.casefold()
    if any(word in folded for word in _WORDS):
        for pattern in (_BEFORE, _BEHIND):
            for found in pattern.finditer(text):
                yield Span("birth date", *found.span("date"))
