"""What a raw cell says: its texts, without noise."""

import ast
import json
import math
import re
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

# Control characters that are no white space, surrogates (they cannot be written as UTF-8), soft
# hyphen, zero-width space, BOM, and marks of direction, which make unequal what looks alike. Joiners
# stay: Persian, Indic scripts and emoji need them.
_NOISE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]"
)
_LITERAL = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|None|nan|null)"""
_BRACKETS = re.compile(rf"\s*[\[(]\s*(?:{_LITERAL}(?:[\s,]+{_LITERAL})*[\s,]*)?[\])]\s*", re.DOTALL)
_LITERALS = re.compile(_LITERAL, re.DOTALL)


def clean(text: str) -> str:
    """The text with every run of white space as one space, stripped, without control characters."""
    if not text.isprintable():
        text = _NOISE.sub("", text)
    return " ".join(text.split())


def clean_lines(text: str) -> str:
    """The same, line by line; empty ones go."""
    return "\n".join(filter(None, map(clean, text.splitlines())))


def is_missing(value: Any) -> bool:
    """Whether a cell is null: `None`, `NaN`, `NA` or `NaT`; the word "nan" is a word."""
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


def values_of(cell: Any, separator: str | None) -> Iterator[Any]:
    """The values of a cell, one or several; `separator` is what stands between them, if anything does."""
    if isinstance(cell, list | tuple | np.ndarray):
        # An empty list is a missing value, like null.
        yield from cell if len(cell) else (None,)
    elif separator is not None and isinstance(cell, str):
        values = bracketed(cell)
        parts = parts_of(cell, separator) if values is None else values
        # To end with a separator is no fault.
        yield from [part for part in parts if not isinstance(part, str) or part.strip()] or (None,)
    else:
        yield cell


def parts_of(cell: str, separator: str) -> list[str]:
    """What stands between the separators; `lines` separates by line ends."""
    return cell.splitlines() if separator == "lines" else cell.split(separator)


def json_value(text: str) -> Any:
    """What JSON says; a `ValueError` for what is none, or is too deep to read."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError(str(error)) from None


def bracketed(cell: str) -> list[Any] | None:
    """The elements of a list as JSON, Python or numpy write it; `None` for any other text."""
    if cell.lstrip()[:1] not in ("[", "("):
        return None
    try:
        value = json_value(cell)
        return value if isinstance(value, list) else None
    except ValueError:
        if not _BRACKETS.fullmatch(cell):
            return None
    with warnings.catch_warnings():
        # Of a backslash that escapes nothing.
        warnings.simplefilter("ignore")
        try:
            return [ast.literal_eval(word) if word[0] in "'\"" else None for word in _LITERALS.findall(cell)]
        except (SyntaxError, ValueError):
            # Half an escape, such as \x without its digits, or a NUL.
            return None
