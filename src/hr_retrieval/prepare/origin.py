"""What a data set was made from: what `dataset.json` says of it, against what is there and asked for now."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hr_retrieval.data.tables import stamp
from hr_retrieval.errors import UserError
from hr_retrieval.files import sha256_of
from hr_retrieval.prepare.readers.reader import Reader, SourceFile, readable
from hr_retrieval.prepare.readers.remote_file import RemoteFile, is_url


def inputs_of(files: Sequence[SourceFile]) -> dict[str, Any]:
    """The files of a source as `dataset.json` records them."""
    # A file that changes while its content is hashed has another stamp afterwards.
    stamps = {str(file): _stamp(file) for file in files}
    return {"inputs": {str(file): _fingerprint(file, stamps[str(file)]) for file in files}, "input_stamps": stamps}


def check_unchanged(files: Sequence[SourceFile], info: Mapping[str, Any]) -> None:
    """Raise `UserError` if a file is not what it was before it was read, by its stamp."""
    for file in files:
        try:
            changed = "has changed" if _stamp(file) != info["input_stamps"][str(file)] else None
        except OSError:
            changed = "is gone"
        if changed:
            raise UserError(
                "a source that stays as it is while it is read",
                f"{file}, which {changed} meanwhile",
                "Prepare anew when nothing writes to it, or from a copy.",
            )


def changed_input(info: Mapping[str, Any], reader: Reader) -> str | None:
    """How the files of the source differ from those that were read; `None` if they do not, or if all are gone.

    Files that lie elsewhere now, as on another machine, are the same if they hold the same.
    """
    recorded, stamps = info["inputs"], info["input_stamps"]
    try:
        found = {str(path): path for path in reader.inputs()}
    except UserError:
        return None
    if found.keys() != recorded.keys() and sorted(
        _fingerprint(path, _stamp(path)) for path in found.values()
    ) == sorted(recorded.values()):
        return None
    for name in recorded:
        if name not in found:
            return f"{name} is gone"
    for name, path in found.items():
        if name not in recorded:
            return f"{name} is new"
        now = _stamp(path)
        if now != stamps[name] and _fingerprint(path, now) != recorded[name]:
            return f"{name} has changed since"
    return None


def same_source(info: Mapping[str, Any], options: Mapping[str, Any]) -> bool:
    """Whether a data set was prepared from what these options read: by the same kind of reader, in the same place."""
    recorded = info.get("options", {}).get("reader", {})
    return bool(recorded) and _place(recorded) == _place(options["reader"])


def name_of(folder: Path, info: Mapping[str, Any]) -> str:
    """The name of the data set in a folder."""
    return str(info.get("name", folder.name))


def _stamp(file: SourceFile) -> list[Any]:
    """As long as it stays, the content is taken to be the same."""
    if not isinstance(file, RemoteFile):
        return stamp(file)
    with readable(file, "a file"):
        return file.stamp()


def _fingerprint(file: SourceFile, stamp: list[Any]) -> str:
    """SHA-256 of the content; of a remote file, that of its stamp, so that it need not be read twice."""
    if not isinstance(file, RemoteFile):
        return sha256_of(file)
    return hashlib.sha256(json.dumps(stamp).encode()).hexdigest()


def _place(reader: Mapping[str, Any]) -> tuple[Any, ...]:
    """The kind of a reader and where it reads."""
    where = reader.get("path", reader.get("folder", reader.get("url")))
    several = where if isinstance(where, list) else [] if where is None else [where]
    return reader.get("class"), *(str(name) if is_url(name) else os.path.abspath(str(name)) for name in several)
