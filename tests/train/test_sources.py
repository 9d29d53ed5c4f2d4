"""A run of several sources: figures by source and by their mean, what a training makes of them, and resuming."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from hr_retrieval.compare import __main__ as compare
from hr_retrieval.evaluate import __main__ as evaluate
from hr_retrieval.runs.checkpoints import load_checkpoint
from hr_retrieval.train import __main__ as train
from tests.conftest import UNMEASURED, Command, write_toy_dataset

TWO = (
    "model=tiny", "datamodule.folder=[a,b]", "trainer.precision=32-true", "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false", "datamodule.batch_size=8", "optimizer.lr=1e-3", "scheduler=constant",
    "trainer.log_every_n_steps=1", "datamodule.sources.b.weight=3", 'datamodule.sources.b.query_template="job: {text}."',
)  # fmt: skip
SHORT = (*TWO, *UNMEASURED, "callbacks.last.every_n_train_steps=1")


@pytest.fixture(autouse=True)
def two(tmp_path: Path) -> list[Path]:
    return [write_toy_dataset(tmp_path / "a"), write_toy_dataset(tmp_path / "b", 30, mark="x")]


def weights(run: Path, name: str = "last") -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_checkpoint(run / "checkpoints" / f"{name}.ckpt")["state_dict"]
    return found


def equal(one: Path, other: Path) -> bool:
    found = weights(one), weights(other)
    return all(torch.equal(found[0][name], found[1][name]) for name in found[1])


def content(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_figures_are_by_source_and_by_their_mean_and_those_of_each_by_itself(command: Command, tmp_path: Path) -> None:
    for seed in (1, 2):
        printed = command(
            train.main, *TWO, "trainer.max_epochs=1", "callbacks.best.monitor=validation/b/mrr", f"seed={seed}",
            f"output=runs/{seed}",
        )  # fmt: skip
    run = tmp_path / "runs" / "2"
    assert "validation of a:" in printed
    assert not (tmp_path / "data").exists()
    summary = content(run / "summary.json")
    for part in ("zero_shot", "trained"):
        figures = summary[part]
        assert figures["mrr"] == pytest.approx(0.25 * figures["a/mrr"] + 0.75 * figures["b/mrr"])
    assert {name: own["share"] for name, own in summary["sources"].items()} == {"a": 0.25, "b": 0.75}
    assert [summary["sources"][name]["documents"] for name in "ab"] == [120, 60]
    assert (summary["queries"], summary["documents"]) == (12 + 6, 180)
    # As evaluate measures a source by itself, in the words that the encoder itself has.
    plain = summary["without_mixing"] or summary["trained"]
    options = ("base=null", "counterfactuals=null", "ranking/mixing=none", "output=measured")
    command(evaluate.main, "encoder=runs/2", "data.folder=a", *options)
    measured = content(tmp_path / "measured" / "metrics.json")["systems"]["encoder"]
    assert measured["metrics"]["mrr"] == pytest.approx(plain["a/mrr"])
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    best = [row for row in rows if row["validation/b/mrr"] and row["step"] != "0"]
    assert best
    assert {"validation/a/mrr", "validation/mrr", "train/a/loss", "train/b/loss"} <= set(rows[0])
    table = pq.read_table(run / "per_query_zero_shot.parquet").to_pylist()
    assert {row["query_id"].split("/")[0] for row in table} == {"a", "b"}
    assert np.mean([row["weight"] for row in table]) == pytest.approx(1.0)
    assert np.mean([row["weight"] * row["mrr"] for row in table]) == pytest.approx(summary["zero_shot"]["mrr"])
    card = (run / "encoder" / "README.md").read_text()
    assert "`b`: share 0.75" in card
    assert "| b/mrr |" in card
    for metric in ("mrr", "b/mrr"):
        name = metric.replace("/", "_")
        printed = command(compare.main, "runs=runs/*", f"metric={metric}", f"output=compared_{name}")
        assert not printed.startswith("exit"), printed
        assert "Data a, b" in printed
        assert "Not tested" not in printed
    printed = command(train.main, "resume=runs/2", "datamodule.sources.b.weight=1")
    assert "the run keeps its data" in printed


def test_two_sources_and_two_workers_resume_within_an_epoch_bit_for_bit(command: Command, tmp_path: Path) -> None:
    command(train.main, *SHORT, "trainer.max_steps=12", "output=whole")
    command(train.main, *SHORT, "trainer.max_steps=5", "datamodule.workers=2", "output=run")
    command(train.main, "resume=run", "trainer.max_steps=12")
    assert equal(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize(
    "options",
    [
        ("callbacks=mining", "datamodule.mined_per_anchor=2", "datamodule.guide=tiny"),
        ("model/mixing=document",),
        ("model/mixing=anchor", "model.mixing.source=queue", "model.queue_size=32", "model.queue_negatives=true"),
    ],
    ids=["mined and guided", "corpus", "queue"],
)
def test_what_else_a_batch_is_compared_with_is_of_its_own_source(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    from hr_retrieval.train.module import RetrievalModule

    step = RetrievalModule.training_step
    seen: set[int] = set()

    def watched(self: RetrievalModule, batch: Any, index: int) -> torch.Tensor:
        source = self._data.sources[batch.source]
        first, last = source.first_document, source.first_document + source.dataset.document_count
        assert bool(((batch.document_rows >= first) & (batch.document_rows < last)).all())
        if self.corpora:
            rows = self.corpora[batch.source].rows  # type: ignore[attr-defined]  # of an EmbeddedCorpus
            assert first <= rows.min() <= rows.max() < last
        seen.add(batch.source)
        return step(self, batch, index)

    monkeypatch.setattr(RetrievalModule, "training_step", watched)
    several = ("trainer.limit_train_batches=5", "trainer.max_epochs=2")
    printed = command(train.main, *SHORT, *options, *several, "output=run")
    assert not printed.startswith("exit"), printed
    assert seen == {0, 1}
    if "callbacks=mining" in options:
        table = pq.read_table(tmp_path / "run" / "negatives" / "epoch-0002.parquet").to_pylist()
        assert {(row["query_row"] >= 120, row["document_row"] >= 120) for row in table} == {
            (False, False),
            (True, True),
        }
        names = {row["query_row"]: row["query_id"] for row in table}
        assert names[120] == "q0-0"
    # And a resumed one goes on with the same.
    command(train.main, *SHORT, *options, "trainer.limit_train_batches=5", "trainer.max_steps=7", "output=part")
    command(train.main, "resume=part", "trainer.max_steps=-1", "trainer.max_epochs=2")
    assert equal(tmp_path / "part", tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("datamodule.folder=[a,b,c/a]",), "sources of different names"),
        (("datamodule.sources.a.weight=-1",), "weights of sources"),
        (("datamodule.sources.a.weight=0", "datamodule.sources.b.weight=0"), "one above 0"),
        (('datamodule.sources.a.query_template="title"',), "in it, once"),
        (("datamodule.folder=[a,absent]", "~datamodule.sources.b"), "absent/corpus.parquet"),
        (('model.encoder.query_template="title"',), "in it, once"),
        (('model.encoder.query_template="the title {text}."',), "export=false"),
    ],
)
def test_bad_input_is_one_message_and_leaves_no_run(
    command: Command, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    given = [one for one in TWO if one.split("=")[0] not in {option.split("=")[0] for option in options}]
    if "~datamodule.sources.b" in options:
        given = [one for one in given if "sources.b" not in one]
        options = options[:-1]
    printed = command(train.main, *given, *options, "output=run")
    assert printed.startswith("exit 1")
    assert said in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "run" / "config.yaml").exists()
