"""Parquet files as rows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow.parquet as pq

from hr_retrieval.data.tables import parquet_file
from hr_retrieval.prepare.readers.reader import BATCH_ROWS, FilesReader, RawBatch, SourceFile, check_columns, readable
from hr_retrieval.prepare.readers.remote_file import seekable


@dataclass(frozen=True)
class ParquetReader(FilesReader):
    """Parquet files, such as the parts in a folder; a cell may be a list."""

    def columns(self) -> list[str]:
        """The names of the columns of the first file."""
        with _opened(self.inputs()[0]) as table:
            return list(table.schema_arrow.names)

    def batches(self, wanted: Sequence[str]) -> Iterator[RawBatch]:
        """The rows."""
        files = self.inputs()
        for file in files:
            with _opened(file) as table:
                check_columns(file, table.schema_arrow.names, wanted)
        for file in files:
            row = 0
            with _opened(file) as table:
                for batch in table.iter_batches(BATCH_ROWS, columns=list(wanted)):
                    yield RawBatch(str(file), range(row, row + batch.num_rows), batch.to_pylist())
                    row += batch.num_rows


@contextmanager
def _opened(file: SourceFile) -> Iterator[pq.ParquetFile]:
    with readable(file, "a whole Parquet file"), seekable(file) as data, parquet_file(data) as table:
        yield table
