"""Overrides as people write them: what Hydra's grammar has no letters for becomes a quoted string."""

import re
from collections.abc import Iterator
from typing import Any

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


def word(key: str, value: Any) -> str:
    """`key=value` as a user may write it: Hydra's quotes stand only where the command line does not add them."""
    plain = f"{key}={value}"
    return plain if isinstance(value, str) and _read(plain) == value else f"{key}={spoken(value)}"


def _read(argument: str) -> Any:
    """What the command line takes an argument for; `None` where it is no value."""
    try:
        override = OverridesParser.create().parse_override(quoted(argument))
    except HydraException:
        return None
    value = None if override.is_sweep_override() else override.value()
    return value.text if isinstance(value, QuotedString) else value


def spoken(value: Any) -> str:
    """A value as Hydra's command line reads it back."""
    if isinstance(value, list):
        return f"[{','.join(map(spoken, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if not isinstance(value, str):
        return str(value)
    # What begins like a number or is a word of Hydra's own would be read as something else.
    if re.fullmatch(r"(?!\.\d)[A-Za-z_./][\w./-]*", value, re.ASCII) and value.casefold() not in (
        "null", "true", "false", "nan", "inf",
    ):  # fmt: skip
        return value
    escaped = re.sub(r'(\\*)(?="|$)', r"\1\1", value).replace('"', '\\"')
    return f'"{escaped}"'


def is_sweep(argument: str) -> bool:
    """Whether an argument gives several values to go over."""
    return _parses(quoted(argument)) and OverridesParser.create().parse_override(quoted(argument)).is_sweep_override()


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
