"""Texts and groups by which many others hang together, so that a split cannot part them."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hr_retrieval.data.arrays import Codes, Places
from hr_retrieval.data.keys import Distinct
from hr_retrieval.data.tables import parquet_file, take_rows
from hr_retrieval.errors import UserError
from hr_retrieval.prepare.intake import Intake
from hr_retrieval.prepare.occurrences import Occurrences

log = logging.getLogger(__name__)

# Texts that hang together by one, from which that is worth saying; and the share of all from which
# it is an alarm.
_LEAST, _COMMON = 3, 0.2
_REMEDY = "If it says nothing, add it to data.columns.missing."


@dataclass(frozen=True)
class Tie:
    """A text or a group, and how many different texts hang together by it.

    Attributes:
        what: query, document or group.
        count: of the documents of a query, the queries of a document or of a group.
        of: how many there are.
    """

    what: str
    text: str
    count: int
    of: int

    def __str__(self) -> str:
        others = "documents" if self.what == "query" else "queries"
        return f"the {self.what} {self.text[:80]!r} alone goes with {self.count:,} of {self.of:,} {others}"

    def named_in(self, error: UserError) -> UserError:
        """The same error, which also names the tie if it is a wide one."""
        if self.count < _LEAST:
            return error
        return UserError(error.expected, f"{error.got}; {self}", f"{_REMEDY} {error.remedy}")

    def warn(self) -> None:
        """Say so if it is wide enough to be a mistake."""
        if self.count >= max(_LEAST, _COMMON * self.of):
            log.warning("%s. %s", self, _REMEDY)


def widest_tie(intake: Intake, grouped: bool) -> Tie:
    """The text, or the group where groups are stated, by which the most others hang together."""
    return max(_ties(intake, grouped), key=lambda tie: tie.count)


def _ties(intake: Intake, grouped: bool) -> Iterator[Tie]:
    """The query with the most documents, the document with the most queries and, if stated, the group with the most."""
    pairs = intake.positives.read()
    sides = ((intake.queries, 0), (intake.documents, 1))
    codes = [Distinct.of(side.norms.read()).codes for side, _ in sides]
    numbers = [codes[at][pairs[:, at]].astype(np.int64) for at in (0, 1)]
    yield _tie("query", intake.queries, codes[0], numbers[0], numbers[1], "text")
    yield _tie("document", intake.documents, codes[1], numbers[1], numbers[0], "text")
    if grouped:
        groups = Distinct.of(intake.queries.groups.read()).codes
        yield _tie("group", intake.queries, groups, groups.astype(np.int64), codes[0].astype(np.int64), "group")


def _tie(what: str, occurrences: Occurrences, codes: Codes, owners: Places, others: Places, column: str) -> Tie:
    """The code with the most different others, and what stands where it first occurs.

    Args:
        codes: of the occurrences.
        owners: codes that go with `others`, pair by pair.
    """
    width = int(others.max()) + 1
    pairs = np.unique(owners * width + others)
    counts = np.bincount(pairs // width)
    most = int(counts.argmax())
    place = np.flatnonzero(codes == most)[:1]
    with parquet_file(occurrences.file) as file:
        text = take_rows(file, place, [column]).column(0)[0].as_py()
    return Tie(what, str(text), int(counts[most]), len(np.unique(pairs % width)))
