"""Telephone numbers, by Google's rules for the numbers of every country (`phonenumbers`)."""

import re
from collections.abc import Iterator, Sequence

import phonenumbers

from hr_retrieval.privacy.span import Span

# Runs of digits that could be one: signs that stand within numbers, and no line end.
_CANDIDATE = re.compile(r"(?<![\w.,/№#-])(?:\+|\(\+?)?\d(?:[\d().\-–  ]{5,24})\d(?!\w|[.,/-]\d)")
# Shorter ones are no candidates, and most texts have none.
_DIGITS = re.compile(r"\d[\d().\-–  ]{6}")
# What numbers without a country's code are read as.
_REGIONS = {"ru": ("RU",), "other": ("US", "GB")}
_CYRILLIC = re.compile("[а-яё]", re.IGNORECASE)
# What a number may stand behind, whatever its form.
_SAID = re.compile(
    r"(?:\bтел|телефон|звон|моб|сот|\bт\.|номер|связ|контакт|ватсап|вотсап|вайбер|whats\s?app|viber|telegram|phone|\btel\b|"
    r"\bcall|mobile|cell|fax|факс|contact)[^\d\n]{0,40}$",
    re.IGNORECASE,
)
# What sums of money and quantities stand beside.
_MONEY = re.compile(r"^\s{0,3}(?:руб|р\.|₽|\$|€|£|тыс|млн|usd|eur|рубл|штук|шт\b|%|a year|per )", re.IGNORECASE)
_MONEY_BEFORE = re.compile(
    r"(?:[$€£₽]|\bот|\bдо|оклад|зарплат|salary|огрн\w*|окпо|ref\.?|id|gost|гост)\W{0,3}$", re.IGNORECASE
)
# Thousands, a range of them among others: 80 000 - 120 000.
_THOUSANDS = re.compile(
    r"\d{1,3}(?:[  .]000)+(?:\s?[-–]\s?\d{1,3}(?:[  .]\d{3})+)?|\d{4}\s?[-–.]\s?\d{4}|\d{4}-\d\d-\d\d"
)


def phones(text: str) -> Iterator[Span]:
    """The telephone numbers of a text.

    A number with `+`, with brackets or grouped as its country writes it counts anywhere, digits alone
    only behind a word such as "tel" or with the length and the beginning of a Russian mobile.
    """
    if not _DIGITS.search(text):
        return
    regions = _REGIONS["ru"] if _CYRILLIC.search(text) else _REGIONS["other"] + _REGIONS["ru"]
    for found in _CANDIDATE.finditer(text):
        begin, number = found.start(), found[0].rstrip("( -–.")
        # A bracket that was opened before it.
        number = number if number.count("(") >= number.count(")") else number[: number.rindex(")")]
        if _THOUSANDS.fullmatch(number) or _MONEY.match(text[found.end() : found.end() + 12]):
            continue
        if _MONEY_BEFORE.search(text[max(begin - 16, 0) : begin]):
            continue
        said = _SAID.search(text[max(begin - 60, 0) : begin]) is not None
        if _is_number(number, regions, said):
            yield Span("phone", begin, begin + len(number))


def _is_number(number: str, regions: Sequence[str], said: bool) -> bool:
    if not (said or _written_as_one(number)):
        return False
    digits = re.sub(r"\D", "", number)
    if digits.startswith(("7", "8")) and len(digits) == 11:
        # 7 without the plus, and 8, both stand before the numbers of Russia.
        regions = ("RU", *regions)
    for region in regions:
        forms = (number, f"+{digits}") if region == "RU" and digits.startswith("7") else (number,)
        for form in forms:
            try:
                parsed = phonenumbers.parse(form, region)
            except phonenumbers.NumberParseException:
                continue
            if phonenumbers.is_valid_number(parsed):
                return True
    # Numbers for examples and films are in no country's plan.
    return said and number.startswith(("+", "0")) and 10 <= len(digits) <= 15


def _written_as_one(number: str) -> bool:
    """Whether it looks like one without a word before it."""
    if number.startswith(("+", "(")) or re.match(r"[78][\s-]?\(", number):
        return True
    if re.fullmatch(r"[78]9\d{9}|8800\d{7}|8[348]\d{9}", re.sub(r"\D", "", number)):
        return True
    return (
        re.fullmatch(
            r"(?:1[-. ])?\d{3}[-. ]\d{3}[-. ]\d{4}|0\d{2,4} \d{3,4} \d{3,4}|0\d{4} \d{6}|[78][- ]\d{3}[- ]\d{3}[- ]\d\d[- ]\d\d",
            number,
        )
        is not None
    )
