"""TensorBoard's names, steps and rows."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from hr_retrieval.train.board import Board, shown_scalars, trial_name
from hr_retrieval.train.projector import write_points


def events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder)).Reload()


def board(folder: Path) -> Board:
    return Board(folder, name="", version="", default_hp_metric=False)


def test_what_matters_comes_first_and_what_says_nothing_is_left_out() -> None:
    logged = {
        "epoch": 1.0, "validation/mrr": 0.5, "validation/esco/mrr": 0.4, "validation/recall@5": 0.6,
        "validation/document_to_query/mrr": 0.3, "validation/excluded": 0.0, "test/mrr": 0.7, "lr-Adam/pg1": 0.1, "lr-Adam/pg2": 0.1,
    }  # fmt: skip
    assert shown_scalars(logged) == {
        "Validation/mrr": 0.5,
        "Validation/esco/mrr": 0.4,
        "validation_further/recall@5": 0.6,
        "validation_further/document_to_query/mrr": 0.3,
        "train/learning_rate": 0.1,
    }


def test_steps_are_those_made_and_a_zero_is_shown_once_it_was_something(tmp_path: Path) -> None:
    logger = board(tmp_path)
    logger.log_metrics({"validation/mrr": 0.0, "guard/ignored": 0.0}, 0)
    logger.training = True
    for step, value in ((49, 0.0), (99, 0.2), (149, 0.0)):
        logger.log_metrics({"validation/mrr": 0.5, "guard/ignored": value}, step)
    logger.finalize("success")
    found = events(tmp_path)
    assert [event.step for event in found.Scalars("Validation/mrr")] == [0, 50, 100, 150]
    assert [event.step for event in found.Scalars("guard/ignored")] == [100, 150]


def test_a_row_of_the_table_of_runs_has_a_name(tmp_path: Path) -> None:
    logger = board(tmp_path)
    logger.log_trial({"lr": 0.1, "mixing": "none", "on": True, "list": [1]}, {"test/mrr": 0.5}, "мой запуск")
    logger.finalize("success")
    found = events(tmp_path)
    content = found.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    row = HParamsPluginData.FromString(content).session_start_info
    assert row.group_name == "мой запуск"
    assert (row.hparams["lr"].number_value, row.hparams["list"].string_value) == (0.1, "[1]")
    assert [event.value for event in found.Scalars("test/mrr")] == [0.5]


def test_a_row_is_called_by_what_was_set() -> None:
    now = datetime(2026, 1, 31, 12, 0, 5)
    name = trial_name("tiny", "esco", {"mixing": "anchor", "seed": 2, "model.loss.margin": 0.3}, now)
    assert name == "anchor seed=2 margin=0.3 tiny esco (31 Jan 12:00:05)"


@pytest.mark.parametrize("count", [1, 5])
def test_each_point_has_an_image_in_its_colour(tmp_path: Path, count: int) -> None:
    ranks = ["1", "10", "11", "", "1"][:count]
    write_points(
        tmp_path, "before training", np.zeros((count, 2), np.float32), [("t", "k", rank, "g") for rank in ranks]
    )
    file = tmp_path / "projector" / "before_training" / "sprites.png"
    assert file.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with Image.open(file) as image:
        pixels = np.asarray(image)
    assert pixels.shape[2] == 4
    across = pixels.shape[1] // 16
    middles = [tuple(pixels[n // across * 16 + 8, n % across * 16 + 8, :3].tolist()) for n in range(count)]
    green, orange, red, blue = (0, 158, 115), (230, 159, 0), (213, 94, 0), (86, 180, 233)
    assert middles == [green, orange, red, blue, green][:count]
    assert "sprites.png" in (tmp_path / "projector_config.pbtxt").read_text()
