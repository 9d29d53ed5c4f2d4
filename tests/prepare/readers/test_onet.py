"""O*NET's text files, in the layout of the download."""

from pathlib import Path

import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.readers.onet import OnetReader
from tests.prepare.readers.sources import read, rows_of

FILES = {
    "Occupation Data.txt": [
        ["O*NET-SOC Code", "Title", "Description"],
        ["29-1141.00", "Registered Nurses", 'Assess "patients", and care.'],
        ["29-1141.01", "Acute Care Nurses", "Care for the acutely ill."],
    ],
    "Alternate Titles.txt": [
        ["O*NET-SOC Code", "Alternate Title", "Short Title", "Source(s)"],
        ["29-1141.00", "Charge Nurse", "n/a", "02,08"],
        ["29-1141.01", "Advanced Practice Nurse", "APN", "09"],
    ],
    "Sample of Reported Titles.txt": [
        ["O*NET-SOC Code", "Reported Job Title", "Shown in My Next Move"],
        ["29-1141.00", "Staff Nurse", "Y"],
        ["29-1141.00", "School Nurse", "N"],
    ],
    "Task Statements.txt": [
        ["O*NET-SOC Code", "Task ID", "Task", "Task Type", "Incumbents Responding", "Date", "Domain Source"],
        ["29-1141.01", "12", 'Analyze 12" charts.', "Core", "n/a", "07/2014", "Incumbent"],
    ],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, rows in FILES.items():
        # As the download has them: ends of lines of Windows.
        (tmp_path / name).write_bytes("".join("\t".join(row) + "\r\n" for row in rows).encode())
    return tmp_path


def test_occupations_with_their_lists(folder: Path) -> None:
    lists = ["alt_titles", "reported_titles", "tasks"]
    first, second = rows_of(read(OnetReader(str(folder), lists), ["onet_code", "title", "occupation", *lists]))
    assert first == {
        "onet_code": "29-1141.00",
        "title": "Registered Nurses",
        "occupation": "29-1141",
        "alt_titles": ["Charge Nurse"],
        "reported_titles": ["Staff Nurse", "School Nurse"],
        "tasks": [],
    }
    assert (second["alt_titles"], second["tasks"]) == (["Advanced Practice Nurse", "APN"], ['Analyze 12" charts.'])


def test_only_the_wanted_files_are_needed(folder: Path) -> None:
    for name in ("Alternate Titles.txt", "Task Statements.txt"):
        (folder / name).unlink()
    rows = rows_of(read(OnetReader(str(folder), ["reported_titles"]), ["description", "reported_titles"]))
    assert [row["description"] for row in rows] == ['Assess "patients", and care.', "Care for the acutely ill."]
    with pytest.raises(UserError, match=r"no Alternate Titles\.txt, no Task Statements\.txt"):
        OnetReader(str(folder), ["alt_titles", "tasks"]).inputs()


def test_unknown_columns_and_lists(folder: Path) -> None:
    with pytest.raises(UserError, match="'skills'"):
        OnetReader(str(folder), ["skills"])
    with pytest.raises(UserError, match=r"'tasks'.*data\.reader\.lists"):
        read(OnetReader(str(folder)), ["tasks"])
