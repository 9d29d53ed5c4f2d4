"""The command line from end to end, on a toy data set with an encoder of random weights."""

import csv
import json
import os
import shutil
from pathlib import Path
from unittest.mock import Mock

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.tiny import write_tiny
from hr_retrieval.export import __main__ as export
from hr_retrieval.objective.mixing import AnchorMixing
from hr_retrieval.prepare import __main__ as prepare
from hr_retrieval.program import called
from hr_retrieval.runs.checkpoints import load_checkpoint
from hr_retrieval.runs.directory import Run
from hr_retrieval.train import __main__ as train
from tests.conftest import TOY, UNMEASURED, Command


@pytest.fixture
def toy(toy_dataset: Path) -> Path:
    return toy_dataset


def only_run(folder: Path) -> Path:
    (run,) = [path.parent for path in folder.glob("**/config.yaml") if ".hydra" not in path.parts]
    return run


def test_a_run_leaves_everything_it_promises(command: Command, toy: Path, tmp_path: Path) -> None:
    printed = command(train.main, *TOY, "trainer.max_epochs=2", "optimizer.lr=1e-3", "project=p")
    run = only_run(tmp_path / "outputs" / "p")
    summary = json.loads((run / "summary.json").read_text())
    assert {"mrr", "pass@1", "recall@10"} <= set(summary["zero_shot"])
    assert {"mrr", "pass@1", "recall@10"} <= set(summary["trained"])
    assert summary["trained"]["mrr"] != summary["zero_shot"]["mrr"]
    assert (summary["queries"], summary["documents"], summary["split"]) == (12, 120, "test")
    assert Path(summary["encoder"]) == run / "encoder"
    assert {"best.ckpt", "last.ckpt"} <= {path.name for path in (run / "checkpoints").iterdir()}
    assert list((run / "tensorboard").glob("events*"))
    header = (run / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"step", "train/loss", "guard/ignored", "validation/mrr", "validation/document_to_query/pass@1"} <= set(
        header
    )
    assert OmegaConf.load(run / "config.yaml").optimizer.lr == 1e-3
    for promised in (
        "before training",
        "trained",
        "BM25",
        "12 test queries",
        f"outputs/p/{run.name}",
        "--logdir",
        "resume=",
    ):
        assert promised in printed


def test_tensorboard_s_table_of_runs_has_the_keys_that_matter_and_the_final_figures(
    command: Command, toy: Path, tmp_path: Path
) -> None:
    command(train.main, *TOY, "trainer.max_epochs=1", "zero_shot=false", "export=false", "seed=3", "output=run")
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    content = events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    row = HParamsPluginData.FromString(content).session_start_info
    assert row.hparams["seed"].number_value == 3
    assert row.hparams["encoder"].string_value == "tiny"
    assert row.hparams["mixing"].string_value == "anchor"
    assert row.hparams["trainer.max_epochs"].number_value == 1
    assert row.group_name.startswith("anchor lr=0.0001 seed=3 ")
    assert " max_epochs=1 tiny toy (" in row.group_name
    assert not [key for key in row.hparams if "folder" in key or "dir" in key or key.startswith("logger")]
    trained = json.loads((tmp_path / "run" / "summary.json").read_text())["trained"]
    for name in ("mrr", "pass@1", "recall@10"):
        assert events.Scalars(f"test/{name}")[-1].value == pytest.approx(trained[name])
    # One count of steps: the validation is at the step after which it was made, as in the log.
    shown = set(events.Tags()["scalars"])
    assert {event.step for event in events.Scalars("Validation/mrr")} == {int(steps_made(tmp_path / "run"))}
    assert not [name for name in shown if name == "epoch" or name.startswith(("lr-", "final/", "test/document"))]
    # What the options of configs/callbacks write, too.
    assert {"scores/margin", "scores/best_positive", "scores/hardest_negative"} == set(events.Tags()["histograms"])
    assert {"worst_queries/text_summary", "best_queries/text_summary"} <= set(events.Tags()["tensors"])
    assert (tmp_path / "run" / "tensorboard" / "projector" / "best_validation" / "tensors.tsv").exists()


def steps_made(run: Path) -> str:
    """The step of the last validation, as `metrics.csv` has it."""
    with (run / "metrics.csv").open(newline="") as file:
        return [row["step"] for row in csv.DictReader(file) if row.get("validation/mrr")][-1]


