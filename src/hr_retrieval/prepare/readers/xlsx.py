"""Sheets of Excel workbooks as rows, by openpyxl: values as they were computed, no formula is run."""

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from hr_retrieval.errors import DAMAGED, UserError, said
from hr_retrieval.extras import check_extra
from hr_retrieval.prepare.readers.reader import BATCH_ROWS, FilesReader, RawBatch, SourceFile, check_columns, readable
from hr_retrieval.prepare.readers.remote_file import seekable

# What a workbook may unpack to, in all and by the byte: a zip bomb goes beyond both.
_MOST_UNPACKED, _MOST_BY_BYTE = 1 << 31, 200


@dataclass(frozen=True)
class XlsxReader(FilesReader):
    """A sheet whose first row names the columns.

    Args:
        sheet: its name; `None` for the first.
    """

    sheet: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_extra("sources", "openpyxl")

    def batches(self, wanted: Sequence[str]) -> Iterator[RawBatch]:
        """The rows; numbers and dates are texts as Python writes them."""
        for file in self.inputs():
            with _opened(file) as book:
                if self.sheet is not None and self.sheet not in book.sheetnames:
                    raise UserError(
                        f"the sheet {self.sheet!r} in {file}",
                        f"the sheets {', '.join(book.sheetnames)}",
                        "Set data.reader.sheet.",
                    )
                rows = book[self.sheet or book.sheetnames[0]].iter_rows(values_only=True)
                header = ["" if name is None else str(name).strip() for name in next(rows, ())]
                places = check_columns(file, header, wanted)
                numbered = enumerate(rows)
                while block := list(islice(numbered, BATCH_ROWS)):
                    values = [{name: _cell(row, place) for name, place in places.items()} for _, row in block]
                    yield RawBatch(str(file), [number for number, _ in block], values)


def _cell(row: Sequence[Any], place: int) -> Any:
    value = row[place] if place < len(row) else None
    return value if value is None or isinstance(value, str) else str(value)


@contextmanager
def _opened(file: SourceFile) -> Iterator[Any]:
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    with readable(file, "an Excel workbook (.xlsx)"), seekable(file) as data:
        try:
            with zipfile.ZipFile(data) as archive:
                unpacked = sum(entry.file_size for entry in archive.infolist())
            if unpacked > min(_MOST_UNPACKED, _MOST_BY_BYTE * data.seek(0, 2) + (1 << 20)):
                raise UserError(
                    f"a workbook of a usual size at {file}",
                    f"one that unpacks to {unpacked >> 20} MB",
                    "Save the sheet as CSV.",
                )
            book = load_workbook(data, read_only=True, data_only=True)
            try:
                yield book
            finally:
                book.close()
        except (*DAMAGED, InvalidFileException) as error:
            raise UserError(f"an Excel workbook (.xlsx) at {file}", said(error), "Save it anew, or as CSV.") from None
