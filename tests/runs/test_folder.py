"""A run's folder: its own, as its name resolves, and nothing is left where the name cannot be right."""

from pathlib import Path
from threading import Thread

import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.runs.folder import run_folder
from hr_retrieval.train import __main__ as train
from tests.conftest import Command


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_run(folder: Path) -> Path:
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text("project: mine\n")
    return folder


def test_runs_of_the_same_second_have_folders_of_their_own(here: Path) -> None:
    found: list[Path] = []
    threads = [Thread(target=lambda: found.append(run_folder(None, None, "p"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 8
    assert all(folder.is_dir() and folder.parent == here / "outputs" / "p" for folder in found)


def test_links_and_dots_are_resolved_before_anything_is_looked_at(here: Path) -> None:
    run = make_run(here / "real" / "run")
    (here / "link").symlink_to(run)
    assert run_folder("link", None, "p") == run
    # Beside what the link leads to, and not beside the link.
    assert run_folder("link/../run", None, "p") == run
    assert run_folder(None, "link/../new", "p") == here / "real" / "new"
    with pytest.raises(UserError, match="holds a run"):
        run_folder(None, "link", "p")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("run/checkpoints/last.ckpt", r"the file .*last\.ckpt. Name .*/run, the run that it is in"),
        ("run/checkpoints", r"Name .*/run, the run that it is in"),
        ("nowhere", r"nowhere, which does not exist. Name a folder such as"),
    ],
)
def test_what_is_no_run_cannot_be_gone_on_with_and_is_left_alone(here: Path, name: str, said: str) -> None:
    make_run(here / "run")
    (here / "run" / "checkpoints" / "last.ckpt").write_bytes(b"")
    before = sorted(here.rglob("*"))
    with pytest.raises(UserError, match=said):
        run_folder(name, None, "p")
    assert sorted(here.rglob("*")) == before


def test_a_place_that_cannot_be_written_to_is_one_message(here: Path) -> None:
    (here / "file").touch()
    for output, project in (("file/run", "p"), ("file", "p")):
        with pytest.raises(UserError, match="to write"):
            run_folder(None, output, project)
    (here / "outputs").touch()
    with pytest.raises(UserError, match="to write"):
        run_folder(None, None, "p")


@pytest.mark.parametrize("argument", ["resume=nowhere", "output=/dev/null/run"])
def test_the_command_line_says_it_in_one_message_and_makes_nothing(here: Path, command: Command, argument: str) -> None:
    printed = command(train.main, "model=tiny", argument)
    assert printed.startswith("exit 1: Expected ")
    assert printed.count("\n") == 1
    assert not list(here.iterdir())
