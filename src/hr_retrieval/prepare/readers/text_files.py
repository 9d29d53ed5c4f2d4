"""Text files as lines: their encoding, their broken bytes, and what a file is that is no text."""

import codecs
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.readers.packing import unpacked
from hr_retrieval.prepare.readers.reader import FilesReader, SourceFile, Unreadable, readable

# What stands for broken bytes where their row is to be rejected: no text that decodes holds it.
BROKEN = "\udfff"
BROKEN_BYTES = "broken bytes"
_HANDLERS = {"strict": "strict", "replace": "replace", "reject": "hr_retrieval.mark"}
codecs.register_error("hr_retrieval.mark", lambda error: (BROKEN, getattr(error, "end", 0)))

# How files begin that are often given for text.
_OTHER_KINDS = {
    b"PK\x03\x04": ("a zip archive or an Excel workbook", "Unpack it first, or save the sheet as CSV."),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook", "Save the sheet as CSV."),
    b"PAR1": ("Parquet", "Say data=parquet."),
    b"version https://git-lfs": ("a pointer of Git LFS", "Fetch the file itself: git lfs pull."),
}
_SAMPLE = 1 << 20
# What is usual for Russian text beside UTF-8.
_CYRILLIC = ("cp1251", "koi8-r", "cp866")
# So many bytes beyond ASCII tell one from the other.
_TELLING = 20


def other_kind(file: SourceFile) -> tuple[str, str] | None:
    """What a file is that is an archive or otherwise no plain data, and what helps; `None` for all others."""
    with readable(file, "a file"), unpacked(file) as data:
        start = data.read(32)
    return next((kind for magic, kind in _OTHER_KINDS.items() if start.startswith(magic)), None)


def check_encoding(encoding: str, errors: str) -> None:
    """Raise `UserError` unless Python knows the encoding, and what to do with broken bytes is one of three things."""
    try:
        "a".encode(encoding)
    except (LookupError, ValueError):
        raise UserError(
            "an encoding that Python knows", repr(encoding), "Say utf-8, cp1251, utf-16 or the like."
        ) from None
    if errors not in _HANDLERS:
        raise UserError("data.reader.errors to be strict, replace or reject", repr(errors), "Choose one of these.")


@dataclass(frozen=True)
class TextFiles(FilesReader):
    """A reader of text files.

    Args:
        encoding: of the files.
        errors: as of `CsvReader`.
    """

    # A command line makes numbers of digits: `Any` until `__post_init__` has made text of it.
    encoding: Any = "utf-8"
    errors: str = "strict"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "encoding", str(self.encoding))
        check_encoding(self.encoding, self.errors)


def text_lines(file: SourceFile, encoding: str, errors: str) -> Iterator[str]:
    """The lines with their ends, without a byte order mark.

    Args:
        errors: what broken bytes do: `strict` ends in an error, `replace` puts U+FFFD, `reject`
            puts `BROKEN`.

    Raises:
        UserError: the file is in another encoding or no text, or cannot be read.
    """
    check_text(file, encoding, errors)
    with (
        readable(file, "a text file"),
        io.TextIOWrapper(unpacked(file), encoding, _HANDLERS[errors], newline="") as lines,
    ):
        try:
            first = next(lines, "").removeprefix("\ufeff")
            if first:
                yield first
            yield from lines
        except UnicodeError:
            raise undecodable(file, encoding) from None


def check_text(file: SourceFile, encoding: str, errors: str) -> None:
    """Raise `UserError` if the beginning shows that the file is no text, or that its encoding is another one."""
    kind = other_kind(file)
    if kind:
        raise UserError(f"text in {file}", kind[0], kind[1])
    with readable(file, "a text file"), unpacked(file) as data:
        start = data.read(_SAMPLE)
    if codecs.lookup(encoding).name.startswith(("utf-16", "utf-32")):
        if start and b"\0" not in start:
            raise _other_encoding(file, encoding, "no zero byte, which every line end has in it", "utf-8")
        return
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise _other_encoding(file, encoding, "the byte order mark of utf-16", "utf-16")
    if start[:64].count(0) > len(start[:64]) // 4:
        order = "le" if start[1:2] == b"\0" else "be"
        raise _other_encoding(file, encoding, "a zero byte beside every letter", f"utf-16-{order}")
    whole = start[: start.rfind(b"\n") + 1] or start
    lines, spoken, sound = _utf8_lines([whole])
    if _is_utf8(encoding):
        if errors != "strict" and spoken - sound > lines / 2:
            raise undecodable(file, encoding)
    elif spoken and sound >= 0.9 * spoken:
        raise _other_encoding(file, encoding, f"utf-8 in {sound} of the first {spoken} lines beyond ASCII", "utf-8")


