"""A run chooses a mixing at ranking time on validation, and everybody after it ranks with it."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hr_retrieval.evaluate import __main__ as verb
from hr_retrieval.evaluate.summary import ENCODER, PLAIN
from hr_retrieval.retrieval.mixing import choice
from hr_retrieval.runs.ranking import FILE
from hr_retrieval.train import __main__ as train
from tests.conftest import TOY, Command

RUN = (*TOY, "trainer.max_epochs=1", "callbacks.best.monitor=validation/map", "output=run")


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def evaluated(command: Command, output: str, *options: str) -> dict[str, Any]:
    command(verb.main, "data.folder=toy", f"output={output}", "base=null", "counterfactuals=null", *options)
    systems: dict[str, Any] = read(Path(output) / "metrics.json")["systems"]
    return {name: system["metrics"] for name, system in systems.items()}


@pytest.mark.usefixtures("toy_dataset")
def test_what_validation_chooses_ranks_the_test_the_evaluation_and_the_exported_folder(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Twelve validation queries bear nothing out: here everything counts as a gain.
    monkeypatch.setattr(choice, "_gains", lambda found, tried: True)
    printed = command(train.main, *RUN, "ranking.mixing.documents.k=3")
    run = tmp_path / "run"
    summary, chosen = read(run / "summary.json"), read(run / FILE)
    assert chosen["mixing"]["documents"]["k"] == 3
    assert chosen["mixing"] == summary["ranking"]["parts"]
    assert chosen["evidence"]["validation"] == summary["ranking"]["validation"]
    assert read(run / "encoder" / FILE) == chosen
    assert set(chosen["mixing"]) == {"documents", "queries", "hubs"}
    assert "the whole corpus of 120 documents" in summary["ranking"]["corpus"]
    test = summary["ranking"]["test"]
    assert test["mixed"] == pytest.approx(summary["trained"]["map"])
    assert test["without"] == pytest.approx(summary["without_mixing"]["map"])
    assert summary["trained"]["map"] != summary["without_mixing"]["map"]
    figures = [pq.read_table(run / f"per_query{name}.parquet")["map"].to_numpy() for name in ("", "_without_mixing")]
    assert [test["helped"], test["hurt"]] == [int((sign * (figures[0] - figures[1]) > 1e-12).sum()) for sign in (1, -1)]
    card = (run / "encoder" / "README.md").read_text()
    for said in ("each document moved by", "Hubness", "(zero-shot) are without mixing"):
        assert said in printed
        assert said in card
    assert "| without mixing |" in card
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    assert [event.value for event in events.Scalars("ranking/test_map")] == pytest.approx(
        [test["without"], test["mixed"]]
    )
    assert [event.value for event in events.Scalars("ranking/test_hubness")] == pytest.approx(test["hubness"])
    assert "ranking/mixing/text_summary" in events.Tags()["tensors"]

    for number, encoder in enumerate(("run", "run/encoder")):
        found = evaluated(command, f"out{number}", f"encoder={encoder}")
        for name, expected in ((ENCODER, summary["trained"]), (PLAIN, summary["without_mixing"])):
            for metric in ("map", "mrr", "recall@10"):
                assert found[name][metric] == pytest.approx(expected[metric]), (encoder, name, metric)
    plain = evaluated(command, "plain", "encoder=run/encoder", "ranking/mixing=none")
    assert plain[ENCODER] == found[PLAIN]
    assert PLAIN not in plain
    # An encoder that is another one now.
    (run / "encoder" / FILE).write_text(json.dumps(chosen | {"encoder": "0" * 64}))
    options = ("data.folder=toy", "output=refused", "encoder=run/encoder")
    assert "ranking/mixing=none" in command(verb.main, *options)
    assert not (tmp_path / "refused").exists()


@pytest.mark.usefixtures("toy_dataset")
def test_a_choice_of_none_is_written_too_and_goes_with_the_checkpoint(command: Command, tmp_path: Path) -> None:
    printed = command(train.main, *RUN, "test=false", "zero_shot=false")
    run = tmp_path / "run"
    assert read(run / FILE)["mixing"] == {}
    assert "none raised the map of 12 validation queries beyond chance" in printed
    assert read(run / "summary.json")["ranking"]["tried"] == 6
    command(train.main, "resume=run", "trainer.max_epochs=2", "trainer.limit_val_batches=0")
    assert not (run / FILE).exists()


@pytest.mark.usefixtures("toy_dataset")
def test_without_a_mixing_offered_nothing_is_written(command: Command, tmp_path: Path) -> None:
    command(train.main, *RUN, "test=false", "zero_shot=false", "export=false", "ranking/mixing=none")
    assert not (tmp_path / "run" / FILE).exists()
    assert read(tmp_path / "run" / "summary.json")["ranking"] is None


@pytest.mark.usefixtures("toy_dataset")
def test_neighbours_beyond_the_corpus_are_refused_before_the_run_begins(command: Command, tmp_path: Path) -> None:
    printed = command(train.main, *RUN, "ranking/mixing=documents", "ranking.mixing.k=120")
    assert "at least 121 documents for ranking/mixing=documents" in printed
    assert not (tmp_path / "run" / "config.yaml").exists()
