"""Personal data of a text, replaced by the names of their kinds: `Call [name] on [phone]`."""

import functools
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hr_retrieval.errors import UserError
from hr_retrieval.extras import check_extra
from hr_retrieval.privacy.span import Span

CHOICES = ("contacts", "all", "none")
KINDS = ("e-mail", "link", "handle", "document", "birth date", "phone", "name")
MASKED = re.compile(rf"\[(?:{'|'.join(KINDS)})\]")
_CYRILLIC = re.compile("[А-Яа-яЁё]")
# Letters of a text whose pieces are held for when it comes again.
_SHORT = 256
_PACKAGES = ("phonenumbers", "stdnum", "natasha", "faker")


@dataclass(frozen=True)
class Masker:
    """What is masked.

    Args:
        choice: `contacts` masks e-mail addresses, links, names in messengers, numbers of documents,
            birth dates, telephone numbers, and the names of persons in phrases that name a contact,
            beside a contact and at the head of a résumé; `all` also names of two words or more
            anywhere, and those that natasha finds in a Russian text, which takes a hundred times
            as long; `none` masks nothing.

    Raises:
        UserError: another choice, or a package that it needs is missing.
    """

    choice: str = "contacts"

    def __post_init__(self) -> None:
        if self.choice not in CHOICES:
            raise UserError(f"data.mask to be {', '.join(CHOICES)}", repr(self.choice), "contacts is the usual one.")
        if self.choice != "none":
            check_extra("privacy", *_PACKAGES)

    def masked(self, text: str, counts: Counter[str] | None = None) -> str:
        """The text with each piece replaced by its kind in brackets, and the kinds added to `counts`."""
        parts, place = [], 0
        for span in self.spans(text):
            parts += [text[place : span.begin], f"[{span.kind}]"]
            place = span.end
            if counts is not None:
                counts[span.kind] += 1
        return "".join([*parts, text[place:]]) if parts else text

    def spans(self, text: str) -> Sequence[Span]:
        """The pieces in their order; of two that overlap the one of the kind that stands first in `KINDS`."""
        if self.choice == "none" or len(text) < 3:
            return []
        return (_short if len(text) <= _SHORT else _found)(self.choice, text)


def _found(choice: str, text: str) -> Sequence[Span]:
    patterns, contact_names, all_names, persons = _finders()
    found: list[Span] = []
    for finder in patterns:
        found += _new(finder(text), found)
    found += _new(contact_names(text, found), found)
    if choice == "all":
        found += _new(all_names(text), found)
        if _CYRILLIC.search(text):
            found += _new(persons(text), found)
    return tuple(sorted(found, key=lambda span: span.begin))


# Many rows have one title.
_short = functools.lru_cache(1 << 14)(_found)


@functools.cache
def _finders() -> Any:
    """What looks for each kind: it takes a second to import, and most runs read tables without a person in them."""
    from hr_retrieval.privacy.addresses import addresses
    from hr_retrieval.privacy.births import births
    from hr_retrieval.privacy.documents import documents
    from hr_retrieval.privacy.names import all_names, contact_names
    from hr_retrieval.privacy.persons import persons
    from hr_retrieval.privacy.phones import phones

    return (addresses, documents, births, phones), contact_names, all_names, persons


def _new(spans: Iterator[Span], there: Sequence[Span]) -> list[Span]:
    """The spans that overlap nothing that is there, the longest of those that overlap each other."""
    own = list(spans)
    if not own:
        return []
    # Disjoint and in their order: only the neighbours can overlap another one.
    taken = sorted((span.begin, span.end) for span in there)
    kept: list[Span] = []
    for span in sorted(own, key=lambda span: (KINDS.index(span.kind), span.begin - span.end)):
        at = bisect_left(taken, (span.begin, span.end))
        if (at == 0 or taken[at - 1][1] <= span.begin) and (at == len(taken) or span.end <= taken[at][0]):
            taken.insert(at, (span.begin, span.end))
            kept.append(span)
    return kept
