"""Files of installed packages, found without an import."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.readers import packages
from hr_retrieval.prepare.readers.packages import package_files
from tests.prepare.readers.sources import Package


def test_files_lie_where_the_package_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").touch()
    monkeypatch.setattr(packages, "distribution", lambda name: Package(tmp_path))
    assert package_files("some", "pip install some", ["a.csv"]) == [tmp_path / "a.csv"]
    with pytest.raises(UserError, match=r"b\.csv.*pip install some"):
        package_files("some", "pip install some", ["a.csv", "b.csv"])


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(packages, "distribution", missing)
    with pytest.raises(UserError, match=r"the package some.*pip install some"):
        package_files("some", "pip install some", [])