def undecodable(file: SourceFile, encoding: str) -> UserError:
    """The error for a file that is not in the encoding: the first byte that is wrong, and which encoding it may be."""
    offset, value = _first_broken(file, encoding)
    came = f"byte 0x{value.hex()} at offset {offset}" if value else f"no text of it at offset {offset}"
    if codecs.lookup(encoding).name == "utf-16" and offset == 0:
        remedy = "Without a byte order mark the order must be said: data.reader.encoding=utf-16-le (or utf-16-be)."
        return UserError(f"{file} to be {encoding}", came, remedy)
    with unpacked(file) as data:
        lines, spoken, sound = _utf8_lines(iter(lambda: b"".join(data.readlines(_SAMPLE)), b""))
    if sound:
        came += f", while {sound:,} of the {spoken:,} lines beyond ASCII are utf-8"
    advice = []
    if sound < spoken / 2:
        advice.append(_advice(file, encoding))
    elif not _is_utf8(encoding):
        advice.append("Set data.reader.encoding=utf-8.")
    if 0 < spoken - sound <= lines / 2:
        advice.append(
            "data.reader.errors=replace puts a mark in the place of broken bytes, data.reader.errors=reject leaves their "
            "rows out."
        )
    return UserError(f"{file} to be {encoding}", came, " ".join(advice))


def decoded(file: SourceFile, offset: int, line: bytes, encoding: str, errors: str) -> str:
    """The line at that offset of the file; a byte order mark at its beginning is none of it."""
    try:
        text = line.decode(encoding, _HANDLERS[errors])
    except UnicodeDecodeError:
        raise undecodable(file, encoding) from None
    return text if offset else text.removeprefix("\ufeff")


def broken(text: str) -> Unreadable:
    """A piece with bytes that the encoding does not know."""
    remedy = "Set data.reader.encoding, or data.reader.errors=replace."
    return Unreadable(BROKEN_BYTES, text.replace(BROKEN, "\ufffd"), remedy)


def _is_utf8(encoding: str) -> bool:
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")


def _utf8_lines(blocks: Iterable[bytes]) -> tuple[int, int, int]:
    """How many lines blocks of whole lines have, how many hold more than ASCII, and how many of these are UTF-8."""
    lines = spoken = sound = 0
    for block in blocks:
        lines += block.count(b"\n") + (not block.endswith(b"\n"))
        for line in () if block.isascii() else block.split(b"\n"):
            if not line.isascii():
                spoken += 1
                try:
                    line.decode()
                    sound += 1
                except UnicodeDecodeError:
                    pass
    return lines, spoken, sound


def _first_broken(file: SourceFile, encoding: str) -> tuple[int, bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    offset = 0
    with unpacked(file) as data:
        while True:
            block = data.read(_SAMPLE)
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                return offset - pending + error.start, error.object[error.start : error.start + 1]
            except UnicodeError:
                return offset, b""
            if not block:
                return offset, b""
            offset += len(block)


def _other_encoding(file: SourceFile, encoding: str, came: str, right: str) -> UserError:
    return UserError(f"{file} to be {encoding}", came, f"Set data.reader.encoding={right}.")


def _advice(file: SourceFile, encoding: str) -> str:
    with unpacked(file) as data:
        sample = data.read(_SAMPLE)
    beyond = sum(byte > 127 for byte in sample)
    for name in _CYRILLIC:
        # The wrong one of these shows capitals, signs and frames in the place of small letters.
        small = sum("а" <= letter <= "я" for letter in sample.decode(name, "ignore"))
        if name != encoding and beyond >= _TELLING and small > 0.6 * beyond:
            return f"Set data.reader.encoding={name}: so decoded, most letters are small Russian ones."
    return (
        "Set data.reader.encoding: cp1251 is usual for Russian files from Windows, utf-16 for exports of Excel; others "
        "are koi8-r and latin-1. Look at the texts then: some encodings decode anything."
    )
