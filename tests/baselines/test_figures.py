"""Baselines on what runs were measured on: those of `evaluate`, on the queries of the runs."""

import json
from pathlib import Path

import pytest

from hr_retrieval.baselines.figures import lexical_baselines
from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.evaluation_set import evaluation_set
from hr_retrieval.data.guard import Guard
from hr_retrieval.errors import UserError
from hr_retrieval.evaluate.evaluation import evaluate


@pytest.mark.parametrize("corpus", ["split", "all"])
def test_the_figures_are_those_of_evaluate(toy_dataset: Path, tmp_path: Path, corpus: str) -> None:
    fingerprint = PreparedDataset.open(toy_dataset).fingerprint
    evaluate("tiny", toy_dataset, tmp_path / "out", corpus=corpus, base=None, counterfactuals=None)
    systems = json.loads((tmp_path / "out" / "metrics.json").read_text())["systems"]
    for baseline in lexical_baselines(toy_dataset, fingerprint, corpus, None, "ignore"):
        assert baseline.figures == pytest.approx(systems[baseline.name]["metrics"])
        assert all(len(values) == len(baseline.queries) for values in baseline.values.values())


def test_the_queries_are_those_that_runs_draw(blind_dataset: Path) -> None:
    dataset = PreparedDataset.open(blind_dataset)
    drawn = evaluation_set(dataset, Guard(dataset), "test", "split", 4).query_rows
    for baseline in lexical_baselines(blind_dataset, dataset.fingerprint, "split", 4, "ignore"):
        assert baseline.queries == dataset.ids_at("queries", drawn)


def test_other_data_are_refused(toy_dataset: Path) -> None:
    with pytest.raises(UserError, match="other"):
        lexical_baselines(toy_dataset, "other", "split", None, "ignore")
