"""The texts of one side as they come in, each as often as it stands there, with their keys: all on disk."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hr_retrieval.data.keys import hashes_of, keys_of
from hr_retrieval.data.tables import ROW_GROUP, column_batches, finish, parquet_file
from hr_retrieval.prepare.disk_array import DiskArray
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


class Spool:
    """One side's texts on their way to disk.

    Attributes:
        count: of the texts so far.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._own = Occurrences.at(folder, name)
        # Read once or twice and deleted: speed before size.
        self._writer = pq.ParquetWriter(self._own.file, _SCHEMA, compression="lz4", use_dictionary=False)
        self.count = 0
        self._waiting: list[pa.RecordBatch] = []
        self._clear()

    def __enter__(self) -> "Spool":
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
        self.count += len(texts)
        return range(self.count - len(texts), self.count)

    def take_over(self, other: Occurrences) -> None:
        """Add all that another one holds, before anything else is added."""
        for name in ("keys", "norms", "groups"):
            getattr(self._own, name).append(getattr(other, name).read())
        with parquet_file(other.file) as file:
            for number in range(file.num_row_groups):
                self._writer.write_table(file.read_row_group(number), row_group_size=ROW_GROUP)
        self.count += len(other.norms.read())

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


def changed(occurrences: Occurrences, folder: Path, texts: Iterable[Sequence[str]]) -> Occurrences:
    """The same occurrences with other texts, which come in the blocks of `column_batches`."""
    with Spool(folder, "changed") as spool:
        names = ["id", "group", "language"]
        for batch, own in zip(column_batches(occurrences.file, names), texts, strict=True):
            for text, *stated in zip(own, *(batch[name].to_pylist() for name in names), strict=True):
                spool.add([text], *stated)
            spool.flush()
        return spool.close()
