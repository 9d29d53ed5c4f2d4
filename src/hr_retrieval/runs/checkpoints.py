"""Checkpoints that are whole, checked and free of pickled code."""

import logging
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from hr_retrieval.errors import UserError, said

log = logging.getLogger(__name__)


def load_checkpoint(path: Path, map_location: Any = "cpu", mmap: bool = False) -> dict[str, Any]:
    """Read an intact checkpoint that holds tensors and plain values only.

    Args:
        mmap: whether tensors stay in the file until they are used: of three parts of a checkpoint two
            are the optimizer's.

    Raises:
        UserError: the file is missing, cut short or changed, or holds more than tensors and plain
            values.
    """
    problem = checkpoint_problem(path)
    if problem is not None:
        raise UserError(f"an intact checkpoint at {path}", problem, _other_checkpoints(path))
    return _read(path, map_location, mmap)


def progress(path: Path) -> tuple[int, bool]:
    """Optimizer steps behind an intact checkpoint, and whether a training can go on from it; no tensor is read.

    From weights alone none can.
    """
    content = _read(path, "cpu", mmap=True)
    return int(content["global_step"]), "optimizer_states" in content


def _read(path: Path, map_location: Any, mmap: bool = False) -> dict[str, Any]:
    try:
        content: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True, mmap=mmap)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise UserError(
            f"tensors and plain values in {path}",
            said(error),
            "Load only checkpoints that this project wrote.",
        ) from None
    return content


def checkpoint_problem(path: Path) -> str | None:
    """What is wrong with a checkpoint file, or `None` if it is intact.

    A torch checkpoint is a zip archive: each record carries its CRC-32, so that no second file is
    needed, which a kill between two writes could leave behind out of step.
    """
    if not path.exists():
        return "no such file"
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError) as error:
        return f"a file that was cut short or changed ({error})"
    return None if damaged is None else f"a file that was changed: the checksum of its record {damaged} differs"


def newest_checkpoint(folder: Path) -> tuple[Path, int] | None:
    """The intact checkpoint written last that a training can go on from, and the steps behind it.

    Damaged ones are named in the log; those with weights alone are passed over.

    Returns:
        `None` where there is none.

    Raises:
        UserError: there are checkpoints, and all of them are damaged.
    """
    # A link to a checkpoint adds nothing, and a killed run can leave one that leads nowhere.
    files = [path for path in folder.glob("*.ckpt") if not path.is_symlink()]
    found = sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True)
    damaged = []
    for path in found:
        problem = checkpoint_problem(path)
        if problem is None:
            steps, whole = progress(path)
            if whole:
                return path, steps
        else:
            damaged.append(path.name)
            log.warning("%s is left out: %s", path, problem)
    if damaged and len(damaged) == len(found):
        raise UserError(
            f"an intact checkpoint in {folder}",
            f"{len(found)} damaged: {', '.join(damaged)}",
            "Restore one from a copy, or start the run anew.",
        )
    return None


def _other_checkpoints(path: Path) -> str:
    intact = [
        str(other)
        for other in sorted(path.parent.glob("*.ckpt"))
        if other != path and checkpoint_problem(other) is None
    ]
    return (
        f"Intact checkpoints beside it: {', '.join(intact)}." if intact else "No other intact checkpoint is beside it."
    )
