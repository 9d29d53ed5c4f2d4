"""A run of an earlier version opens, under the names that its classes have now."""

from pathlib import Path

import pytest
import torch

from hr_retrieval.config.build import build, buildable
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.export import __main__ as export
from hr_retrieval.objective.triplet import TripletLoss
from hr_retrieval.runs.directory import Run
from hr_retrieval.runs.moved import MOVED, with_new_names
from hr_retrieval.train import __main__ as train
from tests.conftest import Command

# As version 0.1.0 wrote it, some plain values aside.
OLD = """\
project: default
seed: 1
split_seed: 1
resume: null
output: RUN
zero_shot: true
test: true
export: true
data:
  _target_: hr_retrieval.data.preparation.Preparation
  name: toy
  folder: data/prepared/toy
  licence: unknown
  columns:
    _target_: hr_retrieval.data.clean.Columns
    anchor: title
    positive: description
  reader:
    _target_: hr_retrieval.data.raw.CsvReader
    path: toy.csv
    delimiter: ','
datamodule:
  _target_: hr_retrieval.data.datamodule.RetrievalDataModule
  folder: data/prepared/toy
  batch_size: 16
  evaluation_corpus: split
  seed: 1
model:
  mixing:
    _target_: hr_retrieval.model.mixing.AnchorMixing
    seed: 1
  loss:
    _target_: hr_retrieval.model.loss.SoftmaxLoss
    scale: 20.0
  _target_: hr_retrieval.model.module.RetrievalModule
  encoder:
    _target_: hr_retrieval.model.encoder.Encoder
    name_or_path: tiny
    max_length: 128
    packing: null
optimizer:
  _target_: torch.optim.Adam
  _partial_: true
  lr: 0.0001
scheduler:
  _target_: hr_retrieval.model.schedule.WarmupLinear
  _partial_: true
  warmup: 0.1
trainer:
  _target_: pytorch_lightning.Trainer
  max_epochs: 1
  default_root_dir: RUN
callbacks:
  last:
    _target_: hr_retrieval.callbacks.StepCheckpoint
    dirpath: RUN/checkpoints
  metrics_file:
    _target_: hr_retrieval.callbacks.MetricsFile
    path: RUN/metrics.csv
  alarms:
    _target_: hr_retrieval.alarms.Alarms
    alike: 0.999
  worst_queries:
    _target_: hr_retrieval.board.WorstQueries
    count: 20
logger:
  tensorboard:
    _target_: pytorch_lightning.loggers.TensorBoardLogger
    save_dir: RUN
"""


@pytest.fixture
def old_run(tmp_path: Path) -> Path:
    folder = tmp_path / "old"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text(OLD.replace("RUN", str(folder)))
    weights = {f"encoder.{name}": weight + 1 for name, weight in Encoder("tiny").state_dict().items()}
    torch.save({"state_dict": weights}, folder / "checkpoints" / "best.ckpt")
    return folder


def test_every_name_leads_to_a_class_that_a_config_may_build() -> None:
    assert {name: new for name, new in MOVED.items() if buildable(new) is None} == {}


def test_no_name_in_use_is_taken_for_another_class() -> None:
    assert {name for name in MOVED if buildable(name) is not None} == set()


def test_names_change_at_any_depth_and_nothing_else_does() -> None:
    old = {"a": [{"_target_": "hr_retrieval.alarms.Alarms", "b": "hr_retrieval.alarms.Alarms"}], "_target_": "x.Y"}
    new = {
        "a": [{"_target_": MOVED["hr_retrieval.alarms.Alarms"], "b": "hr_retrieval.alarms.Alarms"}],
        "_target_": "x.Y",
    }
    assert with_new_names(old) == new


@pytest.mark.parametrize("module", ["hr_retrieval.model.loss", "hr_retrieval.objective.loss"])
@pytest.mark.parametrize(("name", "form", "margin"), [("SoftmaxLoss", "smooth", 0.0), ("TripletLoss", "hinge", 0.3)])
def test_the_two_losses_of_old_are_forms_of_one(module: str, name: str, form: str, margin: float) -> None:
    loss = build(with_new_names({"_target_": f"{module}.{name}", "margin": margin}))
    assert (type(loss), loss.form, loss.margin) == (TripletLoss, form, margin)


def test_an_old_run_gives_its_encoder(old_run: Path) -> None:
    run = Run.open(old_run)
    assert run.config.callbacks.last._target_ == MOVED["hr_retrieval.callbacks.StepCheckpoint"]
    expected = torch.load(run.measured_checkpoint(), weights_only=True)["state_dict"]
    found = run.encoder().state_dict()
    assert all(torch.equal(found[name], expected[f"encoder.{name}"]) for name in found)


def test_an_old_run_is_exported(old_run: Path, tmp_path: Path, command: Command) -> None:
    assert "The encoder is in" in command(export.main, f"run={old_run}", "output=encoder")
    exported = Encoder(str(tmp_path / "encoder"))
    text = ["senior welder"]
    torch.testing.assert_close(exported.encode(text, "query"), Run.open(old_run).encoder().encode(text, "query"))


def test_an_old_run_does_not_go_on_whatever_its_parts_are_built_of(old_run: Path, command: Command) -> None:
    config = old_run / "config.yaml"
    config.write_text(config.read_text().replace("alike: 0.999", "an_option_of_then: 1"))
    printed = command(train.main, f"resume={old_run}")
    assert printed.startswith("exit 1")
    assert "got none: another version began it. Start it anew" in printed
    assert "Traceback" not in printed
