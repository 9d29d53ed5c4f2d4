"""What a raw cell says: its texts without noise, and the key under which two texts are the same."""

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

# Control characters that are no white space, surrogates (they cannot be written as UTF-8), soft hyphen, zero-width
# space, BOM.
_NOISE = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u200b\ufeff\ud800-\udfff]")
# `+` and `#` stay: C, C++ and C# are three skills.
_GAPS = re.compile(r"(?:[^\w+#]|_)+")
_WORD = re.compile(r"[^\W_]")
_SPLITS = {"train": 0, "validation": 1, "valid": 1, "val": 1, "dev": 1, "test": 2}


@dataclass(frozen=True)
class Columns:
    """Which columns of the source hold what; the names are those of the file.

    A cell may hold one text or a list of texts, and `anchor`, `positive` and `negative` may each name several columns:
    pairs, triplets and rows with many positives or negatives are all read alike.

    Args:
        anchor: the query side; each of several texts is a query of its own.
        positive: documents that answer every anchor of the row.
        negative: documents that are known not to.
        group: rows of one group are never negatives of each other; by default the normalised first anchor.
        anchor_id: identifier of the query; made from the text by default. With several anchors, `-1`, `-2`, ... are
            added.
        positive_id: identifier of the document, likewise.
        split: `train`, `validation` (`dev`, `val`) or `test`; by default the split is drawn.
    """

    anchor: str | Sequence[str] = "position"
    positive: str | Sequence[str] = "description"
    negative: str | Sequence[str] | None = None
    group: str | None = None
    anchor_id: str | None = None
    positive_id: str | None = None
    split: str | None = None

    def names(self) -> list[str]:
        """Every column that is read, each once."""
        named = [*_several(self.anchor), *_several(self.positive), *_several(self.negative)]
        named += [name for name in (self.group, self.anchor_id, self.positive_id, self.split) if name is not None]
        return list(dict.fromkeys(named))


@dataclass
class Record:
    """One usable row.

    Attributes:
        group: as stated, `None` if no column states it.
        split: 0 train, 1 validation, 2 test; `None` if no column states it.
        skipped: values left out beside others that are used: empty ones of a list, say.
    """

    anchors: list[str]
    positives: list[str]
    negatives: list[str]
    group: str | None
    anchor_id: str | None
    positive_id: str | None
    split: int | None
    skipped: int


def clean(text: str) -> str:
    """The text with every run of white space as one space, stripped, without control characters."""
    if not text.isprintable():
        text = _NOISE.sub("", text)
    return " ".join(text.split())


def normalise(text: str) -> str:
    """The key under which texts are the same: NFKC, case-folded, `ё` as `е`, punctuation and space as one space.

    `+` and `#` count as letters. For comparison only: models read the text itself.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _GAPS.sub(" ", folded.replace("ё", "е")).strip()


def read_record(row: Mapping[str, Any], columns: Columns, corpus_only: bool = False) -> Record | str:
    """Read a row, or say why it cannot be used.

    Args:
        corpus_only: whether the row only brings documents, and so needs no anchor.
    """
    split: int | None = None
    if columns.split is not None and not corpus_only:
        stated = row[columns.split]
        split = _SPLITS.get(stated.strip().casefold()) if isinstance(stated, str) else None
        if split is None:
            return f"{columns.split}: not train, validation or test"
    anchors, anchor_faults = _texts(row, _several(columns.anchor))
    if not anchors and not corpus_only:
        return anchor_faults[0]
    positives, positive_faults = _texts(row, _several(columns.positive))
    negatives, negative_faults = _texts(row, _several(columns.negative))
    if not positives and not negatives:
        return positive_faults[0]
    group, anchor_id, positive_id = (
        None if name is None else _name(row[name]) for name in (columns.group, columns.anchor_id, columns.positive_id)
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
    skipped = sum(not fault.endswith(": missing") for fault in faults)
    return Record(anchors, positives, negatives, group, anchor_id, positive_id, split, skipped)


def is_missing(value: Any) -> bool:
    """Whether a cell is null: `None`, `NaN`, `NA` or `NaT`; the word "nan" is a word."""
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


def _texts(row: Mapping[str, Any], names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The distinct texts of the named columns in order, and what is wrong with the other values."""
    texts: dict[str, None] = {}
    faults: list[str] = []
    for name in names:
        for value in _values(row[name]):
            if is_missing(value):
                faults.append(f"{name}: missing")
                continue
            if not isinstance(value, str):
                faults.append(f"{name}: not a text")
                continue
            text = clean(value)
            if text and _WORD.search(text):
                texts[text] = None
            else:
                faults.append(f"{name}: no letter or digit" if text else f"{name}: empty")
    return list(texts), faults


def _values(cell: Any) -> Iterator[Any]:
    if isinstance(cell, list | tuple | np.ndarray):
        # An empty list is a missing value, like null.
        yield from cell if len(cell) else (None,)
    else:
        yield cell


def _several(names: str | Sequence[str] | None) -> Sequence[str]:
    if names is None:
        return ()
    return (names,) if isinstance(names, str) else names


def _name(value: Any) -> str | None:
    """An identifier or group as text: whole numbers are welcome."""
    if is_missing(value):
        return None
    if isinstance(value, float) and value.is_integer():
        # A column of whole numbers with a gap arrives as floats.
        value = int(value)
    return clean(str(value)) or None
