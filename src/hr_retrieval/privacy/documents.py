"""Numbers of documents: with their check digits where there are any, else behind the name of the document."""

import re
from collections.abc import Callable, Iterator

from stdnum import iban, luhn
from stdnum.ru import inn
from stdnum.us import ssn

from hr_retrieval.privacy.span import Span


def _is_snils(number: str) -> bool:
    """Control number of an insurance account: the weighted sum of nine digits modulo 101, 100 as 0."""
    digits = re.sub(r"\D", "", number)
    return sum((9 - place) * int(digit) for place, digit in enumerate(digits[:9])) % 101 % 100 == int(digits[9:])


# A number with check digits may stand anywhere.
_CHECKED: tuple[tuple[re.Pattern[str], Callable[[str], bool]], ...] = (
    (re.compile(r"(?<![\w-])\d{3}[- ]?\d{3}[- ]?\d{3}[- ]?\d{2}(?![\w-])"), _is_snils),
    (re.compile(r"(?<![\w-])\d{12}(?![\w-])"), inn.is_valid),
    (re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])"), ssn.is_valid),
    (
        re.compile(r"(?<![\w-])[2-6]\d{3}([ -]?)\d{4}\1\d{4}\1\d{4}(?![\w-])"),
        lambda number: luhn.is_valid(re.sub(r"\D", "", number)),
    ),
    (re.compile(r"(?<![\w-])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?(?![\w-])"), iban.is_valid),
)
# Most texts have nothing that begins as one of these does.
_MAY_BE_CHECKED = re.compile(r"(?<![\w-])(?:\d(?:[- ]?\d){8}|[A-Z]{2}\d{2} ?[A-Z0-9]{4})")
# Others behind the name of the document: words of which one must be there, and what follows.
_SAID: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = tuple(
    (words, re.compile(pattern, re.IGNORECASE))
    for words, pattern in (
        (
            ("паспорт", "серия"),
            r"(?:паспорт\w{0,8}|серия)[^\d\n]{0,30}?(?P<number>\d{2}\s?\d{2}[\s,]{0,2}(?:№|N|номер)?\s{0,2}\d{6})(?!\d)",
        ),
        (("passport",), r"passport(?:\s(?:no|number|#))?[^\w\n]{0,5}(?P<number>[A-Z]{0,2}\d{6,9})(?!\d)"),
        (("снилс", "инн"), r"(?:снилс|инн)[^\d\n]{0,10}(?P<number>\d[\d -]{8,13}\d)(?!\d)"),
        (
            ("ssn", "social security"),
            r"(?:\bssn|social security)[^\d\n]{0,15}(?P<number>\d{3}[- ]?\d{2}[- ]?\d{4})(?!\d)",
        ),
        (
            ("national insurance", "nin"),
            r"(?:national insurance|\bnino?\b)[^\n]{0,12}?(?P<number>\b[A-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D])\b",
        ),
    )
)
# Most texts have no number as long.
_DIGITS = re.compile(r"\d\d\D{0,12}\d\d\D{0,4}\d")


def documents(text: str) -> Iterator[Span]:
    """Passports, SNILS and INN, social security and national insurance numbers, cards and accounts.

    The INN of a firm, of ten digits, is none of a person and stands unless the text calls it INN.
    """
    if not _DIGITS.search(text):
        return
    folded = text.casefold()
    for words, pattern in _SAID:
        if any(word in folded for word in words):
            for found in pattern.finditer(text):
                yield Span("document", *found.span("number"))
    if not _MAY_BE_CHECKED.search(text):
        return
    for pattern, check in _CHECKED:
        for found in pattern.finditer(text):
            if check(found[0]):
                yield Span("document", *found.span())