def test_the_exported_folder_gives_the_embeddings_of_the_run(command: Command, toy: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    command(
        train.main, *TOY, "trainer.max_epochs=1", "optimizer.lr=1e-3", "zero_shot=false", "export=false", "output=run"
    )
    printed = command(export.main, "run=run", "output=exported")
    assert f"SentenceTransformer('{tmp_path / 'exported'}')" in printed
    texts = ["welder 3", "a nurse with tools", "водитель"]
    expected = Run.open(tmp_path / "run").encoder().encode(texts, "query")
    found = SentenceTransformer(str(tmp_path / "exported"), device="cpu").encode(texts, convert_to_tensor=True)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    card = (tmp_path / "exported" / "README.md").read_text()
    assert "lr: 0.001" in card
    assert "already holds something" in command(export.main, "run=run", "output=exported")


def test_a_sweep_runs_each_combination_in_its_own_folder(command: Command, toy: Path, tmp_path: Path) -> None:
    command(
        train.main, "-m", *TOY, *UNMEASURED, "model/mixing=none,anchor", "model.loss.margin=0.1,0.3", "trainer.max_steps=1",
        "project=s",
    )  # fmt: skip
    runs = sorted(path.parent for path in (tmp_path / "multirun" / "s").glob("*/*/summary.json"))
    configs = [OmegaConf.load(run / "config.yaml") for run in runs]
    assert {(config.model.mixing._target_.split(".")[-1], config.model.loss.margin) for config in configs} == {
        ("NoMixing", 0.1),
        ("NoMixing", 0.3),
        ("AnchorMixing", 0.1),
        ("AnchorMixing", 0.3),
    }


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("name", ["output=run", "resume=run"])
def test_the_runs_of_a_sweep_have_folders_of_their_own(command: Command, name: str) -> None:
    assert "hydra.sweep.dir" in command(train.main, "-m", *TOY, "seed=1,2", name)


def weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = load_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]
    return state


QUEUE = (
    "model.queue_size=40",
    "model.queue_negatives=true",
    "model.queue_start_step=3",
    "datamodule.guide=tiny",
    "callbacks.average.decay=0.9",
)


def test_a_run_resumed_again_and_again_ends_as_one_never_stopped(command: Command, toy: Path, tmp_path: Path) -> None:
    """Within an epoch, at its end (12 batches), and within the second one; with a queue and a guide.

    `test_reliability.py` has the same of a run without them.
    """
    options = (
        *TOY, *UNMEASURED, "optimizer.lr=1e-3", "scheduler=constant", "trainer.log_every_n_steps=1", "model/mixing=anchor",
        "model.mixing.negative_weight=0.3", *QUEUE,
    )  # fmt: skip
    command(train.main, *options, "trainer.max_epochs=2", "output=whole")
    begin: tuple[str, ...] = (*options, "trainer.max_epochs=2", "output=cut")
    for steps in (5, 12, 17):
        command(train.main, *begin, f"trainer.max_steps={steps}")
        assert load_checkpoint(tmp_path / "cut" / "checkpoints" / "last.ckpt")["global_step"] == steps
        begin = ("resume=cut",)
    printed = command(train.main, *begin, "trainer.max_steps=-1")
    assert "Run directory" in printed
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert load_checkpoint(tmp_path / "cut" / "checkpoints" / "last.ckpt")["global_step"] == 24
    assert (tmp_path / "cut" / "metrics.csv").read_text() == (tmp_path / "whole" / "metrics.csv").read_text()


def test_a_copied_run_goes_on_in_the_copy_and_leaves_the_original_alone(
    command: Command, toy: Path, tmp_path: Path
) -> None:
    # Training only raises the figure, and the lowest is asked for: whoever forgets that of the
    # first epoch takes a later one.
    options = (
        *TOY, *UNMEASURED, "optimizer.lr=1e-3", "scheduler=constant", "callbacks.best.mode=min", "callbacks.early_stopping=null",
    )  # fmt: skip
    command(train.main, *options, "trainer.max_epochs=1", "output=run")
    shutil.copytree(tmp_path / "run", tmp_path / "elsewhere" / "copy", symlinks=True)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    printed = command(train.main, "resume=elsewhere/copy", "trainer.max_epochs=3")
    assert "copy" in printed
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == before
    command(train.main, "resume=run", "trainer.max_epochs=3")
    for folder in ("elsewhere/copy", "run"):
        assert load_checkpoint(tmp_path / folder / "checkpoints" / "last.ckpt")["global_step"] == 36
    copied, original = (tmp_path / folder / "metrics.csv" for folder in ("elsewhere/copy", "run"))
    assert copied.read_text() == original.read_text()
    best = [load_checkpoint(tmp_path / folder / "checkpoints" / "best.ckpt") for folder in ("elsewhere/copy", "run")]
    assert best[0]["global_step"] == best[1]["global_step"] == 12


