"""Which folder a run has: the one it goes on in, the one named, or a new one that no other run takes."""

import itertools
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from hr_retrieval.files import readable_write_errors
from hr_retrieval.processes import outside_place
from hr_retrieval.runs.place import check_new, check_run

# Characters of a part of a name.
_LONGEST = 40


def name_of(parts: Sequence[str]) -> str:
    """What a run is called by its encoder and data: the ends of their names, in letters that need no quotes."""
    ends = [re.sub(r"[^\w.+-]+", "-", Path(part).name)[:_LONGEST] for part in parts]
    return "_".join(end for end in ends if end)


def output_folder(asked: str | None, parent: str, parts: Sequence[str]) -> Path:
    """Where a verb writes: what was asked for, or a new folder named by the time and what it is about."""
    if asked is not None:
        return Path(asked)
    return Path(parent, f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{name_of(parts)}".rstrip("_"))


def run_folder(resume: str | None, output: str | None, project: str, name: str = "") -> Path:
    """The run directory, with links and `..` resolved; it stands when this returns.

    It is asked for before anything is written, so that a name that cannot be right leaves nothing
    behind.

    Raises:
        UserError: `resume` names no run, `output` names one, or the folder cannot be made.
    """
    if resume is not None:
        folder = Path(resume).resolve()
        check_run(folder)
        return folder
    if output is not None:
        folder = Path(output).resolve()
        # Of several processes the first one may have begun the run by now; it is the one that
        # looks.
        if outside_place() is None:
            check_new(folder)
        with readable_write_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder
    parent = Path("outputs", project).resolve()
    # The time comes first, so that names lie in the order of the runs.
    now = f"{datetime.now():%Y-%m-%d_%H-%M-%S}" + (f"_{name}" if name else "")
    with readable_write_errors(parent):
        parent.mkdir(parents=True, exist_ok=True)
        for number in itertools.count():
            folder = parent / (f"{now}_{number}" if number else now)
            try:
                folder.mkdir()
            except FileExistsError:
                # Another run began within the same second.
                continue
            return folder
    raise AssertionError("counting does not end")
