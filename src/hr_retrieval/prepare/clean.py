"""What a raw cell says: its texts without noise, and the key under which two texts are the same."""

import ast
import json
import math
import re
import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from hr_retrieval.errors import UserError

# Control characters that are no white space, surrogates (they cannot be written as UTF-8), soft hyphen, zero-width
# space, BOM.
_NOISE = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u200b\ufeff\ud800-\udfff]")
# Combining marks, which `\w` leaves out: in Hindi, Thai or vowelled Arabic they tell words apart. The variation selectors
# of emoji are none, nor are marks beyond the first plane, which make the pattern slow.
_MARKS = "".join(
    letter
    for letter in map(chr, (*range(0x300, 0xFE00), *range(0xFE10, 0x10000)))
    if unicodedata.category(letter) in ("Mn", "Mc")
)
# `+` and `#` stay: C, C++ and C# are three skills. A mark stays with the letter before it, and goes with any other sign.
_GAPS = re.compile(rf"(?:[^\w+#{_MARKS}]|_)(?:[^\w+#]|_)*")
_WORD = re.compile(r"[^\W_]")
# How exports write that a cell has no value.
PLACEHOLDERS = (
    "n/a", "na", "nan", "nat", "null", "none", "nil", "<na>", "(null)", r"\N", "н/д",
    "#n/a", "#н/д", "#null!", "#value!", "#ref!", "#name?", "#num!", "#div/0!",
)  # fmt: skip
_LITERAL = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|None|nan|null)"""
_BRACKETS = re.compile(rf"\s*[\[(]\s*(?:{_LITERAL}(?:[\s,]+{_LITERAL})*[\s,]*)?[\])]\s*", re.DOTALL)
_LITERALS = re.compile(_LITERAL, re.DOTALL)
_SPLITS = {"train": 0, "validation": 1, "valid": 1, "val": 1, "dev": 1, "test": 2}


@dataclass(frozen=True)
class Columns:
    """Which columns of the source hold what; the names are those of the file.

    A cell may hold one text or a list of texts, and `anchor`, `positive` and `negative` may each name several columns:
    pairs, triplets and rows with many positives or negatives are all read alike.

    A name is a text or a number, `lists` and the first three take several.

    Args:
        anchor: the query side; each of several texts is a query of its own.
        positive: documents that answer every anchor of the row.
        negative: documents that are known not to.
        group: what answers the same need: every document of a group is a right answer to every anchor of it.
        anchor_id: identifier of the query; made from the text by default. With several anchors, `-1`, `-2`, ... are
            added.
        positive_id: identifier of the document, likewise.
        split: `train`, `validation` (`dev`, `val`) or `test`; by default the split is drawn.
        missing: cells that say that there is no value, in any case of letters.
        lists: columns whose cells hold several texts as one; what is in brackets, as Python and JSON write lists, is
            always read so there.
        separator: what stands between the texts of such a cell otherwise: `lines` for line ends, or the sign itself; or a
            list with one for each of `lists`.

    Raises:
        UserError: no anchor, no positive, a name that is no text or number, or separators that do not fit `lists`.
    """

    # A command line makes a number of a name that looks like one: `Any` until `__post_init__` has made text of it.
    anchor: Any = "position"
    positive: Any = "description"
    negative: Any = None
    group: Any = None
    anchor_id: Any = None
    positive_id: Any = None
    split: Any = None
    missing: str | Sequence[str] = PLACEHOLDERS
    lists: Any = None
    separator: str | Sequence[str] = "lines"

    def __post_init__(self) -> None:
        for key in ("anchor", "positive", "negative", "group", "anchor_id", "positive_id", "split", "lists"):
            object.__setattr__(self, key, _as_names(key, getattr(self, key)))
        for key in ("anchor", "positive"):
            if not _several(getattr(self, key)):
                raise UserError(f"a column for data.columns.{key}", "none", "Name one of the file.")
        if isinstance(self.missing, str):
            object.__setattr__(self, "missing", [self.missing])
        lists, separators = _several(self.lists), _several(self.separator)
        if not all(isinstance(sign, str) and sign for sign in separators) or (len(separators) not in (1, len(lists))):
            raise UserError(
                "data.columns.separator to be one sign, or one for each of data.columns.lists",
                repr(self.separator),
                "Say lines for line ends, or the sign, as in 'data.columns.separator=\";\"'.",
            )
        unknown = [name for name in lists if name not in self.text_names()]
        if unknown:
            raise UserError(
                "data.columns.lists to name columns of texts",
                repr(unknown[0]),
                f"Those are {', '.join(map(repr, self.text_names()))}.",
            )

    @cached_property
    def placeholders(self) -> dict[str, str]:
        """`missing` by the folded text."""
        return {str(text).strip().casefold(): str(text) for text in self.missing or ()}

    @cached_property
    def separators(self) -> dict[str, str]:
        """What separates the texts of a cell, by the columns of `lists`."""
        lists, separators = _several(self.lists), _several(self.separator)
        signs = list(separators) * (len(lists) if len(separators) == 1 else 1)
        return dict(zip(lists, signs, strict=False))

    def text_names(self) -> list[str]:
        """The columns of anchors, positives and negatives, each once."""
        return list(dict.fromkeys([*_several(self.anchor), *_several(self.positive), *_several(self.negative)]))

    def names(self) -> list[str]:
        """Every column that is read, each once."""
        named = self.text_names()
        named += [name for name in (self.group, self.anchor_id, self.positive_id, self.split) if name is not None]
        return list(dict.fromkeys(named))


@dataclass
class Record:
    """One usable row.

    Attributes:
        group: as stated, `None` if no column states it.
        split: 0 train, 1 validation, 2 test; `None` if no column states it.
        skipped: why values were left out beside others that are used: empty ones of a list, say.
    """

    anchors: list[str]
    positives: list[str]
    negatives: list[str]
    group: str | None
    anchor_id: str | None
    positive_id: str | None
    split: int | None
    skipped: list[str] = field(default_factory=list)


def clean(text: str) -> str:
    """The text with every run of white space as one space, stripped, without control characters."""
    if not text.isprintable():
        text = _NOISE.sub("", text)
    return " ".join(text.split())


def normalise(text: str) -> str:
    """The key under which texts are the same: NFKC, case-folded, `ё` as `е`, punctuation and space as one space.

    `+`, `#` and combining marks count as letters. For comparison only: models read the text itself.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _GAPS.sub(" ", " " + folded.replace("ё", "е")).strip()