def test_a_finished_run_that_goes_on_writes_its_encoder_and_its_config_anew(
    command: Command, toy: Path, tmp_path: Path
) -> None:
    run, options = tmp_path / "run", (*TOY, "logger=none", "test=false", "zero_shot=false")
    command(
        train.main, *options, "optimizer.lr=1e-3", "callbacks.early_stopping=null", "trainer.max_epochs=1", "output=run"
    )
    before = Encoder(str(run / "encoder")).state_dict()
    # Whatever the figures are, those of the first epoch are not the best.
    newest = run / "checkpoints" / "step-0000012.ckpt"
    state = load_checkpoint(newest)
    for values in state["callbacks"].values():
        if "best_model_score" in values:
            values["best_model_score"] = torch.tensor(-1.0)
            values["best_k_models"] = dict.fromkeys(values["best_k_models"], torch.tensor(-1.0))
            values["kth_value"] = torch.tensor(-1.0)
    torch.save(state, newest)
    changes = ("trainer.max_epochs=2", "optimizer.lr=5e-4", "optimizer.weight_decay=0.1", "scheduler.final=0.5")
    printed = command(train.main, "resume=run", *changes)
    assert "best.ckpt  (the best checkpoint, of step 24)" in printed
    after, best = Encoder(str(run / "encoder")).state_dict(), Run.open(run).encoder().state_dict()
    assert all(torch.equal(after[name], best[name]) for name in best)
    assert any(not torch.equal(after[name], before[name]) for name in before)
    card = (run / "encoder" / "README.md").read_text()
    assert "from step 12: trainer.max_epochs=2" in card
    assert "lr: 0.0005" in card
    written = Run.open(run)
    assert written.config.optimizer.lr == 5e-4
    assert written.parts[0].from_step == 12
    groups = load_checkpoint(run / "checkpoints" / "last.ckpt")["optimizer_states"][0]["param_groups"]
    assert groups[0]["initial_lr"] == 5e-4
    assert groups[0]["weight_decay"] == 0.1
    assert groups[0]["lr"] == pytest.approx(0.5 * 5e-4, rel=1e-6)
    assert "no encoder of an earlier part" in command(train.main, "resume=run", "export=false")


def test_a_data_set_that_has_changed_is_not_gone_on_with(command: Command, toy: Path, tmp_path: Path) -> None:
    options = (*TOY, *UNMEASURED, "trainer.limit_train_batches=2")
    command(train.main, *options, "trainer.max_epochs=1", "output=run")
    config = (tmp_path / "run" / "config.yaml").read_text()
    table = pq.read_table(toy / "corpus.parquet")
    texts = [text[::-1] for text in table["text"].to_pylist()]
    pq.write_table(table.set_column(1, table.schema.field(1), [texts]), toy / "corpus.parquet")
    printed = command(train.main, "resume=run", "trainer.max_epochs=2")
    assert printed.startswith("exit 1:")
    assert "the data set that the run" in printed
    assert (tmp_path / "run" / "config.yaml").read_text() == config


def test_a_run_that_keeps_weights_alone_begins_anew_when_resumed(command: Command, toy: Path, tmp_path: Path) -> None:
    """As in the shipped experiments; the same in the end as a run of so many epochs."""
    options = (
        *TOY, *UNMEASURED, "trainer.limit_train_batches=3", "callbacks.last=null", "+callbacks.best.save_weights_only=true",
    )  # fmt: skip
    command(train.main, *options, "trainer.max_epochs=1", "output=run")
    assert "the run has ended" in command(train.main, "resume=run")
    assert "it begins anew" in command(train.main, "resume=run", "trainer.max_epochs=2")
    command(train.main, *options, "trainer.max_epochs=2", "output=whole")
    states = [load_checkpoint(tmp_path / name / "checkpoints" / "best.ckpt")["state_dict"] for name in ("run", "whole")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[1])
    assert (tmp_path / "run" / "metrics.csv").read_text() == (tmp_path / "whole" / "metrics.csv").read_text()


