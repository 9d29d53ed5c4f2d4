"""Tests of what a finished run says."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

from hr_retrieval.runs.directory import Run
from hr_retrieval.train.report import log_final, report

FIGURES = {"mrr": 0.5, "pass@1": 0.25, "recall@10": 1.0, "map": 0.1}
CONFIG = OmegaConf.create(
    {
        "seed": 3,
        "output": "somewhere",
        "model": {
            "loss": {"_target_": "hr_retrieval.objective.triplet.TripletLoss", "margin": 0.1},
            "mini_batch": None,
        },
        "optimizer": {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 1e-4},
    }
)


def test_a_table_of_runs_names_classes_and_what_runs_are_compared_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = {"model.loss": "TripletLoss", "optimizer": "Adam", "seed": 3, "model.loss.margin": 0.1}
    shown |= {"model.mini_batch": "None", "optimizer.lr": 1e-4}
    finals = {"final/mrr": 0.5, "final/pass@1": 0.25, "final/recall@10": 1.0}
    for logger, expected in (
        (CSVLogger(tmp_path), [shown | {"output": "somewhere"}]),
        (TensorBoardLogger(tmp_path), [shown, finals]),
    ):
        given: list[object] = []
        monkeypatch.setattr(logger, "log_hyperparams", lambda *values, given=given: given.extend(values))
        monkeypatch.setattr(logger, "finalize", given.append)
        log_final(logger, CONFIG, {"trained": FIGURES})
        assert given == [*expected, "success"]


@pytest.mark.parametrize("encoder", ["a [bold] run/encoder", None])
def test_the_report_says_figures_places_and_what_comes_next(
    encoder: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path / "a [bold] run", CONFIG)
    monkeypatch.setattr(Run, "measured_checkpoint", lambda run: run.folder / "best.ckpt")
    summary = {
        "trained": FIGURES,
        "zero_shot": None,
        "queries": 12,
        "documents": 34,
        "corpus": "34 of 90 documents",
        "encoder": encoder,
    }
    summary["checkpoint"] = "the best checkpoint, of step 28"
    report(run, summary, 61.4)
    said = capsys.readouterr().out
    assert "12 test queries, each ranked over 34 of 90 documents" in said
    assert "zero-shot" not in said
    assert [word for word in said.split() if word.replace(".", "").isdigit()][3:6] == ["0.5000", "0.2500", "1.0000"]
    assert f"{tmp_path / 'a [bold] run'}  (61 s)" in said
    assert (encoder is not None) == ("SentenceTransformer('a [bold] run/encoder')" in said)
    assert said.count("the best checkpoint, of step 28") == (2 if encoder else 1)
    assert f"resume={tmp_path / 'a [bold] run'}" in said
