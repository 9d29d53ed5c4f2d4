"""Training pairs of one source that would show a validation or test query of another one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hr_retrieval.data.arrays import Mask, Places, Rows
from hr_retrieval.data.judged import JudgedArrays
from hr_retrieval.data.pairs import pair_rows, training_places
from hr_retrieval.data.source import Source
from hr_retrieval.data.tables import SPLITS
from hr_retrieval.errors import UserError

OVERLAPS = ("drop", "refuse")


@dataclass(frozen=True, eq=False)
class Leak:
    """What of a source would show measured queries of another one.

    Attributes:
        source: the name of the source that is trained on.
        other: that of the one whose queries are measured.
        places: of the training pairs, in `positive_documents`.
        by_text: how many of them have a measured query's text, as their query or as their document.
        by_group: how many others are of a measured query's group.
        example: such a text, or the query of such a pair.
        pairs: how many training pairs the source has.
    """

    source: str
    other: str
    places: Places
    by_text: int
    by_group: int
    example: str
    pairs: int

    def __str__(self) -> str:
        parts = [f"{self.by_text:,} by its text"] * (self.by_text > 0) + [f"{self.by_group:,} by its group"] * (
            self.by_group > 0
        )
        return (
            f"{len(self.places):,} of {self.pairs:,} training pairs of {self.source} show a validation or test query of "
            f"{self.other}, {' and '.join(parts)} (such as {self.example!r})"
        )


def leaks(sources: Sequence[Source], tables: JudgedArrays) -> list[Leak]:
    """What each source would show of each other one, where it would show something.

    A pair is told by the normalised text of its query or its document, and by the stated group of
    its query. What a source keeps to itself is the matter of its own split.
    """
    found = []
    for source in sources if len(sources) > 1 else ():
        places = training_places(source.dataset, source.guard).astype(np.int64)
        queries, documents = pair_rows(source.dataset, places)
        texts = np.asarray(tables.query_text)[source.first_query + queries]
        shown = np.asarray(tables.document_text)[source.first_document + documents]
        groups = np.asarray(tables.query_group)[source.first_query + queries]
        for other in sources:
            if other is source:
                continue
            measured = other.first_query + np.flatnonzero(other.dataset.query_split != SPLITS["train"])
            own_texts, own_groups = (np.asarray(codes)[measured] for codes in (tables.query_text, tables.query_group))
            by_text = np.isin(texts, own_texts) | np.isin(shown, own_texts)
            by_group = np.isin(groups, own_groups[own_groups >= 0]) & ~by_text
            if (by_text | by_group).any():
                found.append(_leak(source, other, places, queries, by_text, by_group))
    return found


def check_overlap(overlap: str, found: Sequence[Leak]) -> None:
    """Raise `UserError` unless `overlap` is known and what was found may be left out."""
    if overlap not in OVERLAPS:
        raise UserError(
            f"datamodule.overlap to be {' or '.join(OVERLAPS)}", repr(overlap), "drop leaves such pairs out."
        )
    if overlap == "refuse" and found:
        raise UserError(
            "sources of which none shows in training what another one measures",
            "; ".join(map(str, found)),
            "Set datamodule.overlap=drop, which leaves these pairs out; where equal group ids of several sources mean "
            "different groups, datamodule.shared_groups=false.",
        )


def _leak(source: Source, other: Source, places: Places, queries: Rows, by_text: Mask, by_group: Mask) -> Leak:
    at = np.flatnonzero(by_text if by_text.any() else by_group)[:1]
    (example,) = source.dataset.texts_at("queries", queries[at])
    left_out = places[by_text | by_group]
    return Leak(source.name, other.name, left_out, int(by_text.sum()), int(by_group.sum()), example, len(places))
