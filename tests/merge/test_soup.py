"""Soups: means of weights as a naive mean has them, chosen on validation, exported with what they are made of."""

import json
import logging
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.merge import __main__ as merge
from hr_retrieval.merge.soup import BEFORE, Soup
from hr_retrieval.merge.soup import merge as merged
from hr_retrieval.runs.directory import weights_of
from hr_retrieval.train import __main__ as train
from tests.conftest import Command, close_log_files, write_toy_dataset

OPTIONS = (
    "model=tiny", "trainer.precision=32-true", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false",
    "datamodule.batch_size=8", "optimizer.lr=3e-3", "trainer.max_steps=4", "trainer.val_check_interval=2", "logger=none", "export=false",
    "zero_shot=false", "ranking/mixing=none",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs of three seeds and their data."""
    folder, handlers = tmp_path_factory.mktemp("trained"), logging.root.handlers[:]
    write_toy_dataset(folder / "toy")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for seed in (1, 2, 3):
            # Merging asks validation alone: one was not measured on test.
            options = (f"seed={seed}", f"test={seed != 2}".lower(), f"output=runs/{seed}")
            patch.setattr(sys, "argv", ["train", *OPTIONS, "data.folder=toy", *options])
            train.main()
            close_log_files(handlers)
    logging.root.handlers = handlers
    return folder


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> list[Path]:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return [tmp_path / "runs" / str(seed) for seed in (1, 2, 3)]


def soup(runs: list[Path], output: Path, **options: Any) -> tuple[Soup, dict[str, torch.Tensor]]:
    made = merged([str(run) for run in runs], output, **options)
    return made, Encoder(str(output)).state_dict()


def mean(runs: list[Path], *others: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    members = [*(weights_of(run / "checkpoints" / "best.ckpt") for run in runs), *others]
    return {name: torch.stack([one[name].double() for one in members]).mean(0).float() for name in members[0]}


def test_soups_are_means_of_what_validation_takes(command: Command, runs: list[Path], tmp_path: Path) -> None:
    made, weights = soup(runs, tmp_path / "uniform", method="uniform", before=False)
    for name, expected in mean(runs).items():
        torch.testing.assert_close(weights[name], expected)
    assert all(member.taken for member in made.members)
    assert [member.figure for member in made.members] == sorted((m.figure for m in made.members), reverse=True)

    made, weights = soup(runs, tmp_path / "with_it", method="uniform")
    start = Encoder("tiny", max_length=128).state_dict()
    for name, expected in mean(runs, start).items():
        torch.testing.assert_close(weights[name], expected)
    assert BEFORE in {member.name for member in made.members}

    made, weights = soup(runs, tmp_path / "greedy")
    taken = [member.name for member in made.members if member.taken]
    own = [start] if BEFORE in taken else []
    for name, expected in mean([Path(name) for name in taken if name != BEFORE], *own).items():
        torch.testing.assert_close(weights[name], expected)
    assert made.figure >= made.members[0].figure
    assert made.members[0].taken

    written = json.loads((tmp_path / "greedy" / "merge.json").read_text())
    assert (written["method"], written["metric"], len(written["members"])) == ("greedy", "mrr", 4)
    assert "## Merged" in (tmp_path / "greedy" / "README.md").read_text()
    # The figure of a run is that of the validation which its checkpoint was chosen by.
    best = torch.load(runs[0] / "checkpoints" / "best.ckpt", weights_only=True)
    (state,) = [one for key, one in best["callbacks"].items() if key.startswith("ModelCheckpoint")]
    (figure,) = [member.figure for member in made.members if member.name == str(runs[0].resolve())]
    assert figure == pytest.approx(float(state["best_model_score"]), abs=1e-6)

    printed = command(merge.main, "runs=runs/*", "output=printed", "metric=map")
    assert "validation map" in printed
    assert "in the place" not in printed


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("runs=runs/*", "method=best"), "method to be greedy or uniform"),
        (("runs=nothing/*",), "run directories with config.yaml"),
        (("runs=runs/*", "metric=mmr"), "metric to be one of mrr"),
        (("runs=[runs/*,other]",), "began with the same encoder"),
        (("runs=[runs/*,apart]",), "runs on the same data"),
    ],
)
def test_what_cannot_be_merged_is_one_error(
    command: Command, runs: list[Path], tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    if "other" in options[0]:
        command(train.main, *OPTIONS, "data.folder=toy", "model.encoder.max_length=24", "output=other")
    if "apart" in options[0]:
        write_toy_dataset(tmp_path / "small", 30)
        command(train.main, *OPTIONS, "data.folder=small", "output=apart")
    printed = command(merge.main, *options, "output=soup")
    assert printed.startswith("exit 1")
    assert said in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "soup").exists()
