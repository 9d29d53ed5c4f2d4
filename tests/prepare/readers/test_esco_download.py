"""ESCO's CSV files, in the layout of the download."""

import csv
from pathlib import Path

import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.readers.esco_download import EscoDownloadReader
from tests.prepare.readers.sources import read, rows_of

HEAD = ["conceptType", "conceptUri", "iscoGroup", "preferredLabel", "altLabels", "status", "description", "code"]
OCCUPATIONS = [
    HEAD,
    [
        "Occupation",
        "occ/1",
        "7512",
        "baker",
        "bread baker\npastry baker\n",
        "released",
        'Bakers make "bread", etc.',
        "1",
    ],
    ["Occupation", "occ/2", "7512", "confectioner", "", "released", "Confectioners make cakes.\nThey bake.", "2"],
]
SKILLS = [
    ["conceptType", "conceptUri", "skillType", "preferredLabel", "altLabels", "description"],
    ["Skill", "skill/1", "knowledge", "flour", "kinds of flour", "Of wheat."],
    ["Skill", "skill/2", "skill", "bake", "", "Bake."],
]
RELATIONS = [
    ["occupationUri", "relationType", "skillType", "skillUri"],
    ["occ/1", "optional", "knowledge", "skill/1"],
    ["occ/1", "essential", "skill", "skill/2"],
    ["occ/2", "optional", "knowledge", "skill/1"],
]


def write(folder: Path, name: str, rows: list[list[str]]) -> None:
    with (folder / name).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "occupations_en.csv", OCCUPATIONS)
    write(tmp_path, "skills_en.csv", SKILLS)
    write(tmp_path, "occupationSkillRelations_en.csv", RELATIONS)
    return tmp_path


def test_occupations(folder: Path) -> None:
    (folder / "skills_en.csv").unlink()
    rows = rows_of(read(EscoDownloadReader(str(folder)), ["concept_id", "title", "alt_titles", "isco_group"]))
    assert rows == [
        {"concept_id": "occ/1", "title": "baker", "alt_titles": ["bread baker", "pastry baker"], "isco_group": "7512"},
        {"concept_id": "occ/2", "title": "confectioner", "alt_titles": [], "isco_group": "7512"},
    ]
    (described, _) = rows_of(read(EscoDownloadReader(str(folder)), ["description"]))
    assert described == {"description": 'Bakers make "bread", etc.'}


@pytest.mark.parametrize(
    ("relations", "skills"),
    [
        (["essential", "optional"], [["bake", "flour"], ["flour"]]),
        (["essential"], [["bake"], []]),
        (["optional"], [["flour"], ["flour"]]),
    ],
)
def test_skills_of_occupations(folder: Path, relations: list[str], skills: list[list[str]]) -> None:
    reader = EscoDownloadReader(str(folder), relations=relations)
    assert [row["skills"] for row in rows_of(read(reader, ["title", "skills"]))] == skills
    assert len(reader.inputs()) == 3
    # Older downloads name no language here.
    (folder / "occupationSkillRelations_en.csv").rename(folder / "occupationSkillRelations.csv")
    assert [row["skills"] for row in rows_of(read(reader, ["title", "skills"]))] == skills


def test_skills_and_other_languages(folder: Path) -> None:
    write(
        folder, "skills_fr.csv", [SKILLS[0], ["Skill", "skill/2", "skill", "cuire", "faire cuire\ncuisson", "Cuire."]]
    )
    rows = rows_of(read(EscoDownloadReader(str(folder), "skills", "fr"), ["title", "alt_titles", "description"]))
    assert rows == [{"title": "cuire", "alt_titles": ["faire cuire", "cuisson"], "description": "Cuire."}]


def test_what_is_wrong(folder: Path) -> None:
    for name, message in (("titles", "occupations or skills"), ("skills", "'isco_group'")):
        with pytest.raises(UserError, match=message):
            read(EscoDownloadReader(str(folder), name), ["isco_group"])
    with pytest.raises(UserError, match="essential and optional"):
        EscoDownloadReader(str(folder), relations=["all"])
    with pytest.raises(UserError, match="'skills'"):
        read(EscoDownloadReader(str(folder)), ["skills"])
    write(folder, "skills_en.csv", SKILLS[:2])
    with pytest.raises(UserError, match="skill/2"):
        read(EscoDownloadReader(str(folder), relations=["essential"]), ["skills"])
    (folder / "skills_en.csv").unlink()
    (folder / "occupationSkillRelations_en.csv").unlink()
    with pytest.raises(
        UserError, match=r"no skills_en\.csv, no occupationSkillRelations_en\.csv or .*Set data\.reader\.folder"
    ):
        EscoDownloadReader(str(folder), relations=["essential"]).inputs()
    with pytest.raises(UserError, match=r"occupations_ru\.csv.*there are occupations_en\.csv"):
        EscoDownloadReader(str(folder), language="ru").inputs()
    with pytest.raises(UserError, match="no files there"):
        EscoDownloadReader(str(folder / "nowhere")).inputs()
