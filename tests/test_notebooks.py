"""The notebooks run from top to bottom; their code cells are executed as one program."""

import json
from pathlib import Path
from typing import Any

import pytest

from hr_retrieval.encoder.tiny import write_tiny
from notebooks.execute import fingerprint

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


@pytest.fixture
def names_of(toy_dataset: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Execute a notebook on a toy data set, in a folder of its own; the names that it leaves."""
    monkeypatch.setenv("HR_RETRIEVAL_DATASET", str(toy_dataset))
    for name in ("RUNS", "BEFORE", "AFTER"):
        monkeypatch.delenv(f"HR_RETRIEVAL_{name}", raising=False)
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")

    def execute(name: str) -> dict[str, Any]:
        content = json.loads((NOTEBOOKS / name).read_text(encoding="utf-8"))
        names: dict[str, Any] = {}
        for number, cell in enumerate(cell for cell in content["cells"] if cell["cell_type"] == "code"):
            exec(compile("".join(cell["source"]), f"{name}, code cell {number}", "exec"), names)
        return names

    return execute


def test_there_is_a_test_for_each_notebook() -> None:
    assert [path.stem for path in sorted(NOTEBOOKS.glob("*.ipynb"))] == [
        "01_data",
        "02_compare_runs",
        "03_error_analysis",
    ]


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_the_outputs_belong_to_the_code(path: Path) -> None:
    """`make notebooks` executes them anew."""
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["metadata"].get("executed") == fingerprint(content)
    shown = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] for cell in shown)
    text = json.dumps([cell["outputs"] for cell in shown])
    assert "Traceback" not in text
    assert "000000" not in text


def test_the_data_notebook_counts_what_the_toy_has(names_of: Any) -> None:
    names = names_of("01_data.ipynb")
    assert names["duplicates"]["queries with several positives"] == 0
    assert names["shared"] == {"query texts in two splits": 0, "groups in two splits": 0}
    assert len(names["queries"]) == 120


def test_the_comparison_notebook_trains_and_compares_four_runs(names_of: Any) -> None:
    names = names_of("02_compare_runs.ipynb")
    groups = {group.name: [run.seed for run in group.runs] for group in names["comparison"].groups}
    assert groups == {"model.mixing=none": [1, 2], "model.mixing=anchor": [1, 2]}
    # BM25 and character TF-IDF have none.
    assert sorted(names["table"]["seeds"]) == ["-", "-", "2", "2"]
    titles = [figure.layout.title.text for figure in names["drawn"]]
    assert [
        words in title for words, title in zip(("by epoch", "by model.mixing", "by its seconds"), titles, strict=True)
    ]
    # Of each group the band and the mean over both seeds: before training, and after each of two
    # epochs.
    assert [len(trace.x) for trace in names["drawn"][0].data] == [6, 3, 6, 3]


def test_the_error_notebook_shows_what_two_encoders_do_otherwise(
    names_of: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for seed, name in enumerate(("BEFORE", "AFTER")):
        write_tiny(tmp_path / name, seed=seed)
        monkeypatch.setenv(f"HR_RETRIEVAL_{name}", str(tmp_path / name))
    names = names_of("03_error_analysis.ipynb")
    verdict, changed = names["counts"], names["changed"]
    assert verdict["better"] + verdict["equal"] + verdict["worse"] == len(changed) == 12
    figures = names["figures"]
    assert float(changed["change"].mean()) == pytest.approx(figures["after"]["mrr"] - figures["before"]["mrr"])
    assert (len(names["won"]), len(names["lost"])) == (min(verdict["better"], 10), min(verdict["worse"], 10))
    assert bool((names["won"]["rank_after"] < names["won"]["rank_before"]).all())
