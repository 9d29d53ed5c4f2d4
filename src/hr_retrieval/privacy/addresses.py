"""E-mail addresses, links and the names that people have in messengers."""

import re
from collections.abc import Iterator

from hr_retrieval.privacy.span import Span

_EMAIL = re.compile(r"(?<![\w.+'-])[\w+'-][\w.+'-]{0,63}@(?:[\w-]{1,63}\.){1,5}[^\W\d_]{2,24}(?![\w-])")
# A bare name of a host, such as Booking.com, tells of a firm; with a path it leads to a page.
_LINK = re.compile(
    r"(?:https?://|www\.)[^\s<>\"'()\[\]{}|,;]+|(?<![\w@./-])(?:[\w-]{1,63}\.){1,4}[^\W\d_]{2,12}/(?!\s)[^\s<>\"'()\[\]{}|,;]+",
    re.IGNORECASE,
)
_HANDLE = re.compile(r"(?<![\w@./])@[A-Za-z]\w{2,31}(?![\w(/@])")
# What a name with @ stands beside; otherwise it is an annotation of Java or a package of npm.
_MESSENGER = re.compile(
    r"telegram|телеграм|\bтг\b|\btg\b|instagram|инстаграм|twitter|твиттер|\bx\.com|skype|скайп|discord|дискорд|вконтакте|"
    r"вопрос|пиш|напис|contact|follow|message|\bdm\b|связ|контакт",
    re.IGNORECASE,
)
_NAMED = re.compile(
    r"(?:skype|скайп|telegram|телеграмм?|icq)\s{0,3}[:=]\s{0,3}(?P<name>(?:live:)?[A-Za-z][\w.:-]{3,40})", re.IGNORECASE
)
_MESSENGERS = ("skype", "скайп", "telegram", "телеграм", "icq")
_BESIDE = 40


def addresses(text: str) -> Iterator[Span]:
    """The e-mail addresses, links and handles of a text."""
    if "@" in text:
        for found in _EMAIL.finditer(text):
            yield Span("e-mail", *found.span())
    folded = text.casefold()
    if "/" in text or "www." in folded:
        for found in _LINK.finditer(text):
            yield Span("link", found.start(), found.start() + len(found[0].rstrip(".!?:»”")))
    if "@" in text:
        for found in _HANDLE.finditer(text):
            beside = text[max(found.start() - _BESIDE, 0) : found.end() + _BESIDE]
            if re.search(r"[\d_]", found[0]) or _MESSENGER.search(beside):
                yield Span("handle", *found.span())
    if (":" in text or "=" in text) and any(name in folded for name in _MESSENGERS):
        for found in _NAMED.finditer(text):
            yield Span("handle", *found.span("name"))
