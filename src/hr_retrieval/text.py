"""What a text is to everybody: the key under which texts are the same, and the script that it is written in."""

import re
import unicodedata

# Combining marks, which `\w` leaves out: in Hindi, Thai or vowelled Arabic they tell words apart.
# The variation selectors of emoji are none, nor are marks beyond the first plane, which make the
# pattern slow.
_MARKS = "".join(
    letter
    for letter in map(chr, (*range(0x300, 0xFE00), *range(0xFE10, 0x10000)))
    if unicodedata.category(letter) in ("Mn", "Mc")
)
# `+` and `#` stay: C, C++ and C# are three skills. A mark stays with the letter before it, and goes
# with any other sign.
_GAPS = re.compile(rf"(?:[^\w+#{_MARKS}]|_)(?:[^\w+#]|_)*")
_CYRILLIC = re.compile("[\u0400-\u052f]")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")
# "Программист C++" is Russian: a script that holds so large a share of the letters names the
# language.
_SHARE = 0.8


def normalise(text: str) -> str:
    """The key under which texts are the same: NFKC, case-folded, `ё` as `е`, punctuation and space as one space.

    `+`, `#` and combining marks count as letters. For comparison only: models read the text itself.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _GAPS.sub(" ", " " + folded.replace("ё", "е")).strip()


def script(text: str) -> str:
    """`Cyrillic` or `Latin` if at least 80 % of these scripts' letters are; `mixed`, or `other` if there are none."""
    cyrillic, latin = len(_CYRILLIC.findall(text)), len(_LATIN.findall(text))
    total = cyrillic + latin
    if not total:
        return "other"
    if cyrillic >= _SHARE * total:
        return "Cyrillic"
    return "Latin" if latin >= _SHARE * total else "mixed"
