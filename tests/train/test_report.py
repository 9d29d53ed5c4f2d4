"""Tests of what a finished run says."""

import re
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from pytorch_lightning.loggers import CSVLogger

from hr_retrieval.program import called
from hr_retrieval.runs.directory import Run
from hr_retrieval.train.board import Board
from hr_retrieval.train.report import log_final, report

FIGURES = {"mrr": 0.5, "pass@1": 0.25, "recall@10": 1.0, "map": 0.1}
CONFIG = OmegaConf.create(
    {
        "seed": 3,
        "datamodule": {"folder": "data/prepared/мои"},
        "output": "somewhere",
        "model": {
            "encoder": {"name_or_path": "builtin:all-MiniLM-L6-v2"},
            "loss": {"_target_": "hr_retrieval.objective.triplet.TripletLoss", "form": "smooth", "margin": 0.1},
            "mixing": {"_target_": "hr_retrieval.objective.mixing.AnchorNegativeMixing"},
            "mini_batch": None,
        },
        "optimizer": {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 1e-4},
    }
)


def test_a_table_of_runs_has_what_runs_are_told_apart_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = ["data.folder=x", "seed=3", "model.loss.margin=0.1", "output=somewhere", "optimizer=adam"]
    board, rows = Board(tmp_path), list[Any]()
    monkeypatch.setattr(board, "log_trial", lambda *values: rows.extend(values))
    log_final(board, CONFIG, {"trained": FIGURES}, overrides)
    settings, figures, name = rows
    # The usual ones under short names, then what was set beside them.
    assert settings == {
        "encoder": "all-MiniLM-L6-v2",
        "data": "мои",
        "mixing": "anchor_negative",
        "lr": 1e-4,
        "seed": 3,
        "model.loss.margin": 0.1,
        "optimizer": "Adam",
    }
    assert figures == {"test/mrr": 0.5, "test/pass@1": 0.25, "test/recall@10": 1.0}
    assert name.startswith("anchor_negative lr=0.0001 seed=3 margin=0.1 optimizer=Adam all-MiniLM-L6-v2 мои (")


def test_another_logger_gets_every_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logger, given = CSVLogger(tmp_path), list[Any]()
    monkeypatch.setattr(logger, "log_hyperparams", given.append)
    monkeypatch.setattr(logger, "finalize", given.append)
    log_final(logger, CONFIG, {"trained": FIGURES}, [])
    assert given[0]["model.loss"] == "TripletLoss"
    assert given[0]["output"] == "somewhere"
    assert given[1] == "success"


@pytest.mark.parametrize("encoder", ["a [bold] run/encoder", None])
def test_the_report_says_figures_places_and_what_comes_next(
    encoder: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path / "a [bold] run", CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Run, "measured_checkpoint", lambda run: run.folder / "best.ckpt")
    summary = {
        "trained": FIGURES,
        "zero_shot": None,
        "queries": 12,
        "documents": 34,
        "corpus": "34 of 90 documents",
        "verdict": "It is better.",
        "stopped": "Stopped behind epoch 2, step 28: enough.",
        "intervals": {"trained": [0.4, 0.6]},
        "encoder": encoder,
    }
    summary["checkpoint"] = "the best checkpoint, of step 28"
    report(run, summary, 61.4)
    said = capsys.readouterr().out
    assert "12 test queries, each ranked over 34 of 90 documents" in said
    assert "before training" not in said
    assert re.search(r"trained +│ 0\.5000 \(0\.4000 to 0\.6000\) │ 0\.2500 │ +1\.0000", said)
    assert "It is better.\nStopped behind epoch 2, step 28: enough.\n" in said
    # From where the user is, and quoted where it must be.
    assert "Run directory   a [bold] run  (61 s)" in said
    assert (encoder is not None) == ("SentenceTransformer('a [bold] run/encoder')" in said)
    assert f"{called('train')} resume='a [bold] run' trainer.max_epochs=10\n" in said
    assert f"{called('evaluate')} encoder='a [bold] run' data.folder=data/prepared/мои\n" in said
