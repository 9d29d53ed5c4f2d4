"""The notebooks run from top to bottom; their code cells are executed as one program."""

import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_on_a_toy_data_set(
    path: Path, toy_dataset: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HR_RETRIEVAL_DATASET", str(toy_dataset))
    monkeypatch.chdir(tmp_path)
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    names: dict[str, Any] = {}
    for number, cell in enumerate(cells):
        assert cell["outputs"] == [], "notebooks are kept without outputs"
        exec(compile("".join(cell["source"]), f"{path.name}, code cell {number}", "exec"), names)
    assert names["duplicates"]["queries with several positives"] == 0
    assert names["shared"] == {"query texts in two splits": 0, "groups in two splits": 0}
    assert len(names["queries"]) == 120
