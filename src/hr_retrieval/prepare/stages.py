"""What is finished of a preparation, kept beside its folder, so that a run after a kill goes on from there."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from types import TracebackType
from typing import Any

import hr_retrieval
from hr_retrieval.errors import UserError
from hr_retrieval.files import whole_folder

log = logging.getLogger(__name__)


class Stages:
    """The stages of one preparation, by what its result follows from; what another one has left goes.

    A stage is a folder of files that nobody changes: they are linked and not copied, so that two
    runs at once, or one that has finished and removes them, take nothing from each other. They go
    when the whole stands, and when the input is at fault; a run that was stopped leaves them.

    Args:
        folder: the prepared data set.
        key: options, seed and fingerprints of the inputs; `None` for a source without these, of
            which nothing is kept. The program belongs to it: what an older one has masked is not taken.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any] | None) -> None:
        self._all = f".{folder.name}.stage-"
        self._parent, self._name = folder.parent, None
        if key is not None:
            digest = hashlib.sha256(json.dumps([program(), key], sort_keys=True).encode()).hexdigest()
            self._name = f"{self._all}{digest[:16]}-"

    def __enter__(self) -> "Stages":
        self._remove(lambda name: self._name is None or not name.startswith(self._name))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, UserError):
            self._remove(lambda name: True)

    def fill(self, stage: str, folder: Path, make: Callable[[], None]) -> None:
        """Let the new `folder` hold the files of a stage: as they were kept, or as `make` writes them there."""
        kept = None if self._name is None else self._parent / f"{self._name}{stage}"
        folder.mkdir()
        if kept is not None and _linked(kept, folder):
            log.info("%s is done: it is as a run that was stopped has left it", stage)
            return
        make()
        if kept is not None:
            with whole_folder(kept, replace=True, first_stands=True) as partial:
                _linked(folder, partial)

    def drop(self, beginning: str) -> None:
        """Let go of the stages whose names begin so: a later one holds what they made."""
        self._remove(lambda name: self._name is not None and name.startswith(f"{self._name}{beginning}"))

    def _remove(self, chosen: Callable[[str], bool]) -> None:
        for path in self._parent.glob(f"{self._all}*"):
            if chosen(path.name):
                shutil.rmtree(path, ignore_errors=True)


@cache
def program() -> list[str]:
    """What stages depend on beside options, seed and inputs: a digest of the code, and all that is installed."""
    code = hashlib.sha256()
    for file in sorted(Path(hr_retrieval.__file__).parent.rglob("*.py")):
        code.update(file.read_bytes())
    return [code.hexdigest(), *sorted({f"{found.name} {found.version}" for found in distributions()})]


def _linked(source: Path, target: Path) -> bool:
    """Whether all files of a folder are in the other now; another run may have removed it meanwhile."""
    try:
        for file in source.iterdir():
            try:
                os.link(file, target / file.name)
            except PermissionError:
                # A file system without links.
                shutil.copy(file, target)
    except FileNotFoundError:
        for file in target.iterdir():
            file.unlink()
        return False
    return True
