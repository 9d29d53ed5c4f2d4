"""Rows that are left out: written with the reason, counted, and answered with what helps."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hr_retrieval.data.dataset import rejections
from hr_retrieval.data.tables import SCHEMAS, finish, parquet_file
from hr_retrieval.errors import UserError
from hr_retrieval.prepare.readers.reader import Rejected
from hr_retrieval.privacy.masker import Masker

log = logging.getLogger(__name__)

# The share of the rows from which their rejection is an alarm.
_MANY = 0.05


class RejectedWriter:
    """Writes `rejected.parquet`; counts by reason, and keeps what helps against each.

    Args:
        masker: of what stands in the rows.
    """

    def __init__(self, path: Path, masker: Masker) -> None:
        self._masker = masker
        self.counts: Counter[str] = Counter()
        self.remedies: dict[str, str] = {}
        self._writer = pq.ParquetWriter(path, SCHEMAS["rejected"], compression="zstd")

    def __enter__(self) -> "RejectedWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        finish(self._writer, kind is None)

    def write(self, rejected: Sequence[Rejected]) -> None:
        """Add rows."""
        if not rejected:
            return
        self.counts.update(row.reason for row in rejected)
        self.remedies = {row.reason: row.remedy for row in reversed(rejected)} | self.remedies
        columns = {name: [getattr(row, name) for row in rejected] for name in SCHEMAS["rejected"].names}
        columns["content"] = [self._masker.masked(content) for content in columns["content"]]
        arrays = [_array(column, SCHEMAS["rejected"].field(name).type) for name, column in columns.items()]
        self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=SCHEMAS["rejected"]))

    def take_over(self, path: Path, counts: Counter[str], remedies: dict[str, str]) -> None:
        """Begin with the rows that another writer wrote."""
        self.counts, self.remedies = counts, remedies
        with parquet_file(path) as file:
            for batch in file.iter_batches():
                self._writer.write_batch(batch)

    @contextmanager
    def named_in_errors(self) -> Iterator[None]:
        """Let errors say how many rows were rejected before them, and what helps against the commonest reason."""
        try:
            yield
        except UserError as error:
            if not self.counts:
                raise
            remedy = self.remedies[self.counts.most_common(1)[0][0]]
            got = f"{error.got}; {rejections(self.counts)}"
            raise UserError(error.expected, got, f"{remedy} {error.remedy}".strip()) from None

    def warn(self, used: int) -> None:
        """Say what helps where many rows were rejected beside those that are used."""
        reason, count = max(self.counts.items(), key=lambda item: item[1], default=("", 0))
        if self.remedies.get(reason) and count >= _MANY * (used + self.counts.total()):
            log.warning("%s. %s", rejections(self.counts), self.remedies[reason])


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    """The values, texts without lone surrogates, which no file can hold."""
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        return pa.array([value.encode("utf-8", "replace").decode() for value in values], kind)