@pytest.mark.parametrize(
    ("options", "step"),
    [
        (("trainer.max_steps=3",), 3),
        (("trainer.limit_val_batches=0", "trainer.limit_train_batches=2", "trainer.max_epochs=1"), 2),
        (("trainer.check_val_every_n_epoch=5", "trainer.limit_train_batches=2", "trainer.max_epochs=1"), 2),
        (("trainer.limit_val_batches=0", "trainer.max_steps=2", "callbacks.last=null"), 2),
    ],
)
def test_without_any_validation_the_last_weights_are_kept_and_it_is_said(
    command: Command, toy: Path, tmp_path: Path, options: tuple[str, ...], step: int
) -> None:
    printed = command(train.main, *TOY, "logger=none", "zero_shot=false", *options, "output=run")
    assert "No validation was made" in printed
    assert f"the last checkpoint, of step {step}" in printed
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["global_step"] == step
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["trained"]


def test_a_set_without_a_validation_split_trains_where_none_is_asked_for(
    command: Command, toy: Path, tmp_path: Path
) -> None:
    path = toy / "queries.parquet"
    rows = [row | {"split": row["split"].replace("validation", "train")} for row in pq.read_table(path).to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(path)), path)
    printed = command(
        train.main, *TOY, "logger=none", "zero_shot=false", "trainer.limit_val_batches=0", "trainer.max_steps=2",
        "output=run",
    )  # fmt: skip
    assert "the last checkpoint, of step 2" in printed
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["queries"] == 12


def test_accumulated_batches_are_one_row_of_a_step(command: Command, toy: Path, tmp_path: Path) -> None:
    options = (
        *TOY,
        "logger=none",
        "test=false",
        "export=false",
        "trainer.max_epochs=1",
        "trainer.accumulate_grad_batches=4",
    )
    command(train.main, *options, "trainer.log_every_n_steps=1", "output=run")
    rows = [line.split(",") for line in (tmp_path / "run" / "metrics.csv").read_text().splitlines()]
    loss, figure = rows[0].index("train/loss"), rows[0].index("validation/mrr")
    assert [(row[0], bool(row[loss]), bool(row[figure])) for row in rows[1:]] == [
        ("0", False, True), ("1", True, False), ("2", True, False), ("3", True, False), ("3", False, True),
    ]  # fmt: skip


def test_good_enough_stops_training(command: Command, toy: Path, tmp_path: Path) -> None:
    command(
        train.main, *TOY, *UNMEASURED, "trainer.max_epochs=5", "callbacks.early_stopping.stopping_threshold=0.01", "output=run",
    )  # fmt: skip
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["global_step"] == 12


