"""Hard negatives in a run: in the batches they are for, the same for any workers, restart and number of processes."""

import os
import signal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import pytorch_lightning as pl
import torch

from hr_retrieval import train
from hr_retrieval.data.batch import Batch
from hr_retrieval.errors import UserError
from hr_retrieval.runs.checkpoints import load_checkpoint
from hr_retrieval.train.callbacks import MineNegatives, validation_follows
from hr_retrieval.train.module import RetrievalModule
from tests.conftest import Command

MINING = (
    "model=tiny", "data.folder=toy", "trainer.precision=32-true", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false",
    "datamodule.batch_size=8", "optimizer.lr=1e-3", "scheduler=constant", "trainer.max_epochs=3", "trainer.limit_train_batches=4", "logger=none",
    "trainer.log_every_n_steps=1", "callbacks.last.every_n_train_steps=1", "datamodule.negatives_per_anchor=0", "callbacks=mining",
    "callbacks.mine_negatives.positive_share=null", "zero_shot=false", "test=false", "export=false",
)  # fmt: skip
ONE = (*MINING, "datamodule.mined_per_anchor=1")


@pytest.fixture(autouse=True)
def toy(toy_dataset: Path) -> Path:
    return toy_dataset


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, list[int], list[int]]]:
    """Epoch, query rows and document rows of every batch that was trained on."""
    original, seen = RetrievalModule.training_step, []

    def step(self: RetrievalModule, batch: Batch, batch_index: int) -> torch.Tensor:
        seen.append((self.current_epoch, batch.query_rows.tolist(), batch.document_rows.tolist()))
        return original(self, batch, batch_index)

    monkeypatch.setattr(RetrievalModule, "training_step", step)
    return seen


def checkpoint(run: Path) -> dict[str, Any]:
    return load_checkpoint(run / "checkpoints" / "last.ckpt")


