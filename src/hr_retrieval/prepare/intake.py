"""Rows as they come in: their texts, the keys of the texts and the pairs, all on disk."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hr_retrieval.data.keys import hashes_of, keys_of
from hr_retrieval.data.tables import ROW_GROUP, column_batches, finish
from hr_retrieval.prepare.clean import is_missing
from hr_retrieval.prepare.columns import Columns
from hr_retrieval.prepare.disk_array import DiskArray
from hr_retrieval.prepare.list_styles import ListStyles
from hr_retrieval.prepare.readers.reader import KEPT, RawBatch, Rejected
from hr_retrieval.prepare.record import Record, read_record
from hr_retrieval.prepare.rejections import RejectedWriter
from hr_retrieval.prepare.tidy import UNTOUCHED, Tidying
from hr_retrieval.privacy.masker import Masker
from hr_retrieval.text import normalise

_SCHEMA = pa.schema([pa.field(name, pa.string()) for name in ("text", "id", "group", "language")])


@dataclass(frozen=True)
class Occurrences:
    """Every text of one side in the order of the rows, repeated as often as it stands there.

    Attributes:
        file: Parquet with the columns text, id, group and language; all but the text are null where
            none is stated.
        keys: of the texts, `[n, 2]`.
        norms: hashes of the normalised texts, `[n]`.
        groups: hashes of the stated groups, `[n]`; 0 for none.
    """

    file: Path
    keys: DiskArray
    norms: DiskArray
    groups: DiskArray

    @classmethod
    def at(cls, folder: Path, name: str) -> "Occurrences":
        """Those of that name in a folder, or where they are to be."""
        kinds = (("keys", 2), ("norms", 1), ("groups", 1))
        return cls(
            folder / f"{name}.texts", *(DiskArray(folder / f"{name}.{kind}", np.uint64, width) for kind, width in kinds)
        )


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
        rows: how many rows are used.
        skipped: how many values were left out beside others of the same row that are used, by
            reason.
        masked: how many pieces of personal data were masked in the rows that are used, by kind.
        list_styles: how the cells of a column look like lists, by its name; see `list_style`.
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
    rows: int
    skipped: Counter[str]
    masked: Counter[str]
    list_styles: dict[str, str]
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
    max_rows: int | None = None,
    tidying: Tidying = UNTOUCHED,
    lines: bool = False,
) -> Intake:
    """Read and clean the rows, at most so many; what they say goes to files in `folder`.

    Args:
        lines: as of `read_record`.
    """
    pairs, styles = _Pairs(folder), ListStyles(columns)
    with _Spool(folder, "documents") as documents, _Spool(folder, "queries") as queries:
        for batch in _limited(batches, max_rows):
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
        return pairs.intake(documents.close(), queries.close(), styles.found())


def changed(occurrences: Occurrences, folder: Path, texts: Iterable[Sequence[str]]) -> Occurrences:
    """The same occurrences with other texts, which come in the blocks of `column_batches`."""
    with _Spool(folder, "changed") as spool:
        names = ["id", "group", "language"]
        for batch, own in zip(column_batches(occurrences.file, names), texts, strict=True):
            for text, *stated in zip(own, *(batch[name].to_pylist() for name in names), strict=True):
                spool.add([text], *stated)
            spool.flush()
        return spool.close()


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

    def __init__(self, folder: Path) -> None:
        self._sources: dict[str, int] = {}
        self._rows_before = self._rows = self._used = 0
        self._skipped: Counter[str] = Counter()
        self._masked: Counter[str] = Counter()
        self._folder, self._columns = folder, _columns_at(folder)
        self._clear()

    def begin_batch(self, batch: RawBatch) -> None:
        """Number the rows of a new file behind those of the last."""
        if batch.source not in self._sources:
            self._rows_before = self._rows
            self._sources[batch.source] = self._rows_before

    def add(self, row: int, record: Record, queries: "_Spool", documents: "_Spool") -> None:
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

    def intake(self, documents: Occurrences, queries: Occurrences, list_styles: dict[str, str]) -> Intake:
        """Everything."""
        said = {"sources": self._sources, "rows": self._used, "skipped": self._skipped, "masked": self._masked}
        return Intake.at(self._folder, documents, queries, **said, list_styles=list_styles)

    def _clear(self) -> None:
        self._splits: list[int] = []
        self._dates: list[int] = []
        self._positives: list[tuple[int, int]] = []
        self._grades: list[int] = []
        self._weights: list[float] = []
        self._negatives: list[tuple[int, int]] = []
        self._negative_rows: list[int] = []


class _Spool:
    """One side's texts on their way to disk."""

    def __init__(self, folder: Path, name: str) -> None:
        self._own = Occurrences.at(folder, name)
        # Read once or twice and deleted: speed before size.
        self._writer = pq.ParquetWriter(self._own.file, _SCHEMA, compression="lz4", use_dictionary=False)
        self._count = 0
        self._waiting: list[pa.RecordBatch] = []
        self._clear()

    def __enter__(self) -> "_Spool":
        return self

    def __exit__(self, *error: object) -> None:
        finish(self._writer, False)

    def add(self, texts: Sequence[str], identifier: str | None, group: str | None, language: str | None) -> range:
        """Add the texts of a row; gives their places."""
        self._texts += texts
        if identifier is None or len(texts) == 1:
            self._ids += [identifier] * len(texts)
        else:
            self._ids += [f"{identifier}-{number}" for number in range(1, len(texts) + 1)]
        self._groups += [group] * len(texts)
        self._languages += [language] * len(texts)
        self._count += len(texts)
        return range(self._count - len(texts), self._count)

    def flush(self) -> None:
        """Write the texts and their keys."""
        groups = hashes_of([group or "" for group in self._groups])
        groups[[group is None for group in self._groups]] = 0
        self._own.keys.append(keys_of(self._texts))
        self._own.norms.append(hashes_of([normalise(text) for text in self._texts]))
        self._own.groups.append(groups)
        self._waiting.append(pa.record_batch([self._texts, self._ids, self._groups, self._languages], schema=_SCHEMA))
        if sum(batch.num_rows for batch in self._waiting) >= ROW_GROUP:
            self._write()
        self._clear()

    def close(self) -> Occurrences:
        """All that was added."""
        self._write()
        finish(self._writer, True)
        return self._own

    def _write(self) -> None:
        self._writer.write_table(pa.Table.from_batches(self._waiting, _SCHEMA), row_group_size=ROW_GROUP)
        self._waiting = []

    def _clear(self) -> None:
        self._texts: list[str] = []
        self._ids: list[str | None] = []
        self._groups: list[str | None] = []
        self._languages: list[str | None] = []


def _limited(batches: Iterator[RawBatch], rows: int | None) -> Iterator[RawBatch]:
    """The batches up to so many readable rows; documents without anchors are not counted."""
    left = sys.maxsize if rows is None else rows
    for batch in batches:
        if batch.corpus_only or len(batch.rows) < left:
            yield batch
            left -= 0 if batch.corpus_only else len(batch.rows)
            continue
        kept = batch.rows[:left]
        rejected = [fault for fault in batch.rejected if fault.row < kept[-1]]
        yield RawBatch(batch.source, kept, batch.values[:left], rejected)
        return


def _as_json(values: Any) -> str:
    # Of a text that many rows share, no copy for each.
    plain = {
        name: None if is_missing(value) else value[:KEPT] if isinstance(value, str) else value
        for name, value in values.items()
    }
    return json.dumps(plain, ensure_ascii=False, default=str)