def split_number(name: Any) -> int | None:
    """0 for train, 1 for validation and its other names, 2 for test; `None` for anything else."""
    return _SPLITS.get(name.strip().casefold()) if isinstance(name, str) else None


def read_record(row: Mapping[str, Any], columns: Columns, corpus_only: bool = False) -> Record | str:
    """Read a row, or say why it cannot be used.

    Args:
        corpus_only: whether the row only brings documents, and so needs no anchor.
    """
    split: int | None = None
    if columns.split is not None and not corpus_only:
        split = split_number(row[columns.split])
        if split is None:
            return f"{columns.split}: not train, validation or test"
    anchors, anchor_faults = _texts(row, _several(columns.anchor), columns)
    if not anchors and not corpus_only:
        return anchor_faults[0]
    positives, positive_faults = _texts(row, _several(columns.positive), columns)
    negatives, negative_faults = _texts(row, _several(columns.negative), columns)
    if not positives and not negatives:
        return positive_faults[0]
    group, anchor_id, positive_id = (
        None if name is None else _name(row[name], columns)
        for name in (columns.group, columns.anchor_id, columns.positive_id)
    )
    for name, value in (
        (columns.group, group),
        (columns.anchor_id, anchor_id),
        (columns.positive_id, positive_id),
    ):
        if name is not None and value is None and not corpus_only:
            return f"{name}: missing or empty"
    # To have fewer values than columns is no fault.
    faults = (*anchor_faults, *positive_faults, *negative_faults)
    skipped = [fault for fault in faults if not fault.endswith(": missing")]
    return Record(anchors, positives, negatives, group, anchor_id, positive_id, split, skipped)