def test_prepare_reads_the_original_pickle_and_train_prepares_by_itself(command: Command, tmp_path: Path) -> None:
    rows = [
        (f"{trade} {place}", f"{trade} works at place {place}")
        for trade in ("сварщик", "nurse", "cook")
        for place in range(20)
    ]
    pd.DataFrame(rows, columns=["position", "description"]).to_pickle("train.pkl")
    printed = command(prepare.main, "data=pickle", "data.reader.path=train.pkl", "data.name=mine")
    assert "data/prepared/mine" in printed
    assert f"Prepare it again: {called('prepare')} data=pickle" in command(
        prepare.main, "data=pickle", "data.reader.path=train.pkl", "data.name=mine"
    )
    command(
        train.main, "data=pickle", "data.reader.path=train.pkl", "data.name=other", "model=tiny", "trainer.max_epochs=1",
        "datamodule.batch_size=8", "trainer.enable_progress_bar=false", "output=run",
    )  # fmt: skip
    assert (tmp_path / "data" / "prepared" / "other" / "corpus.parquet").exists()
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["queries"] == 6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("trainer.max_epoch=3",), "max_epoch"),
        (("model=tiny", "data=csv", "data.reader.path=absent.csv"), "absent.csv"),
        (("model=tiny", "data=csv", "data.reader.path=one.csv"), "'position'"),
        ((*TOY, "datamodule.batch_size=1000"), "datamodule.batch_size to 96 or less"),
        ((*TOY, "model.loss.margin=-0.1"), "model.loss.margin"),
        ((*TOY, "model.encoder.name_or_path=nobody/nothing"), "nobody/nothing"),
        ((*TOY, "datamodule.guide=nobody/nothing"), "nobody/nothing"),
        ((*TOY, "model.queue_negatives=true"), "model.queue_size"),
        ((*TOY, "+callbacks.x._target_=os.system"), "os.system"),
    ],
)
def test_bad_input_is_one_message_and_leaves_no_run(
    command: Command, toy: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    (tmp_path / "one.csv").write_text("title,text\na,b\n")
    printed = command(train.main, *arguments, "output=run")
    assert printed.startswith("exit 1")
    assert said in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_the_original_command_runs(command: Command, toy: Path, tmp_path: Path) -> None:
    few = ("trainer.limit_train_batches=2", "callbacks.last.every_n_train_steps=5", "callbacks.last.keep=99")
    command(train.main, "experiment=original", *TOY[:-1], *few, "output=run")
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["trained"]["mrr"] > 0
    # One after each of the ten epochs, and one each five steps.
    assert len(list((tmp_path / "run" / "checkpoints").glob("step-*.ckpt"))) == 12
    config = OmegaConf.load(tmp_path / "run" / "config.yaml")
    assert (config.datamodule.batch_size, config.model.loss.form) == (16, "hinge")


@pytest.mark.parametrize("late", [False, True], ids=["on a CPU", "as on a GPU"])
def test_a_nan_loss_stops_and_names_the_step_and_the_queries(
    command: Command, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """On a GPU it is read a step later, but before a checkpoint is written."""
    from hr_retrieval.objective.triplet import LossResult, TripletLoss

    if late:
        monkeypatch.setattr("hr_retrieval.train.reading._waits", lambda values: True)
        monkeypatch.setattr(torch.cuda, "Event", Mock)
    forward = TripletLoss.forward
    calls = iter(range(100))

    def poisoned(self: TripletLoss, *arguments: torch.Tensor) -> LossResult:
        result = forward(self, *arguments)
        return LossResult(result.loss * (float("nan") if next(calls) == 3 else 1), result.diagnostics)

    monkeypatch.setattr(TripletLoss, "forward", poisoned)
    # A mixed batch beside the plain one would be a second comparison in each step.
    options = ("model/mixing=none", "zero_shot=false", "callbacks.last.every_n_train_steps=1")
    printed = command(train.main, *TOY, *options, "output=run")
    assert printed.startswith("exit 1")
    assert "nan at step 3, with the queries q" in printed
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["global_step"] == 3


def test_a_run_without_a_logger_trains(command: Command, toy: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    command(train.main, *TOY, "logger=none", "trainer.max_epochs=1", f"output={output}")
    assert (output / "summary.json").exists()
    assert not (output / "tensorboard").exists()


def test_a_taken_output_folder_is_refused(command: Command, toy: Path, tmp_path: Path) -> None:
    os.mkdir("run")
    (tmp_path / "run" / "config.yaml").write_text("project: mine\n")
    printed = command(train.main, *TOY, "output=run")
    assert "holds a run" in printed
    assert (tmp_path / "run" / "config.yaml").read_text() == "project: mine\n"


def test_the_mpnet_command_runs_on_a_small_xlm_r_in_the_sentence_transformers_layout(
    command: Command, toy: Path, tmp_path: Path
) -> None:
    write_tiny(tmp_path / "small", architecture="xlm-roberta")
    printed = command(
        train.main, "model=mpnet", "model.encoder.name_or_path=small", "trainer.max_epochs=2", "data.folder=toy",
        "datamodule.batch_size=8", "trainer.enable_progress_bar=false", "model.mini_batch=4", "output=run",
    )  # fmt: skip
    assert "before training" in printed
    assert (tmp_path / "run" / "encoder" / "modules.json").exists()


def test_the_figures_of_a_seed_do_not_depend_on_the_loader_workers(command: Command, toy: Path, tmp_path: Path) -> None:
    options = (*TOY, *UNMEASURED, "trainer.max_epochs=1", "optimizer.lr=1e-3")
    command(train.main, *options, "output=a")
    command(train.main, *options, "output=b", "datamodule.workers=2")
    command(train.main, *options, "output=c", "seed=2")
    first, second, other = (weights(tmp_path / name) for name in "abc")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_the_default_trainer_makes_gradients_of_several_threads_equal(command: Command, toy: Path) -> None:
    """Without `trainer.deterministic` two threads add the gradients of gathered rows in any order."""
    torch.manual_seed(0)
    anchors, documents = (F.normalize(torch.randn(256, 384), dim=1).requires_grad_() for _ in range(2))
    relevance, mixing = torch.eye(256, dtype=torch.bool), AnchorMixing()
    deterministic, threads = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()

    def gradient() -> torch.Tensor:
        mixed = mixing(anchors, documents, relevance, ~relevance, torch.arange(256), 0).anchors
        return torch.autograd.grad((mixed @ documents.T).exp().sum(), documents)[0]

    try:
        command(train.main, *TOY, *UNMEASURED, "trainer.max_steps=1", "output=run")
        assert torch.are_deterministic_algorithms_enabled()
        torch.set_num_threads(2)
        expected = gradient()
        assert all(torch.equal(gradient(), expected) for _ in range(30))
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
