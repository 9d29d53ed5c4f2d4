"""Packed files as what they unpack to: gzip, bzip2, xz and zstd, told by their first bytes and not by their names."""

import bz2
import gzip
import io
import lzma
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa

from hr_retrieval.errors import UserError, said
from hr_retrieval.prepare.readers.remote_file import RemoteFile

_KINDS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ\0": "xz"}
_SUFFIXES = frozenset((".gz", ".bz2", ".zst", ".zstd", ".xz"))
# What a file may unpack to: by the byte that was read of it, and beside that. Tables of texts unpack
# to 3 to 20 bytes each, a bomb to a thousand.
_MOST_BY_BYTE, _FREE = 50, 1 << 24


def packing(file: Path | RemoteFile) -> str | None:
    """What a file is packed by; `None` for any other."""
    with file.open("rb") as data:
        start = data.read(6)
    return next((kind for magic, kind in _KINDS.items() if start.startswith(magic)), None)


def unpacked(file: Path | RemoteFile) -> io.BufferedReader:
    """The bytes of a file, unpacked if it is packed.

    Raises:
        UserError: while it is read: it unpacks to far more than texts do.
        OSError: likewise: it is damaged or cut off.
    """
    kind = packing(file)
    return file.open("rb") if kind is None else io.BufferedReader(_Unpacked(file, kind), 1 << 16)


def plain_suffix(file: Path | RemoteFile) -> str:
    """The end of a file's name in small letters, without that of its packing."""
    path = file.path if isinstance(file, RemoteFile) else file
    suffixes = [suffix.casefold() for suffix in path.suffixes]
    return next((suffix for suffix in reversed(suffixes) if suffix not in _SUFFIXES), "")


class _Unpacked(io.RawIOBase):
    def __init__(self, file: Path | RemoteFile, kind: str) -> None:
        self._file, self._kind, self._given = file, kind, 0
        self._packed = _Counted(file.open("rb"))
        self._source = _opened(self._packed, kind)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            block = self._source.read(len(buffer))
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise OSError(f"damaged or cut off, as {self._kind} says: {said(error)}") from None
        self._given += len(block)
        if self._given > _MOST_BY_BYTE * self._packed.given + _FREE:
            raise UserError(
                f"a packed table of texts at {self._file}",
                f"one that unpacks to more than {_MOST_BY_BYTE} bytes for each of its own",
                "If it is no bomb, unpack it first.",
            )
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        if not self.closed:
            self._source.close()
            self._packed.close()
        super().close()


class _Counted(io.RawIOBase):
    """Bytes that are counted as they are read."""

    def __init__(self, data: io.BufferedReader) -> None:
        self._data, self.given = data, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._data.read(len(buffer))
        self.given += len(block)
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        self._data.close()
        super().close()


def _opened(packed: io.RawIOBase, kind: str) -> Any:
    if kind == "zstd":
        return pa.CompressedInputStream(pa.PythonFile(packed, "r"), "zstd")
    data: Any = io.BufferedReader(packed, 1 << 16)
    if kind == "gzip":
        return gzip.GzipFile(fileobj=data)
    return bz2.BZ2File(data) if kind == "bzip2" else lzma.LZMAFile(data)
