"""Vacancies of hh.ru: what its API answers, and CSV exports of the same fields (https://api.hh.ru/openapi)."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.clean import bracketed, json_value
from hr_retrieval.prepare.readers.csv import CsvReader
from hr_retrieval.prepare.readers.json_lines import json_rows
from hr_retrieval.prepare.readers.packing import plain_suffix, unpacked
from hr_retrieval.prepare.readers.reader import (
    BATCH_ROWS,
    RawBatch,
    SourceFile,
    check_columns,
    readable,
    sorted_out,
)
from hr_retrieval.prepare.readers.text_files import TextFiles
from hr_retrieval.prepare.tidy import Tidying

_COLUMNS = ("vacancy_id", "title", "description", "skills", "published_at")
# The fields of a vacancy beside its name; exports also flatten what the API nests.
_FLAT = ("snippet.requirement", "snippet.responsibility", "snippet_requirement", "snippet_responsibility")
_OTHERS = ("id", "description", "snippet", "key_skills", "published_at", *_FLAT)
_WITHOUT_HTML = Tidying(html=True)


@dataclass(frozen=True)
class HhReader(TextFiles):
    """Vacancies as rows with the columns `vacancy_id`, `title`, `description`, `skills` (a list)
    and `published_at`.

    The description is the text of `description`, without HTML; of a vacancy that has none, as in
    lists of search results, it is what the snippet says of duties and requirements.

    Files are `.csv`, or JSON: a vacancy a line, an array of them, or a page of search results (with
    `items`).

    Args:
        delimiter: of CSV files.
    """

    delimiter: str = ";"

    def batches(self, wanted: Sequence[str]) -> Iterator[RawBatch]:
        """The vacancies in the order of the files; those of a page have the number of the page's line."""
        for file in self.inputs():
            check_columns(file, _COLUMNS, wanted)
            for batch in self._read(file):
                rows, values = [], []
                for place, line in zip(batch.rows, batch.values, strict=True):
                    for vacancy in _vacancies(line):
                        own = _row(vacancy)
                        rows.append(place)
                        values.append({name: own[name] for name in wanted})
                yield RawBatch(batch.source, rows, values, batch.rejected)

    def _read(self, file: SourceFile) -> Iterator[RawBatch]:
        """What stands in a file: vacancies and pages of them, as the API names their fields."""
        if plain_suffix(file) != ".csv":
            yield from _json_batches(file, str(self.encoding), self.errors)
            return
        reader = CsvReader(str(file), self.delimiter, self.encoding, self.errors)
        header = reader.names(file)
        # `name` in any case: where it is missing, the reader says what there is.
        yield from reader.batches(["name", *(name for name in _OTHERS if name in header)])


def _json_batches(file: SourceFile, encoding: str, errors: str) -> Iterator[RawBatch]:
    numbered = enumerate([page] if (page := _page(file, encoding)) else json_rows(file, encoding, errors))
    found = False
    while block := list(islice(numbered, BATCH_ROWS)):
        kept, rejected = sorted_out(file, block)
        found = found or any("name" in line or "items" in line for _, line in kept)
        yield RawBatch(str(file), [row for row, _ in kept], [line for _, line in kept], rejected)
    if not found:
        came = "no object with a name or items"
        raise UserError(f"vacancies of hh.ru in {file}", came, "Save what the API answers, as it is.")


def _page(file: SourceFile, encoding: str) -> Mapping[str, Any] | None:
    """The one object of a file that spreads over several lines, as programs write it for people to read."""
    with readable(file, "a text file"), io.TextIOWrapper(unpacked(file), encoding, "replace") as lines:
        first = lines.readline().removeprefix("\ufeff")
        if first.strip() != "{":
            return None
        text = first + lines.read()
    try:
        content: Mapping[str, Any] = json_value(text)
    except ValueError as error:
        raise UserError(f"JSON in {file}", str(error), "Save what the API answers, as it is.") from None
    return content


def _vacancies(line: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    items = line.get("items")
    return [item for item in items if isinstance(item, Mapping)] if isinstance(items, list) else [line]


def _row(vacancy: Mapping[str, Any]) -> dict[str, Any]:
    description = plain_text(vacancy.get("description"))
    if description is None:
        said = [plain_text(part) for part in _snippet(vacancy)]
        description = " ".join(part for part in said if part) or None
    identifier = vacancy.get("id")
    return {
        "vacancy_id": None if identifier is None else str(identifier),
        "title": plain_text(vacancy.get("name")),
        "description": description,
        "skills": _skills(vacancy.get("key_skills")),
        "published_at": vacancy.get("published_at"),
    }


def _snippet(vacancy: Mapping[str, Any]) -> list[Any]:
    """Duties and requirements, nested as the API has them or flat as exports do."""
    snippet = vacancy.get("snippet")
    if isinstance(snippet, str) and snippet.lstrip().startswith("{"):
        try:
            snippet = json_value(snippet)
        except ValueError:
            return [snippet]
    if isinstance(snippet, Mapping):
        return [snippet.get("responsibility"), snippet.get("requirement")]
    flat = [vacancy.get(name) for kind in ("responsibility", "requirement") for name in _FLAT if name.endswith(kind)]
    return [snippet, *flat]


def _skills(cell: Any) -> list[str]:
    """The names of the skills: objects with a `name`, texts, or a text of several."""
    if isinstance(cell, str):
        try:
            listed: Any = json_value(cell) if cell.lstrip().startswith("[") else None
        except ValueError:
            listed = bracketed(cell)
        cell = re.split(r"[;,\n]", cell) if listed is None else listed
    items = cell if isinstance(cell, list) else ()
    values = [item.get("name") if isinstance(item, Mapping) else item for item in items]
    return [value.strip() for value in values if isinstance(value, str) and value.strip()]


def plain_text(cell: Any) -> str | None:
    """A text without HTML on one line; `None` for nothing."""
    if not isinstance(cell, str):
        return None
    return " ".join(_WITHOUT_HTML(cell).split()) or None
