"""Exported folders: a card that the hub takes and whose code runs, and a graph with what its 8 bits cost."""

import re
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard
from omegaconf import OmegaConf

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.session import GraphSession
from hr_retrieval.evaluate import __main__ as evaluate
from hr_retrieval.export import __main__ as export
from hr_retrieval.files import read_json
from hr_retrieval.runs.card import model_card
from hr_retrieval.runs.directory import Run
from hr_retrieval.train import __main__ as train
from tests.conftest import TOY, Command, write_toy_dataset

EXPORT = ("run=run", "output=out")


@pytest.fixture
def run(command: Command, tmp_path: Path) -> Path:
    write_toy_dataset(tmp_path / "toy")
    printed = command(
        train.main, *TOY, "trainer.max_steps=3", "logger=none", "output=run", "model.encoder.query_prefix='query: '",
    )  # fmt: skip
    assert not printed.startswith("exit"), printed
    return tmp_path / "run"


def code(card: str, package: str) -> str:
    (found,) = [block for block in re.findall(r"```python\n(.*?)```", card, re.DOTALL) if package in block]
    return found


def ran(source: str, folder: Path) -> dict[str, Any]:
    names: dict[str, Any] = {}
    with chdir(folder):
        exec(source, names)
    return names


def test_the_card_of_a_run_is_one_that_the_hub_takes(command: Command, run: Path, tmp_path: Path) -> None:
    printed = command(evaluate.main, "encoder=run", "data.folder=toy", "output=measured", "base=null")
    assert not printed.startswith("exit"), printed
    printed = command(export.main, *EXPORT, "licence=apache-2.0", "evaluation=measured")
    assert "SentenceTransformer(" in printed
    card = (tmp_path / "out" / "README.md").read_text()
    data = ModelCard(card, ignore_metadata_errors=False).data
    summary = read_json(run / "summary.json")
    assert (data.license, data.pipeline_tag, data.library_name) == (
        "apache-2.0",
        "sentence-similarity",
        "sentence-transformers",
    )
    assert data.language == ["en"]
    assert data.base_model is None
    assert data["trained_from"] == "tiny"
    results = {one.metric_type: one for one in data.eval_results}
    assert results["mrr"].metric_value == pytest.approx(summary["trained"]["mrr"], abs=1e-4)
    low, high = map(float, re.findall(r"0?\.\d+|1\.0+", results["mrr"].metric_name))
    assert low <= results["mrr"].metric_value <= high
    tables = [line for line in card.splitlines() if line.startswith("| test |")]
    assert len(tables) == 1
    assert tables[0].count("|") <= 7
    assert f"| mrr | {summary['zero_shot']['mrr']:.4f} |" in card
    examples = summary["texts"]["examples"]
    assert len(examples) == 5
    assert all(f"| {one['query'].strip()} | {one['found']} |" in card for one in examples)
    assert "128 tokens are read, about" in card
    assert "Queries are read as `query: {text}`" in card
    assert "Counterfactual" in card or "counterfactual" in card
    assert card.count("<details>") == card.count("</details>") == 2
    ran(code(card, "sentence_transformers"), tmp_path / "out")
    assert "format to be sentence-transformers, onnx, onnx-int8" in command(export.main, *EXPORT, "format=tensorrt")
    (tmp_path / "measured" / "metrics.json").write_text('{"encoder": {"fingerprint": "abc"}}')
    assert "of another one (abc)" in command(export.main, "run=run", "output=other", "evaluation=measured")
    assert not (tmp_path / "other").exists()


def test_what_8_bits_cost_is_measured_on_the_run_s_own_test(command: Command, run: Path, tmp_path: Path) -> None:
    printed = command(export.main, *EXPORT, "format=onnx-int8")
    assert "In 8 bits the MRR on 12 test queries is" in printed
    card = (tmp_path / "out" / "README.md").read_text()
    assert "In 8 bits the MRR on 12 test queries is" in card
    assert ModelCard(card).data.tags[-1] == "onnx"
    loss = read_json(tmp_path / "out" / "graph.json")["loss"]
    # With mixing at ranking time the run's own figure would be another one.
    summary = read_json(run / "summary.json")
    plain = summary["without_mixing"] or summary["trained"]
    assert loss["float32"] == pytest.approx(plain["mrr"])
    assert loss["interval"][0] <= loss["int8"] - loss["float32"] <= loss["interval"][1]
    names = ran(code(card, "onnxruntime"), tmp_path / "out")
    encoder = Run.open(run).encoder()
    (expected,) = encoder.encode(["welder"], "query").numpy()
    assert float(names["vectors"][0] @ expected) > 0.98
    worded = encoder.worded(["welder"], "query")
    np.testing.assert_allclose(GraphSession(tmp_path / "out").encode(worded).numpy(), names["vectors"], atol=1e-6)
    (tmp_path / "toy" / "queries.parquet").rename(tmp_path / "elsewhere")
    assert "measured=false" in command(export.main, "run=run", "output=again", "format=onnx-int8")


@pytest.mark.parametrize(
    ("name", "on_the_hub"),
    [
        ("builtin:all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"),
        ("builtin:multilingual-e5-small", "intfloat/multilingual-e5-small"),
        ("intfloat/multilingual-e5-base", "intfloat/multilingual-e5-base"),
        ("/models/a: b #1", None),
    ],
)
def test_a_model_card_names_models_of_the_hub_only(name: str, on_the_hub: str | None) -> None:
    parts = {part: {} for part in ("optimizer", "scheduler")}
    data = {"_target_": "Preparation", "name": "toy", "licence": "none", "folder": "toy"}
    config = OmegaConf.create(
        {
            **parts,
            "datamodule": {"folder": "toy"},
            "seed": 1,
            "project": "p",
            "data": data,
            "model": {"encoder": {"name_or_path": name}},
        }
    )
    found = ModelCard(model_card(config, Encoder("tiny"), {}, {})).data
    assert (found.base_model, found["trained_from"], found.license) == (on_the_hub, name, "other")