def is_missing(value: Any) -> bool:
    """Whether a cell is null: `None`, `NaN`, `NA` or `NaT`; the word "nan" is a word."""
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


def list_style(cell: str) -> str | None:
    """How a cell looks like several short texts: `brackets`, `lines`, `;`, `|` or `,`; `None` for one text."""
    if _bracketed(cell):
        return "brackets"
    for style, fewest, words in (("lines", 2, 8), ("|", 2, 8), (";", 3, 8), (",", 3, 4)):
        parts = [part.strip() for part in _parts(cell, style) if part.strip()]
        if len(parts) >= fewest and all(
            len(part.split()) <= words and not part.endswith((".", "!", "?", ":")) for part in parts
        ):
            return style
    return None


def _texts(row: Mapping[str, Any], names: Sequence[str], columns: Columns) -> tuple[list[str], list[str]]:
    """The distinct texts of the named columns in order, and what is wrong with the other values."""
    texts: dict[str, None] = {}
    faults: list[str] = []
    for name in names:
        for value in _values(row[name], columns.separators.get(name)):
            if is_missing(value):
                faults.append(f"{name}: missing")
                continue
            if not isinstance(value, str):
                faults.append(f"{name}: not a text")
                continue
            text = clean(value)
            placeholder = columns.placeholders.get(text.casefold())
            if placeholder is not None:
                faults.append(f"{name}: the placeholder {placeholder}")
            elif text and _WORD.search(text):
                texts[text] = None
            else:
                faults.append(f"{name}: no letter or digit" if text else f"{name}: empty")
    return list(texts), faults


def _values(cell: Any, separator: str | None) -> Iterator[Any]:
    if isinstance(cell, list | tuple | np.ndarray):
        # An empty list is a missing value, like null.
        yield from cell if len(cell) else (None,)
    elif separator is not None and isinstance(cell, str):
        bracketed = _bracketed(cell)
        parts = _parts(cell, separator) if bracketed is None else bracketed
        # To end with a separator is no fault.
        yield from [part for part in parts if not isinstance(part, str) or part.strip()] or (None,)
    else:
        yield cell


def _parts(cell: str, separator: str) -> list[str]:
    return cell.splitlines() if separator == "lines" else cell.split(separator)


def _bracketed(cell: str) -> list[Any] | None:
    """The elements of a list as JSON, Python or numpy write it; `None` for any other text."""
    if cell.lstrip()[:1] not in ("[", "("):
        return None
    try:
        value = json.loads(cell)
        return value if isinstance(value, list) else None
    except (ValueError, RecursionError):
        if not _BRACKETS.fullmatch(cell):
            return None
    with warnings.catch_warnings():
        # Of a backslash that escapes nothing.
        warnings.simplefilter("ignore")
        return [ast.literal_eval(word) if word[0] in "'\"" else None for word in _LITERALS.findall(cell)]


def _as_names(key: str, value: Any) -> Any:
    """Names of columns as text: a command line makes a number of what looks like one."""
    if isinstance(value, list | tuple):
        return [_as_names(key, name) for name in value]
    if isinstance(value, bool) or not (value is None or isinstance(value, str | int | float)):
        raise UserError(
            f"data.columns.{key} to name columns",
            repr(value),
            f"Put a name that Hydra reads as something else in quotes: 'data.columns.{key}=\"{str(value).lower()}\"'.",
        )
    return value if value is None else str(value)


def _several(names: str | Sequence[str] | None) -> Sequence[str]:
    if names is None:
        return ()
    return (names,) if isinstance(names, str) else names


def _name(value: Any, columns: Columns) -> str | None:
    """An identifier or group as text: whole numbers are welcome."""
    if is_missing(value):
        return None
    if isinstance(value, float) and value.is_integer():
        # A column of whole numbers with a gap arrives as floats.
        value = int(value)
    name = clean(str(value))
    return None if not name or name.casefold() in columns.placeholders else name
