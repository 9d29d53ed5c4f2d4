"""Numeric arrays on disk, for what tens of millions of rows would take of memory."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


class DiskArray:
    """A numeric array that is written to disk block by block, and read when it is needed."""

    def __init__(self, path: Path, dtype: type[np.generic], width: int = 1) -> None:
        self._path, self._dtype, self._width = path, dtype, width
        path.touch()

    def append(self, block: npt.ArrayLike) -> None:
        """Add rows."""
        with self._path.open("ab") as file:
            file.write(np.ascontiguousarray(block, self._dtype).data)

    def read(self) -> npt.NDArray[Any]:
        """All rows: `[n]`, or `[n, width]` for a width above 1; on disk until they are looked at,
        and unchanged there.
        """
        # An empty file cannot be mapped.
        empty = self._path.stat().st_size == 0
        array = np.empty(0, self._dtype) if empty else np.memmap(self._path, self._dtype, "c")
        return array if self._width == 1 else array.reshape(-1, self._width)


def stored(path: Path, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same array `[n]` on disk."""
    array_on_disk = DiskArray(path, array.dtype.type)
    array_on_disk.append(array)
    return array_on_disk.read()
