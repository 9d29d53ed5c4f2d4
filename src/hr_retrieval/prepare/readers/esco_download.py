"""ESCO as it is downloaded: the CSV files of one language (https://esco.ec.europa.eu/en/use-esco/download)."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.readers.csv import CsvReader
from hr_retrieval.prepare.readers.downloads import files_of
from hr_retrieval.prepare.readers.reader import RawBatch, check_columns

_TABLES = ("occupations", "skills")
_RELATIONS = ("essential", "optional")
# Where the columns of a row stand in the file.
_COLUMNS = {
    "concept_id": "conceptUri",
    "title": "preferredLabel",
    "alt_titles": "altLabels",
    "description": "description",
}


@dataclass(frozen=True)
class EscoDownloadReader:
    """Concepts of ESCO as rows with the columns `concept_id`, `title`, `alt_titles` (a list) and
    `description`; of occupations also `isco_group` (the four digits of the unit group) and `skills`
    (a list of the titles of theirs).

    Args:
        folder: where the download was unpacked.
        table: `occupations` or `skills`.
        language: the two letters in the names of the files.
        relations: which skills an occupation has: `essential`, `optional` or both; none for no
            column `skills`, and then the files of skills and relations are not needed.

    Raises:
        UserError: another table or relation.
    """

    folder: str
    table: str = "occupations"
    language: str = "en"
    relations: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.table not in _TABLES:
            raise UserError("data.reader.table to be occupations or skills", repr(self.table), "Choose one.")
        if not set(self.relations) <= set(_RELATIONS):
            raise UserError(
                "data.reader.relations of essential and optional", repr(list(self.relations)), "Name these, or []."
            )

    def inputs(self) -> list[Path]:
        """The file of the concepts; behind it, if relations are wanted, those of the skills and the relations."""
        names: list[str | Sequence[str]] = [f"{self.table}_{self.language}.csv"]
        if self._with_skills():
            relations = "occupationSkillRelations"
            names += [f"skills_{self.language}.csv", (f"{relations}_{self.language}.csv", f"{relations}.csv")]
        return files_of(self.folder, names, "ESCO's CSV files")

    def batches(self, wanted: Sequence[str]) -> Iterator[RawBatch]:
        """The concepts in the order of the file."""
        file, *others = self.inputs()
        columns = _COLUMNS | ({"isco_group": "iscoGroup"} if self.table == "occupations" else {})
        check_columns(file, [*columns, *(["skills"] if self._with_skills() else [])], wanted)
        skills = self._skills(*others) if "skills" in wanted else {}
        read = [own for name, own in columns.items() if name in wanted or name == "concept_id"]
        for batch in CsvReader(str(file)).batches(read):
            values = []
            for line in batch.values:
                row: dict[str, Any] = {name: line[own] for name, own in columns.items() if own in line}
                if "alt_titles" in row:
                    row["alt_titles"] = [label for label in row["alt_titles"].splitlines() if label.strip()]
                row["skills"] = skills.get(row["concept_id"], [])
                values.append({name: row[name] for name in wanted})
            yield RawBatch(batch.source, batch.rows, values, batch.rejected)

    def _with_skills(self) -> bool:
        return self.table == "occupations" and bool(self.relations)

    def _skills(self, skills_file: Path, relations_file: Path) -> dict[str, list[str]]:
        """The titles of each occupation's skills, essential ones first."""
        titles = {
            line["conceptUri"]: line["preferredLabel"]
            for batch in CsvReader(str(skills_file)).batches(["conceptUri", "preferredLabel"])
            for line in batch.values
        }
        found: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for batch in CsvReader(str(relations_file)).batches(["occupationUri", "relationType", "skillUri"]):
            for line in batch.values:
                kind, title = line["relationType"], titles.get(line["skillUri"])
                if title is None:
                    raise UserError(
                        f"every skill of {relations_file.name} in {skills_file.name}",
                        f"none with the URI {line['skillUri']}",
                        "Take both files from the same download.",
                    )
                if kind in self.relations:
                    found[line["occupationUri"]].append((_RELATIONS.index(kind), title))
        return {concept: [title for _, title in sorted(own)] for concept, own in found.items()}
