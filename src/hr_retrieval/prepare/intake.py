"""Rows as they come in: their texts, the keys of the texts and the pairs, all on disk."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hr_retrieval.prepare.clean import is_missing
from hr_retrieval.prepare.columns import Columns
from hr_retrieval.prepare.disk_array import DiskArray
from hr_retrieval.prepare.list_styles import ListStyles
from hr_retrieval.prepare.occurrences import Occurrences, Spool
from hr_retrieval.prepare.readers.reader import KEPT, RawBatch, Rejected
from hr_retrieval.prepare.record import Record, read_record
from hr_retrieval.prepare.rejections import RejectedWriter
from hr_retrieval.prepare.tidy import UNTOUCHED, Tidying
from hr_retrieval.privacy.masker import Masker


@dataclass(frozen=True)
class Intake:
    """All that the rows say, on disk.

    Attributes:
        splits: of each query occurrence, -1 if the source states none.
        dates: likewise, in seconds since 1970; 0 if none.
        positives: `[m, 2]`: places of query and document occurrences that go together.
        grades: of each of `positives`, 1 to 3.
        weights: likewise, above 0.
        negatives: as `positives`.
        negative_rows: which row of the source each negative pair comes from.
        sources: the files, each with the number that its first row has in `negative_rows`.
        numbered: the number that the first row of another file would have.
        rows: how many rows are used.
        skipped: how many values were left out beside others of the same row that are used, by
            reason.
        masked: how many pieces of personal data were masked in the rows that are used, by kind.
        list_styles: how many cells of a column look like lists of a kind, by its name; see
            `ListStyles`.
        boilerplate: what was left out of the documents; see `Sweeper.report`.
    """

    documents: Occurrences
    queries: Occurrences
    splits: DiskArray
    dates: DiskArray
    positives: DiskArray
    grades: DiskArray
    weights: DiskArray
    negatives: DiskArray
    negative_rows: DiskArray
    sources: dict[str, int]
    numbered: int
    rows: int
    skipped: Counter[str]
    masked: Counter[str]
    list_styles: dict[str, dict[str, int]]
    boilerplate: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def at(cls, folder: Path, documents: Occurrences, queries: Occurrences, **said: Any) -> "Intake":
        """What lies in a folder, with what its arrays do not say."""
        columns: dict[str, Any] = {**_columns_at(folder)}
        return cls(documents, queries, **columns, **said)

    def source_of(self, row: int) -> tuple[str, int]:
        """File and place in it of a row numbered as in `negative_rows`."""
        source = [name for name, begin in self.sources.items() if begin <= row][-1]
        return source, row - self.sources[source]


def take_in(
    batches: Iterator[RawBatch],
    columns: Columns,
    folder: Path,
    rejected: RejectedWriter,
    masker: Masker,
    before: Intake | None = None,
    tidying: Tidying = UNTOUCHED,
    lines: bool = False,
) -> Intake:
    """Read and clean the rows; what they say goes to files in `folder`.

    Args:
        before: of the rows before these, whose counts go on; its texts and pairs are not taken.
        lines: as of `read_record`.
    """
    pairs, styles = _Pairs(folder, before), ListStyles(columns, before.list_styles if before else {})
    with Spool(folder, "documents") as documents, Spool(folder, "queries") as queries:
        for batch in batches:
            pairs.begin_batch(batch)
            faults = list(batch.rejected)
            styles.look_at(batch.values)
            for row, values in zip(batch.rows, batch.values, strict=True):
                record = read_record(values, columns, masker, tidying, batch.corpus_only, lines)
                if isinstance(record, str):
                    faults.append(Rejected(batch.source, row, record, _as_json(values)))
                else:
                    pairs.add(row, record, queries, documents)
            queries.flush()
            documents.flush()
            pairs.flush()
            rejected.write(faults)
        return pairs.intake(documents.close(), queries.close(), styles.counts())


def joined(parts: Sequence[Intake], folder: Path) -> Intake:
    """One intake in `folder` of what was taken in one after another; the counts of the last one are of all."""
    columns = _columns_at(folder)
    with Spool(folder, "documents") as documents, Spool(folder, "queries") as queries:
        for part in parts:
            begin = np.array([queries.count, documents.count], np.int32)
            for name, column in columns.items():
                block = getattr(part, name).read()
                column.append(block + begin if name in ("positives", "negatives") else block)
            queries.take_over(part.queries)
            documents.take_over(part.documents)
        made: dict[str, Any] = {**columns, "documents": documents.close(), "queries": queries.close()}
        return replace(parts[-1], **made)


def _columns_at(folder: Path) -> dict[str, DiskArray]:
    kinds: dict[str, tuple[type[np.generic], int]] = {
        "splits": (np.int8, 1),
        "dates": (np.int64, 1),
        "positives": (np.int32, 2),
        "grades": (np.int8, 1),
        "weights": (np.float32, 1),
        "negatives": (np.int32, 2),
        "negative_rows": (np.int64, 1),
    }
    return {name: DiskArray(folder / name, *kind) for name, kind in kinds.items()}


class _Pairs:
    """Which occurrences go together, gathered row by row."""

    def __init__(self, folder: Path, before: Intake | None) -> None:
        self._sources: dict[str, int] = dict(before.sources) if before else {}
        self._rows, self._used = (before.numbered, before.rows) if before else (0, 0)
        self._skipped: Counter[str] = Counter(before.skipped if before else ())
        self._masked: Counter[str] = Counter(before.masked if before else ())
        self._folder, self._columns = folder, _columns_at(folder)
        self._clear()

    def begin_batch(self, batch: RawBatch) -> None:
        """Number the rows of a new file behind those of the last."""
        self._rows_before = self._sources.setdefault(batch.source, self._rows)

    def add(self, row: int, record: Record, queries: "Spool", documents: "Spool") -> None:
        """Add the texts of a row to the two sides, and its pairs."""
        anchors = queries.add(record.anchors, record.anchor_id, record.group, record.language)
        # What is no answer is not of the group of what is asked for.
        group = record.document_group if record.grade else None
        positives = documents.add(record.positives, record.positive_id, group, record.language)
        negatives = documents.add(record.negatives, None, None, record.language)
        self._splits += [-1 if record.split is None else record.split] * len(record.anchors)
        self._dates += [record.date or 0] * len(record.anchors)
        against = [*([] if record.grade else positives), *negatives]
        if record.grade:
            self._positives += [(anchor, positive) for anchor in anchors for positive in positives]
            self._grades += [record.grade] * (len(anchors) * len(positives))
            self._weights += [record.weight] * (len(anchors) * len(positives))
        self._negatives += [(anchor, negative) for anchor in anchors for negative in against]
        self._negative_rows += [self._rows_before + row] * (len(anchors) * len(against))
        self._rows = max(self._rows, self._rows_before + row + 1)
        self._skipped.update(record.skipped)
        self._masked.update(record.masked)
        self._used += 1

    def flush(self) -> None:
        """Write what was gathered."""
        for name, column in self._columns.items():
            column.append(getattr(self, f"_{name}"))
        self._clear()

    def intake(self, documents: Occurrences, queries: Occurrences, list_styles: dict[str, dict[str, int]]) -> Intake:
        """Everything."""
        said = {"sources": self._sources, "numbered": self._rows, "rows": self._used, "skipped": self._skipped}
        return Intake.at(self._folder, documents, queries, **said, masked=self._masked, list_styles=list_styles)

    def _clear(self) -> None:
        self._splits: list[int] = []
        self._dates: list[int] = []
        self._positives: list[tuple[int, int]] = []
        self._grades: list[int] = []
        self._weights: list[float] = []
        self._negatives: list[tuple[int, int]] = []
        self._negative_rows: list[int] = []


def _as_json(values: Any) -> str:
    # Of a text that many rows share, no copy for each.
    plain = {
        name: None if is_missing(value) else value[:KEPT] if isinstance(value, str) else value
        for name, value in values.items()
    }
    return json.dumps(plain, ensure_ascii=False, default=str)
