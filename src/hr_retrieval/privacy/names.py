"""Names of persons: beside their contacts, in phrases that name a contact, at the head of a résumé; or anywhere."""

import re
from collections.abc import Iterator, Sequence

from hr_retrieval.privacy.first_names import is_first_name
from hr_retrieval.privacy.span import Span

_WORD = r"(?:[А-ЯЁ](?:[а-яё]+|[А-ЯЁ]+)(?:-[А-ЯЁ][а-яё]+)?|(?:[A-ZÀ-Þ]['’])?[A-ZÀ-Þ](?:[a-zà-ÿ]+|[A-Z]+)(?:[A-Z][a-z]+)?(?:-[A-ZÀ-Þ][a-zà-ÿ]+)?)"
_INITIALS = r"(?:[A-ZА-ЯЁ]\.[  ]?){1,2}"
# Words that may be a name, with initials before, between or behind.
_SEQUENCE = re.compile(
    rf"(?<![\w@.])(?:{_INITIALS}{_WORD}|{_WORD}(?:[  ]{_WORD}){{0,2}}[  ]{_INITIALS}(?:{_WORD})?|{_WORD}(?:[  ]{_WORD}){{0,3}})(?!\w)"
)
_INITIAL = re.compile(_INITIALS)
# Of the end of a word: from each letter of a long one, all that follow would be looked through.
_ENDING = 12
_PATRONYMIC = re.compile(
    r"[а-яё]{2,}(?:(?:ович|евич|ьич|мич)(?:а|у|ем|е)?|(?:овн|евн|ичн)(?:а|ы|е|у|ой))$", re.IGNORECASE
)
# How what stands before the name of a contact begins; the name comes within some words. They are
# looked for in each text, and a pattern of them takes thirty times as long.
_PHRASES = (
    "контакт", "обраща", "обратит", "спрашива", "спросит", "звон", "пишите", "вопрос", "направля", "отправля", "присыла", "hr", "рекрут",
    "персонал", "кадр", "проводит", "с уважением", "меня зовут", "фио", "ф.и.о", "ф. и. о", "имя", "резюме", "contact", "call", "ask for",
    "speak to", "speak with", "reach out", "get in touch", "recruiter", "hiring manager", "consultant", "questions", "regards",
    "sincerely", "my name is", "i am", "name", "resume of", "cv of", "curriculum vitae", "enquiries", "attn",
)  # fmt: skip
_BEHIND_PHRASE, _BESIDE, _LONGEST = 60, 40, 200
_TITLE_LINES = 5
_LINE = re.compile(
    rf"\W*(?:(?i:фио|имя|name|резюме|resume|cv)\b(?: of)?\W*)?(?P<name>{_SEQUENCE.pattern})\s*(?:$|[,|;/(•—–-])"
)
# A street, a station or a plant has its name of somebody.
_OF_PLACE = re.compile(
    r"(?:\bим\.|имени|улиц\w*|\bул\.|просп\w*|\bпр\.|\bпр-т|площад\w*|\bпл\.|метро|\bм\.|\bst\.?|\bsaint)\s{0,2}$",
    re.IGNORECASE,
)


def contact_names(text: str, contacts: Sequence[Span]) -> Iterator[Span]:
    """The names of persons where a text says how to reach them, or whose résumé it is.

    Args:
        contacts: what else was found in the text.
    """
    windows = [(span.begin - _BESIDE, span.begin) for span in contacts]
    windows += [(span.end, span.end + _BESIDE) for span in contacts]
    behind = list(_phrase_ends(text))
    windows += [(end, end + _BEHIND_PHRASE) for end in behind]
    for begin, end in windows:
        yield from _within(text, max(begin, 0), min(end, len(text)))
    if contacts or (behind and "\n" in text):
        yield from _heading(text)


def all_names(text: str) -> Iterator[Span]:
    """Names of two words or more, and of a surname with initials, wherever they stand."""
    for found in _SEQUENCE.finditer(text):
        if not _OF_PLACE.search(text[max(found.start() - 12, 0) : found.start()]):
            yield from _named(found.start(), found[0], least=2)


def _phrase_ends(text: str) -> Iterator[int]:
    folded = text.lower()
    if folded == text:
        # No name is written so.
        return
    if len(folded) != len(text):
        # A letter whose small form is two: places would be others.
        folded = text
    for phrase in _PHRASES:
        place = folded.find(phrase)
        while place >= 0:
            if place == 0 or not folded[place - 1].isalpha():
                yield place + len(phrase)
            place = folded.find(phrase, place + 1)


def _within(text: str, begin: int, end: int) -> Iterator[Span]:
    """Names that begin in a part of a text; a first name alone is one there."""
    # No name goes on for longer, and the rest of a long text is not looked through for each window.
    for found in _SEQUENCE.finditer(text, begin, end + _LONGEST):
        if found.start() >= end:
            return
        if "\n\n" not in text[begin : found.start()]:
            yield from _named(found.start(), found[0], least=1)


def _heading(text: str) -> Iterator[Span]:
    place = 0
    for line in text.split("\n", _TITLE_LINES)[:_TITLE_LINES]:
        found = _LINE.match(line)
        if found:
            yield from _named(place + found.start("name"), found["name"], least=2)
        place += len(line) + 1


def _named(begin: int, sequence: str, least: int) -> Iterator[Span]:
    """The words of a sequence from its first to its last that tell a person, if they do.

    Args:
        least: words, or a word and initials, that there must be.
    """
    pieces = [(found.start(), found.end(), found[0]) for found in re.finditer(rf"{_INITIALS}|{_WORD}", sequence)]
    told = [place for place, (_, _, word) in enumerate(pieces) if _tells(word)]
    initials = [place for place, (_, _, word) in enumerate(pieces) if _INITIAL.fullmatch(word)]
    if not told and not (initials and len(pieces) > 1):
        return
    first, last = (min(told), max(told)) if told else (0, len(pieces) - 1)
    # A surname stands behind the first name, or before it and the patronymic.
    if told and last == first and last + 1 < len(pieces):
        last += 1
    elif told and first and not pieces[first - 1][2].lower().startswith(_PHRASES):
        first -= 1
    if last - first + 1 >= least:
        yield Span("name", begin + pieces[first][0], begin + pieces[last][1])


def _tells(word: str) -> bool:
    return _PATRONYMIC.search(word[-_ENDING:]) is not None or is_first_name(word)
