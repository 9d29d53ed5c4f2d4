"""The list of runs: finished and not."""

import json
from pathlib import Path

import pytest

from hr_retrieval.program import called
from hr_retrieval.runs import __main__ as runs
from tests.conftest import Command

CONFIG = "model: {encoder: {name_or_path: builtin:all-MiniLM-L6-v2}}\ndatamodule: {folder: data/prepared/вакансии}\n"


def write(folder: Path, summary: object = None) -> None:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG)
    if summary is not None:
        (folder / "summary.json").write_text(json.dumps(summary))


def test_each_run_has_a_line(command: Command, tmp_path: Path) -> None:
    figures = {"zero_shot": {"mrr": 0.25}, "trained": {"mrr": 0.5}, "seconds": 61.2}
    write(tmp_path / "outputs" / "p" / "a", figures)
    write(tmp_path / "outputs" / "p" / "b")
    printed = command(runs.main)
    (finished,) = [line for line in printed.splitlines() if "outputs/p/a " in line]
    cells = [cell.strip() for cell in finished.strip("│").split("│")]
    assert cells == ["outputs/p/a", "all-MiniLM-L6-v2", "вакансии", "0.2500", "0.5000", "finished in 61 s"]
    assert "not finished, last written 20" in printed
    assert f"Go on with it: {called('train')} resume=outputs/p/b\n" in printed


def test_a_run_without_a_test_has_no_figures(command: Command, tmp_path: Path) -> None:
    write(tmp_path / "outputs" / "p" / "a", {"zero_shot": None, "trained": None, "seconds": None})
    assert command(runs.main, "runs=outputs/p/*").count(" - ") == 2


@pytest.mark.parametrize("arguments", [(), ("runs=[x/**,y]",)])
def test_no_run_is_said(command: Command, arguments: tuple[str, ...]) -> None:
    assert command(runs.main, *arguments).startswith("exit 1: Expected run directories with config.yaml under ")
