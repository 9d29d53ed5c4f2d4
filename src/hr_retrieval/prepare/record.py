"""What one row says: its anchors, positives and negatives, or why it cannot be used."""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hr_retrieval.data.tables import MOST_RELEVANT, SPLITS
from hr_retrieval.prepare.clean import clean, clean_lines, is_missing, values_of
from hr_retrieval.prepare.columns import JOINT, Columns, several
from hr_retrieval.prepare.dates import EXPECTED, seconds_of
from hr_retrieval.prepare.tidy import UNTOUCHED, Tidying
from hr_retrieval.privacy.masker import MASKED, Masker

_SPLITS: dict[str, int] = dict(SPLITS.items()) | dict.fromkeys(("valid", "val", "dev"), SPLITS["validation"])
# As BCP 47 writes languages: ru, pt-BR, zh-Hans.
_TAG = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")
# No advert and no résumé is as long, and what looks for names in a text takes longer than in pieces.
_LONGEST = 1 << 18
_WORD = re.compile(r"[^\W_]")


@dataclass
class Record:
    """One usable row.

    Attributes:
        group: of the queries, as stated; `None` if no column states it.
        document_group: of the documents: the same, or what they are related by if a column states
            that, in words that are no query's group.
        split: 0 train, 1 validation, 2 test; `None` if no column states it.
        date: in seconds since 1970; `None` if no column states it.
        language: tag of its texts in small letters; `None` if none is stated.
        grade: of the positives, 0 to 3; 0 says that they are no answers.
        weight: of the row's pairs, above 0.
        skipped: why values were left out beside others that are used: empty ones of a list, say.
        masked: how many pieces of personal data were masked, by kind.
    """

    anchors: list[str]
    positives: list[str]
    negatives: list[str]
    group: str | None
    document_group: str | None
    anchor_id: str | None
    positive_id: str | None
    split: int | None
    date: int | None = None
    language: str | None = None
    grade: int = 1
    weight: float = 1.0
    skipped: list[str] = field(default_factory=list)
    masked: Counter[str] = field(default_factory=Counter)


def read_record(
    row: Mapping[str, Any],
    columns: Columns,
    masker: Masker,
    tidying: Tidying = UNTOUCHED,
    corpus_only: bool = False,
    lines: bool = False,
) -> Record | str:
    """Read a row, or say why it cannot be used.

    Args:
        masker: of the texts. A group or an id that is an e-mail address is a fault: masked, all
            would be one.
        tidying: what is mended in the texts first.
        corpus_only: whether the row only brings documents, and so needs no anchor.
        lines: whether the lines of documents stay apart, for what looks at them next.
    """
    split: int | None = None
    if columns.split is not None and not corpus_only:
        split = split_number(row[columns.split])
        if split is None:
            return f"{columns.split}: not train, validation or test"
    date: int | None = None
    if columns.date is not None and not corpus_only:
        date = seconds_of(row[columns.date], columns.date_format)
        if date is None:
            return f"{columns.date}: {'missing' if is_missing(row[columns.date]) else EXPECTED}"
    language = None if columns.language is None else _name(row[columns.language], columns)
    if language is not None and not _TAG.fullmatch(language):
        return f"{columns.language}: no tag of a language"
    grade, weight = 1, 1.0
    if columns.relevance is not None and not corpus_only:
        found = number_of(row[columns.relevance])
        if found is None or found not in range(MOST_RELEVANT + 1):
            return f"{columns.relevance}: no whole number from 0 to {MOST_RELEVANT}"
        grade = int(found)
    if columns.weight is not None and not corpus_only:
        found = number_of(row[columns.weight])
        if found is None or not 0 < found < math.inf:
            return f"{columns.weight}: no number above 0"
        weight = found
    masked: Counter[str] = Counter()

    read = partial(_texts, row, columns, lambda text: masker.masked(tidying(text), masked))
    cleaned = clean_lines if lines else clean
    anchors, anchor_faults = read(clean, columns.anchor)
    if not anchors and not corpus_only:
        return anchor_faults[0]
    positives, positive_faults = read(cleaned, columns.positive)
    negatives, negative_faults = read(cleaned, columns.negative)
    if not positives and not negatives:
        return positive_faults[0]
    group, related, anchor_id, positive_id = (
        None if name is None else _name(row[name], columns)
        for name in (columns.group, columns.related, columns.anchor_id, columns.positive_id)
    )
    for name, value in (
        (columns.group, group),
        (columns.anchor_id, anchor_id),
        (columns.positive_id, positive_id),
    ):
        if name is not None and value is None and not corpus_only:
            return f"{name}: missing or empty"
    for name, value in (
        (columns.group, group),
        (columns.related, related),
        (columns.anchor_id, anchor_id),
        (columns.positive_id, positive_id),
    ):
        if value is not None and "@" in value and masker.spans(value):
            return f"{name}: an e-mail address, which is no id to keep"
    # To have fewer values than columns is no fault.
    faults = (*anchor_faults, *positive_faults, *negative_faults)
    skipped = [fault for fault in faults if not fault.endswith(": missing")]
    document_group = None if related is None else f"{columns.related}: {related}"
    if columns.related is None:
        document_group = group
    return Record(
        anchors,
        positives,
        negatives,
        group,
        document_group,
        anchor_id,
        positive_id,
        split,
        date,
        language and language.lower(),
        grade,
        weight,
        skipped,
        masked,
    )


def split_number(name: Any) -> int | None:
    """0 for train, 1 for validation and its other names, 2 for test; `None` for anything else."""
    return _SPLITS.get(name.strip().casefold()) if isinstance(name, str) else None


def number_of(value: Any) -> float | None:
    """The number that a cell holds, as such or as text; `None` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _texts(
    row: Mapping[str, Any],
    columns: Columns,
    masked: Callable[[str], str],
    cleaned: Callable[[str], str],
    names: str | Sequence[str] | None,
) -> tuple[list[str], list[str]]:
    """The distinct texts of the named columns in order, and what is wrong with the other values.

    Args:
        masked: mends and masks a text.
        cleaned: what then becomes of its space.
    """
    texts: dict[str, None] = {}
    faults: list[str] = []
    for name in several(names):
        own: dict[str, None] = {}
        for value in values_of(row[name], columns.separators.get(name)):
            if is_missing(value):
                faults.append(f"{name}: missing")
                continue
            if not isinstance(value, str):
                faults.append(f"{name}: not a text")
                continue
            if len(value) > _LONGEST:
                faults.append(f"{name}: longer than {_LONGEST:,} characters")
                continue
            # Before the lines become one: a name stands on the first.
            text = cleaned(masked(value))
            placeholder = columns.placeholders.get(text.casefold())
            if placeholder is not None:
                faults.append(f"{name}: the placeholder {placeholder}")
            elif text and _WORD.search(MASKED.sub("", text) if text.startswith("[") else text):
                own[text] = None
            elif MASKED.search(text):
                faults.append(f"{name}: personal data alone")
            else:
                faults.append(f"{name}: no letter or digit" if text else f"{name}: empty")
        texts |= dict.fromkeys([JOINT.join(own)] if own and name in several(columns.joined) else own)
    return list(texts), faults


def _name(value: Any, columns: Columns) -> str | None:
    """An identifier or group as text: whole numbers are welcome."""
    if is_missing(value):
        return None
    if isinstance(value, float) and value.is_integer():
        # A column of whole numbers with a gap arrives as floats.
        value = int(value)
    name = clean(str(value))
    return None if not name or name.casefold() in columns.placeholders else name
