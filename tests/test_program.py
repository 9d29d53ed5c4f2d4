"""Lines that are proposed to a user can be pasted."""

import os
import shlex
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hr_retrieval.program import called, shell_word, shown_path


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The programs of an environment `.venv` in the working directory, which nobody has activated."""
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    return programs


def activate(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")


def test_without_a_script_the_module_is_called(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert called("train") == ".venv/bin/python -m hr_retrieval.train"
    activate(environment, monkeypatch)
    assert called("train") == "python -m hr_retrieval.train"


def test_the_script_is_called_by_its_path_unless_it_is_found(
    environment: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (environment / "hr-retrieval").touch(mode=0o755)
    assert called("train") == ".venv/bin/hr-retrieval train"
    (tmp_path / "other folder").mkdir()
    monkeypatch.chdir(tmp_path / "other folder")
    assert called("train") == f"{environment}/hr-retrieval train"
    activate(environment, monkeypatch)
    assert called("train") == "hr-retrieval train"


@given(st.text(st.sampled_from("ab жЁ;'\"$[]()/.=")))
def test_a_word_of_the_shell_is_read_back(text: str) -> None:
    assert shlex.split(shell_word(text)) == [text]


def test_letters_of_any_alphabet_need_no_quotes() -> None:
    assert shell_word("data.folder=data/prepared/вакансии") == "data.folder=data/prepared/вакансии"
    assert shell_word("data.columns.anchor=Название вакансии") == "'data.columns.anchor=Название вакансии'"


def test_a_path_is_said_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [shown_path(path) for path in (tmp_path / "a" / "b", Path("c"), Path("/x"))] == ["a/b", "c", "/x"]
