"""Damaged or hostile checkpoints are named, never loaded."""

import os
from pathlib import Path

import pytest
import torch

from hr_retrieval.errors import UserError
from hr_retrieval.runs.checkpoints import (
    checkpoint_problem,
    load_checkpoint,
    newest_checkpoint,
    progress,
)
from hr_retrieval.train.checkpoint_io import CheckedCheckpointIO


def save(path: Path, value: float = 1.0) -> Path:
    content = {"state_dict": {"w": torch.full((100,), value)}, "step": 3, "global_step": 7, "optimizer_states": []}
    CheckedCheckpointIO().save_checkpoint(content, path)
    return path


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = save(tmp_path / "a.ckpt")
    content = CheckedCheckpointIO().load_checkpoint(path)
    assert content["step"] == 3
    assert content["state_dict"]["w"].eq(1).all()
    assert os.listdir(tmp_path) == ["a.ckpt"]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.99])
def test_a_file_cut_short_is_named_with_the_intact_ones_beside_it(tmp_path: Path, share: float) -> None:
    path, other = save(tmp_path / "a.ckpt"), save(tmp_path / "b.ckpt")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match=r"a\.ckpt.*cut short(.|\n)*b\.ckpt"):
        load_checkpoint(path)
    os.utime(other, (1, 1))
    assert newest_checkpoint(tmp_path) == (other, 7)


def test_every_flipped_byte_of_a_tensor_is_noticed(tmp_path: Path) -> None:
    path = save(tmp_path / "a.ckpt")
    content = bytearray(path.read_bytes())
    begin = content.index(torch.ones(100).numpy().tobytes())
    for position in range(begin, begin + 400, 37):
        damaged = bytearray(content)
        damaged[position] ^= 4
        path.write_bytes(damaged)
        assert checkpoint_problem(path) is not None


def test_all_damaged_is_an_error_and_none_is_none(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None
    (tmp_path / "a.ckpt").write_bytes(b"no archive")
    with pytest.raises(UserError, match="1 damaged"):
        newest_checkpoint(tmp_path)


def test_weights_alone_are_nothing_to_go_on_from(tmp_path: Path) -> None:
    CheckedCheckpointIO().save_checkpoint({"state_dict": {}, "global_step": 9}, tmp_path / "best.ckpt")
    assert newest_checkpoint(tmp_path) is None
    assert progress(tmp_path / "best.ckpt") == (9, False)
    whole = save(tmp_path / "step.ckpt")
    os.utime(whole, (1, 1))
    assert newest_checkpoint(tmp_path) == (whole, 7)


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("bomb-went-off",)


def test_a_pickle_bomb_is_refused_and_does_not_go_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Bomb()}, tmp_path / "bomb.ckpt")
    with pytest.raises(UserError, match="tensors and plain values"):
        load_checkpoint(tmp_path / "bomb.ckpt")
    assert not (tmp_path / "bomb-went-off").exists()
