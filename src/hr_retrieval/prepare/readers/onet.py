"""O*NET as it is downloaded: its text files (https://www.onetcenter.org/database.html)."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hr_retrieval.prepare.readers.csv import CsvReader
from hr_retrieval.prepare.readers.downloads import files_of
from hr_retrieval.prepare.readers.reader import RawBatch, check_columns

_OCCUPATIONS = "Occupation Data.txt"
_CODE = "O*NET-SOC Code"
# The lists of an occupation: from which file and which columns.
_LISTS = {
    "alt_titles": ("Alternate Titles.txt", ("Alternate Title", "Short Title")),
    "reported_titles": ("Sample of Reported Titles.txt", ("Reported Job Title",)),
    "tasks": ("Task Statements.txt", ("Task",)),
}
# How the files say that there is no short title.
_NONE = "n/a"


@dataclass(frozen=True)
class OnetReader:
    """Occupations as rows with the columns `onet_code`, `title`, `description` and `occupation` (the
    code without its last two digits: the occupation of the classification SOC that O*NET divides
    further), and the lists `alt_titles`, `reported_titles` and `tasks`.

    The files are tab-separated, and quotes in them have no meaning.

    Args:
        folder: where the download was unpacked.
        lists: which of the lists are read; the files of others are not needed.
    """

    folder: str
    lists: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_columns(Path(str(self.folder)), list(_LISTS), self.lists, "Name some of these in data.reader.lists.")

    def inputs(self) -> list[Path]:
        """The file of the occupations, and one for each list."""
        return files_of(self.folder, [_OCCUPATIONS, *(_LISTS[name][0] for name in self.lists)], "O*NET's text files")

    def batches(self, wanted: Sequence[str]) -> Iterator[RawBatch]:
        """The occupations in the order of the file."""
        file, *others = self.inputs()
        known = ["onet_code", "title", "description", "occupation", *self.lists]
        check_columns(file, known, wanted, "Map data.columns.* to these; data.reader.lists adds lists.")
        lists = {name: _list(other, _LISTS[name][1]) for name, other in zip(self.lists, others, strict=True)}
        for batch in _reader(file).batches([_CODE, "Title", "Description"]):
            values = []
            for line in batch.values:
                code = line[_CODE]
                row: dict[str, Any] = {"onet_code": code, "title": line["Title"], "description": line["Description"]}
                row |= {"occupation": code[:7]} | {name: own.get(code, []) for name, own in lists.items()}
                values.append({name: row[name] for name in wanted})
            yield RawBatch(batch.source, batch.rows, values, batch.rejected)


def _reader(file: Path) -> CsvReader:
    return CsvReader(str(file), delimiter="\t", quote="")


def _list(file: Path, columns: Sequence[str]) -> dict[str, list[str]]:
    """The texts of some columns by the code of the occupation, in the order of the rows."""
    found: dict[str, list[str]] = defaultdict(list)
    for batch in _reader(file).batches([_CODE, *columns]):
        for line in batch.values:
            found[line[_CODE]] += [line[name] for name in columns if line[name].strip() not in ("", _NONE)]
    return found