def assert_equal_runs(run: Path, whole: Path) -> None:
    found, expected = checkpoint(run), checkpoint(whole)
    assert found["global_step"] == expected["global_step"]
    assert all(torch.equal(found["state_dict"][name], value) for name, value in expected["state_dict"].items())
    assert found["RetrievalDataModule"] == expected["RetrievalDataModule"]
    assert (run / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    (last,) = sorted((whole / "negatives").iterdir())[-1:]
    assert pq.read_table(run / "negatives" / last.name).equals(pq.read_table(last))


def mined_pairs(path: Path) -> set[tuple[int, int]]:
    table = pq.read_table(path)
    return set(zip(table.column("query_row").to_pylist(), table.column("document_row").to_pylist(), strict=True))


def test_every_batch_has_negatives_of_its_own_epoch_for_any_number_of_workers(
    command: Command, tmp_path: Path, trained: list[tuple[int, list[int], list[int]]]
) -> None:
    """From the first batch of the epoch on, also where workers fetch ahead."""
    options = (*ONE, "callbacks.mine_negatives.per_query=2", "callbacks.mine_negatives.depth=30")
    command(train.main, *options, "output=alone")
    command(train.main, *options, "output=workers", "datamodule.workers=2")
    assert_equal_runs(tmp_path / "workers", tmp_path / "alone")
    assert trained[:12] == trained[12:]
    assert len(trained) == 24
    pairs = [mined_pairs(tmp_path / "alone" / "negatives" / f"epoch-{epoch:04d}.parquet") for epoch in (1, 2, 3)]
    assert pairs[0] != pairs[1]
    assert pairs[1] != pairs[2]
    for epoch, queries, documents in trained:
        extra = documents[len(queries) :]
        assert extra
        assert all(any((query, document) in pairs[epoch] for query in queries) for document in extra)
        assert all(any((query, document) in pairs[epoch] for document in documents) for query in queries)


def test_a_resumed_run_ends_as_one_never_stopped(command: Command, tmp_path: Path) -> None:
    """Within the first epoch, at its end, within the second one and at its end; mined in the first and the third."""
    options = (*ONE, "callbacks.mine_negatives.every_n_epochs=2")
    command(train.main, *options, "output=whole")
    for steps in (2, 4, 6, 8):
        command(train.main, *options, f"trainer.max_steps={steps}", f"output=cut{steps}")
        cut = tmp_path / f"cut{steps}"
        assert checkpoint(cut)["global_step"] == steps
        assert "Run directory" in command(train.main, f"resume=cut{steps}", "trainer.max_steps=-1")
        assert checkpoint(cut)["global_step"] == 12
        assert_equal_runs(cut, tmp_path / "whole")


def test_a_run_killed_while_mining_leaves_no_half_file_and_can_go_on(command: Command, tmp_path: Path) -> None:
    name = "epoch-0002.parquet"
    command(train.main, *ONE, "output=whole")
    child = os.fork()
    if child == 0:
        original = pq.write_table

        def die(table: Any, path: Path, **options: Any) -> None:
            original(table, path, **options)
            if name in str(path):
                os.truncate(path, path.stat().st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)

        pq.write_table = die
        command(train.main, *ONE, "output=run")
        os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert not (tmp_path / "run" / "negatives" / name).exists()
    assert list((tmp_path / "run" / "negatives").glob(".*.partial"))
    assert "Run directory" in command(train.main, "resume=run")
    assert_equal_runs(tmp_path / "run", tmp_path / "whole")
    folder = tmp_path / "run" / "negatives"
    assert not list(folder.glob(".*"))
    # Now it has ended: resumed again, it mines nothing.
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert "Run directory" in command(train.main, "resume=run")
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_files_stay_while_a_checkpoint_may_need_them(command: Command, tmp_path: Path) -> None:
    """Mined in each of six epochs of four steps; checkpoints at steps 12 (a validation), 14, and 24 (a validation)."""
    command(
        train.main, *ONE, "trainer.max_epochs=6", "trainer.check_val_every_n_epoch=3", "callbacks.last.every_n_train_steps=14",
        "output=run",
    )  # fmt: skip
    kept = {path.name for path in (tmp_path / "run" / "negatives").iterdir()}
    checkpoints = [path for path in (tmp_path / "run" / "checkpoints").iterdir() if path.name.startswith("step")]
    named = {load_checkpoint(path)["RetrievalDataModule"]["negatives"] for path in checkpoints}
    assert named == {"epoch-0004.parquet", "epoch-0006.parquet"}
    assert kept == {f"epoch-000{epoch}.parquet" for epoch in (3, 4, 5, 6)}


def test_a_run_that_early_stopping_ended_does_not_mine_when_resumed(command: Command, tmp_path: Path) -> None:
    """Unless it trains on."""
    stop = ("callbacks.early_stopping.patience=1", "callbacks.early_stopping.min_delta=1")
    command(train.main, *ONE, *stop, "trainer.max_epochs=4", "output=run")
    negatives = tmp_path / "run" / "negatives"
    before = [(path.name, path.stat().st_mtime_ns) for path in sorted(negatives.iterdir())]
    assert [name for name, _ in before] == ["epoch-0001.parquet", "epoch-0002.parquet"]
    command(train.main, "resume=run")
    assert [(path.name, path.stat().st_mtime_ns) for path in sorted(negatives.iterdir())] == before
    command(train.main, "resume=run", "trainer.max_epochs=5")
    assert (negatives / "epoch-0003.parquet").exists()


def test_mining_may_begin_later_and_be_rare(
    command: Command, tmp_path: Path, trained: list[tuple[int, list[int], list[int]]]
) -> None:
    command(train.main, *ONE, "output=run", "trainer.max_epochs=4", "callbacks.mine_negatives.start_epoch=1",
            "callbacks.mine_negatives.every_n_epochs=2")  # fmt: skip
    assert {epoch for epoch, queries, documents in trained if len(documents) > len(queries)} == {1, 2, 3}
    assert {path.name for path in (tmp_path / "run" / "negatives").iterdir()} == {
        "epoch-0002.parquet",
        "epoch-0004.parquet",
    }
    header, *rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert {"mining/kept_per_query", "mining/relevant_dropped", "mining/too_close_dropped"} <= set(header.split(","))
    assert rows[1].split(",")[header.split(",").index("mining/kept_per_query")] == ""
    assert rows[-2].split(",")[header.split(",").index("mining/kept_per_query")] == "8.0"


def test_without_mining_nothing_of_it_is_there(command: Command, tmp_path: Path) -> None:
    options = [option for option in MINING if "mine_negatives" not in option and option != "callbacks=mining"]
    command(train.main, *options, "output=run")
    assert not (tmp_path / "run" / "negatives").exists()
    assert "mining/" not in (tmp_path / "run" / "metrics.csv").read_text()
    assert "negatives" not in checkpoint(tmp_path / "run")["RetrievalDataModule"]


@pytest.mark.parametrize(
    "arguments",
    [
        MINING,
        (*MINING, "callbacks=default", "~callbacks.mine_negatives", "datamodule.mined_per_anchor=1"),
        (*MINING, "datamodule.mined_per_anchor=9"),
    ],
    ids=["mined for nothing", "nothing mined", "more than are kept"],
)
def test_mining_and_drawing_go_together(command: Command, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    if "callbacks=default" in arguments:
        arguments = tuple(
            argument for argument in arguments if "mine_negatives" not in argument and "=mining" not in argument
        )
    printed = command(train.main, *arguments, "output=run")
    assert printed.startswith("exit 1")
    assert "callbacks=mining datamodule.mined_per_anchor=1" in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_epochs_out_of_range_are_refused() -> None:
    for options in ({"every_n_epochs": 0}, {"start_epoch": -1}):
        with pytest.raises(UserError, match=next(iter(options))):
            MineNegatives("negatives", **options)


class Counted(pl.LightningModule):
    """The least that Lightning trains; takes down what was expected of each batch and what came."""

    def __init__(self, stop_at: int | None) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.stop_at = stop_at
        self.expected: list[bool] = []
        self.came: list[bool] = []

    def training_step(self, batch: torch.Tensor, batch_index: int) -> torch.Tensor:
        return self.layer(batch).sum()

    def validation_step(self, batch: torch.Tensor, batch_index: int) -> None:
        pass

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_index: int) -> None:
        self.trainer.should_stop |= self.global_step == self.stop_at
        self.expected.append(validation_follows(self.trainer, batch_index))
        self.came.append(False)

    def on_validation_start(self) -> None:
        self.came[-1] = True

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize(
    ("options", "stop_at"),
    [
        ({}, None),
        ({"val_check_interval": 0.4}, None),
        ({"val_check_interval": 5, "check_val_every_n_epoch": None}, None),
        ({"check_val_every_n_epoch": 2}, None),
        ({"limit_val_batches": 0}, None),
        ({"limit_train_batches": 3, "accumulate_grad_batches": 2}, None),
        ({"max_steps": 10}, None),
        ({}, 5),
        ({"min_epochs": 2}, 5),
        ({"min_steps": 9}, 5),
    ],
)
def test_it_is_known_beforehand_whether_lightning_validates(options: dict[str, Any], stop_at: int | None) -> None:
    module = Counted(stop_at)
    loader = torch.utils.data.DataLoader(torch.ones(7, 1))
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, max_epochs=3, **options,
    )  # fmt: skip
    trainer.fit(module, loader, loader)
    assert module.expected == module.came
    assert any(module.came) == (options.get("limit_val_batches") != 0)
