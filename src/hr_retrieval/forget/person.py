"""Whether a text or an id is of a person that is to be forgotten."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from hr_retrieval.errors import UserError
from hr_retrieval.text import normalise

# What so many digits and no letter are is a telephone number: its last ten tell it.
_FEWEST_DIGITS, _TELLING = 7, 10
_NO_DIGIT = re.compile(r"\D")


class Person:
    """What tells a person: names, addresses, telephone numbers, ids of rows.

    Args:
        find: such texts. One of letters is found as whole words, in any case and punctuation; a
            telephone number in any form.

    Raises:
        UserError: none is given, or one says nothing.
    """

    def __init__(self, find: Sequence[str]) -> None:
        given = [str(text) for text in find]
        if not given or any(len(normalise(text)) < 3 for text in given):
            raise UserError(
                "find=[...] to list texts of at least three letters", str(given), "Name what tells the person."
            )
        numbers = [text for text in given if not re.search(r"[^\W\d_]", text)]
        self._digits = [_NO_DIGIT.sub("", text)[-_TELLING:] for text in numbers]
        self._digits = [digits for digits in self._digits if len(digits) >= _FEWEST_DIGITS]
        self._words = [f" {normalise(text)} " for text in given]

    def is_in(self, text: str | None) -> bool:
        """Whether the text tells the person."""
        if not text:
            return False
        words = f" {normalise(text)} "
        if any(own in words for own in self._words):
            return True
        digits = _NO_DIGIT.sub("", text) if self._digits else ""
        return any(own in digits for own in self._digits)

    def told(self, value: Any) -> Iterator[str]:
        """The texts that tell the person within a cell, or within anything that JSON can say."""
        if isinstance(value, str):
            yield from [value] if self.is_in(value) else ()
        elif isinstance(value, Mapping):
            for key, inner in value.items():
                yield from self.told(key)
                yield from self.told(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from self.told(inner)

    def rows(self, table: pa.Table | pa.RecordBatch) -> list[bool]:
        """Of each row of a table, whether one of its cells tells the person."""
        found = [False] * table.num_rows
        for column, kind in zip(table.columns, table.schema.types, strict=True):
            if pa.types.is_primitive(kind):
                continue
            for row, cell in enumerate(column.to_pylist()):
                found[row] = found[row] or any(True for _ in self.told(cell))
        return found
