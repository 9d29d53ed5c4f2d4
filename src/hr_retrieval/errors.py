"""The one error for bad input: what was expected, what came, and what to do."""

import lzma
import struct
import zipfile
import zlib

# What libraries raise where a file is damaged or forged; RuntimeError has RecursionError and
# NotImplementedError below it, SyntaxError those of XML parsers, ValueError those of encodings, and
# SystemError is numpy's of a forged state.
DAMAGED = (
    ArithmeticError, AssertionError, AttributeError, EOFError, ImportError, LookupError, OSError, RuntimeError,
    SyntaxError, SystemError, TypeError, ValueError, lzma.LZMAError, struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
# Letters of what came that are shown.
_SHOWN = 1000


class UserError(Exception):
    """Input that a user can mend.

    Args:
        expected: what would have been right, as a noun phrase.
        got: what came instead, naming the file, column or value.
        remedy: a sentence that says what to do next.
    """

    def __init__(self, expected: str, got: str, remedy: str) -> None:
        self.expected, self.got, self.remedy = expected, got, remedy
        super().__init__(f"Expected {_shown(expected)}; got {_shown(got)}. {remedy}")

    def __reduce__(self) -> tuple[type["UserError"], tuple[str, str, str]]:
        # Loader workers and sweep launchers send exceptions between processes.
        return type(self), (self.expected, self.got, self.remedy)


def _shown(text: str) -> str:
    """What a terminal can show of what may come from a file: no endless line, and no sign that steers it."""
    if len(text) > _SHOWN:
        text = f"{text[: _SHOWN // 2]} ... {text[-_SHOWN // 2 :]}"
    plain = text.isascii() and text.isprintable()
    return text if plain else "".join(sign if _is_shown(sign) else ascii(sign)[1:-1] for sign in text)


def _is_shown(sign: str) -> bool:
    return sign.isprintable() or sign in "\n\t\u00a0\u202f\u200d\u200c"


def said(error: BaseException) -> str:
    """The first line of what an error of a library says, without its full stop; its class where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0][:300].rstrip(".") if lines else type(error).__name__
