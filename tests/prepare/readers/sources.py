"""Files to read, and what was read of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hr_retrieval.prepare.readers.reader import RawBatch, Reader

ROWS = [
    {"position": "Инженёр; ПТО", "description": 'строка\nи "ещё", одна'},
    {"position": "nan", "description": "b"},
    {"position": "c", "description": ""},
]
WANTED = ["position", "description"]


def read(reader: Reader, wanted: Sequence[str] = WANTED) -> list[RawBatch]:
    return list(reader.batches(wanted))


def rows_of(batches: list[RawBatch]) -> list[dict[str, Any]]:
    return [dict(row) for batch in batches for row in batch.values]


def write_text(folder: Path, content: str | bytes, name: str = "rows.csv") -> str:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return str(folder / name)


def rejected_of(batches: list[RawBatch]) -> list[tuple[int, str, str]]:
    return [(fault.row, fault.reason, fault.content) for batch in batches for fault in batch.rejected]


class Package:
    """What `importlib.metadata` says of an installed package at a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def locate_file(self, path: str) -> Path:
        return self.root / path
