"""Baselines on what runs were measured on: those of `evaluate`, and the draws of the runs' seeds."""

import json
from pathlib import Path

import numpy as np
import pytest

from hr_retrieval.data.evaluation_set import evaluation_set
from hr_retrieval.data.relevance import Guard
from hr_retrieval.data.tables import PreparedDataset
from hr_retrieval.errors import UserError
from hr_retrieval.evaluation import evaluate
from hr_retrieval.lexical import lexical_baselines


@pytest.mark.parametrize("corpus", ["split", "all"])
def test_the_figures_are_those_of_evaluate(toy_dataset: Path, tmp_path: Path, corpus: str) -> None:
    fingerprint = PreparedDataset.open(toy_dataset).fingerprint
    evaluate("tiny", toy_dataset, tmp_path / "out", corpus=corpus, base=None, counterfactuals=None)
    systems = json.loads((tmp_path / "out" / "metrics.json").read_text())["systems"]
    for baseline in lexical_baselines(toy_dataset, fingerprint, corpus, None, [1, 2]):
        assert baseline.figures == pytest.approx(systems[baseline.name]["metrics"])
        assert baseline.queries is not None
        assert {metric: values.mean() for metric, values in baseline.values.items()} == pytest.approx(baseline.figures)
        assert all(len(values) == len(baseline.queries) for values in baseline.values.values())


def test_queries_drawn_by_the_seed_are_measured_for_each_seed(blind_dataset: Path) -> None:
    dataset = PreparedDataset.open(blind_dataset)
    alone = [lexical_baselines(blind_dataset, dataset.fingerprint, "split", 4, [seed])[0] for seed in (1, 2)]
    drawn = [evaluation_set(dataset, Guard(dataset), "test", "split", 4, seed).query_rows for seed in (1, 2)]
    assert [own.queries for own in alone] == [dataset.ids_at("queries", rows) for rows in drawn]
    assert alone[0].queries != alone[1].queries
    both = lexical_baselines(blind_dataset, dataset.fingerprint, "split", 4, [1, 2])[0]
    assert both.figures["mrr"] == pytest.approx(np.mean([own.figures["mrr"] for own in alone]))
    assert (both.queries, both.values) == (None, {})


def test_other_data_are_refused(toy_dataset: Path) -> None:
    with pytest.raises(UserError, match="other"):
        lexical_baselines(toy_dataset, "other", "split", None, [1])
