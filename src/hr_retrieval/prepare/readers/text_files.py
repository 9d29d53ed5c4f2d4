"""Text files as lines and as JSON: their encoding, their broken bytes, and what a file is that is no text."""

import codecs
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from hr_retrieval.errors import UserError

# What stands for broken bytes where their row is to be rejected: no text that decodes holds it.
BROKEN = "\udfff"
BROKEN_BYTES = "broken bytes"
_HANDLERS = {"strict": "strict", "replace": "replace", "reject": "hr_retrieval.mark"}
codecs.register_error("hr_retrieval.mark", lambda error: (BROKEN, getattr(error, "end", 0)))

# How files begin that are often given for text.
_OTHER_KINDS = {
    b"\x1f\x8b": ("gzip", "Unpack it first."),
    b"BZh": ("bzip2", "Unpack it first."),
    b"\x28\xb5\x2f\xfd": ("zstd", "Unpack it first."),
    b"\xfd7zXZ": ("xz", "Unpack it first."),
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


@dataclass(frozen=True)
class Unreadable:
    """A piece of a file that is no row.

    Attributes:
        reason: why, for `rejected.parquet`.
        content: the piece.
        remedy: what helps where many pieces are so.
    """

    reason: str
    content: str
    remedy: str


@contextmanager
def readable(file: Path, kind: str) -> Iterator[None]:
    """Turn what the system and the libraries raise while a file is read into one message.

    Args:
        kind: what the file should be, as a noun phrase.
    """
    try:
        yield
    except (OSError, pa.ArrowException, UnicodeError, OverflowError, MemoryError) as error:
        reason = (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")
        raise UserError(
            f"{kind} at {file}", reason, "Check that the file is whole and may be read, or write it anew."
        ) from error


def other_kind(file: Path) -> tuple[str, str] | None:
    """What a file is that is compressed or otherwise no plain data, and what helps; `None` for all others."""
    with readable(file, "a file"), file.open("rb") as data:
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


def text_lines(file: Path, encoding: str, errors: str) -> Iterator[str]:
    """The lines with their ends, without a byte order mark.

    Args:
        errors: what broken bytes do: `strict` ends in an error, `replace` puts U+FFFD, `reject` puts `BROKEN`.

    Raises:
        UserError: the file is in another encoding or no text, or cannot be read.
    """
    check_text(file, encoding, errors)
    with (
        readable(file, "a text file"),
        file.open(encoding=encoding, errors=_HANDLERS[errors], newline="") as lines,
    ):
        try:
            first = next(lines, "").removeprefix("\ufeff")
            if first:
                yield first
            yield from lines
        except UnicodeError:
            raise undecodable(file, encoding) from None


def check_text(file: Path, encoding: str, errors: str) -> None:
    """Raise `UserError` if the beginning shows that the file is no text, or that its encoding is another one."""
    kind = other_kind(file)
    if kind:
        raise UserError(f"text in {file}", kind[0], kind[1])
    with readable(file, "a text file"), file.open("rb") as data:
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


def undecodable(file: Path, encoding: str) -> UserError:
    """The error for a file that is not in the encoding: the first byte that is wrong, and which encoding it may be."""
    offset, value = _first_broken(file, encoding)
    came = f"byte 0x{value.hex()} at offset {offset}" if value else f"no text of it at offset {offset}"
    if codecs.lookup(encoding).name == "utf-16" and offset == 0:
        remedy = "Without a byte order mark the order must be said: data.reader.encoding=utf-16-le (or utf-16-be)."
        return UserError(f"{file} to be {encoding}", came, remedy)
    with file.open("rb") as data:
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


def json_rows(file: Path, encoding: str, errors: str) -> Iterator[Mapping[str, Any] | Unreadable | None]:
    """The objects of a file of JSON lines, or of one JSON array; `None` for a blank line.

    Raises:
        UserError: as `text_lines`; or the file is empty, or an array that does not parse.
    """
    lines = text_lines(file, encoding, errors)
    blank = 0
    for first in lines:
        if first.strip():
            break
        blank += 1
    else:
        raise UserError("JSON lines", f"{file}, which is empty", "Give a file with rows.")
    everything = chain([first], lines)
    if first.lstrip().startswith("["):
        yield from map(_as_row, _elements(file, everything))
        return
    yield from [None] * blank
    yield from map(json_row, everything)


def json_row(line: str) -> Mapping[str, Any] | Unreadable | None:
    """The object that a line holds; `None` for a blank line."""
    if BROKEN in line:
        return broken(line)
    if not line.strip():
        return None
    try:
        return _as_row(json.loads(line))
    except (ValueError, RecursionError):
        return _no_object(json.dumps(line.rstrip("\r\n"), ensure_ascii=False))


def decoded_row(
    file: Path, offset: int, line: bytes, encoding: str, errors: str
) -> Mapping[str, Any] | Unreadable | None:
    """The object of the line at that offset of the file; a byte order mark at its beginning is none of it."""
    try:
        text = line.decode(encoding, _HANDLERS[errors])
    except UnicodeDecodeError:
        raise undecodable(file, encoding) from None
    return json_row(text if offset else text.removeprefix("\ufeff"))


def broken(text: str) -> Unreadable:
    """A piece with bytes that the encoding does not know."""
    remedy = "Set data.reader.encoding, or data.reader.errors=replace."
    return Unreadable(BROKEN_BYTES, text.replace(BROKEN, "\ufffd"), remedy)


def _as_row(value: Any) -> Mapping[str, Any] | Unreadable:
    return value if isinstance(value, Mapping) else _no_object(json.dumps(value, ensure_ascii=False))


def _no_object(content: str) -> Unreadable:
    remedy = (
        "Write one object a line: jq -c . rows.json > rows.jsonl (jq -c '.[]' where they are elements of an array)."
    )
    return Unreadable("not a JSON object", content, remedy)


def _elements(file: Path, lines: Iterator[str]) -> Iterator[Any]:
    """The elements of one JSON array, each parsed as soon as its lines are there."""
    decoder = json.JSONDecoder()
    text, place, count = next(lines).lstrip(), 1, 0
    while True:
        while place < len(text) and text[place] in " \t\r\n,":
            place += 1
        if text[place : place + 1] == "]":
            if text[place + 1 :].strip() or any(line.strip() for line in lines):
                raise _broken_array(file, count, "text behind the array")
            return
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            # What is only cut off by the end of the line is at fault there.
            more = next(lines, None) if getattr(error, "pos", 0) >= len(text.rstrip()) else None
            if more is None:
                raise _broken_array(file, count, str(error)) from None
            text, place = text[place:] + more, 0
            continue
        yield value
        count += 1


def _broken_array(file: Path, count: int, fault: str) -> UserError:
    return UserError(
        f"a JSON array of objects in {file}",
        f"element {count}: {fault}",
        "Write one object a line instead: then what is broken is left out alone.",
    )


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


def _first_broken(file: Path, encoding: str) -> tuple[int, bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    offset = 0
    with file.open("rb") as data:
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


def _other_encoding(file: Path, encoding: str, came: str, right: str) -> UserError:
    return UserError(f"{file} to be {encoding}", came, f"Set data.reader.encoding={right}.")


def _advice(file: Path, encoding: str) -> str:
    with file.open("rb") as data:
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
