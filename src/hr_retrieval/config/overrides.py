"""Overrides as people write them: what Hydra's grammar has no letters for becomes a quoted string."""

import re
from collections.abc import Iterator

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

# A key as Hydra has it, with its prefix, and the value behind the first `=`.
_OVERRIDE = re.compile(r"((?:\+{0,2}|~)[\w./@:$-]+=)(.*)", re.DOTALL)
_PAIRS = {"(": ")", "[": "]", "{": "}"}
# In a value without quotes a backslash stands before a mark that means itself.
_ESCAPED = re.compile(r"\\([^\w\n])")
_FUNCTION = re.compile(r"([a-z_]+)\((.*)\)", re.DOTALL)


def quoted(argument: str) -> str:
    """The argument with quotes around those parts of its value that Hydra's grammar refuses for their characters.

    `a.b=[Должность,title]` becomes `a.b=["Должность",title]`. What the grammar accepts stays as it
    is, and so does what quotes cannot mend, such as a bracket that is not closed: Hydra names the
    place.
    """
    found = _OVERRIDE.fullmatch(argument)
    if found is None or _parses(argument):
        return argument
    mended = found[1] + _quoted_value(found[2].strip())
    return mended if _parses(mended) else argument


def _parses(override: str) -> bool:
    try:
        OverridesParser.create().parse_override(override)
    except HydraException:
        return False
    return True


def _quoted_value(text: str) -> str:
    """A value: one element, or several that are swept over."""
    return ",".join(_quoted_element(element) for element in _split(text, ","))


def _quoted_element(text: str) -> str:
    if text and _parses(f"a={text}"):
        return text
    function = _FUNCTION.fullmatch(text)
    if function and function[1] in OverridesParser.create().functions.definitions:
        arguments = (_quoted_argument(argument) for argument in _split(function[2], ","))
        return f"{function[1]}({','.join(arguments)})"
    if text.startswith("[") and text.endswith("]"):
        return f"[{_quoted_value(text[1:-1].strip())}]"
    if text.startswith("{") and text.endswith("}"):
        return "{" + ",".join(_quoted_pair(pair) for pair in _split(text[1:-1].strip(), ",")) + "}"
    if text[:1] in ("[", "{"):
        return text
    return str(QuotedString(_ESCAPED.sub(r"\1", text), Quote.double).with_quotes())


def _quoted_argument(text: str) -> str:
    name, equals, value = text.partition("=")
    if equals and name.strip().isidentifier():
        return f"{name}={_quoted_element(value.strip())}"
    return _quoted_element(text)


def _quoted_pair(text: str) -> str:
    """An entry of a mapping, whose key takes no quotes."""
    key, *rest = _split(text, ":")
    return f"{key}:{_quoted_element(':'.join(rest))}" if rest else text


def _split(text: str, mark: str) -> Iterator[str]:
    """The parts between marks that stand neither in quotes, in brackets nor behind a backslash."""
    begin, place, open_brackets = 0, 0, ""
    while place < len(text):
        character = text[place]
        if character == "\\":
            place += 1
        elif character in "'\"" and (end := _end_of_quotes(text, place)) is not None:
            place = end
        elif character in _PAIRS and _PAIRS[character] in text[place:]:
            open_brackets += _PAIRS[character]
        elif open_brackets and character == open_brackets[-1]:
            open_brackets = open_brackets[:-1]
        elif character == mark and not open_brackets:
            yield text[begin:place].strip()
            begin = place + 1
        place += 1
    yield text[begin:].strip()


def _end_of_quotes(text: str, begin: int) -> int | None:
    """Where the quotes that open at `begin` close; `None` for a mark that is an apostrophe or an inch."""
    if begin and text[begin - 1] not in ",[{(:= \t":
        return None
    closing = re.compile(rf"\\.|({text[begin]})").finditer(text, begin + 1)
    return next((found.start() for found in closing if found[1]), None)
