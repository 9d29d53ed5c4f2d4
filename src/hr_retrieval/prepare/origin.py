"""What a data set was made from: what `dataset.json` says of it, against what is there and asked for now."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hr_retrieval.data.tables import stamp
from hr_retrieval.errors import UserError
from hr_retrieval.files import sha256_of
from hr_retrieval.prepare.readers.reader import Reader


def inputs_of(paths: Sequence[Path]) -> dict[str, Any]:
    """The files of a source as `dataset.json` records them."""
    return {
        "inputs": {str(path): sha256_of(path) for path in paths},
        "input_stamps": {str(path): stamp(path) for path in paths},
    }


def changed_input(info: Mapping[str, Any], reader: Reader) -> str | None:
    """How the files of the source differ from those that were read; `None` if they do not, or if all are gone.

    Files that lie elsewhere now, as on another machine, are the same if they hold the same.
    """
    recorded, stamps = info["inputs"], info["input_stamps"]
    try:
        found = {str(path): path for path in reader.inputs()}
    except UserError:
        return None
    if found.keys() != recorded.keys() and sorted(map(sha256_of, found.values())) == sorted(recorded.values()):
        return None
    for name in recorded:
        if name not in found:
            return f"{name} is gone"
    for name, path in found.items():
        if name not in recorded:
            return f"{name} is new"
        if stamp(path) != stamps[name] and sha256_of(path) != recorded[name]:
            return f"{name} has changed since"
    return None


def same_source(info: Mapping[str, Any], options: Mapping[str, Any]) -> bool:
    """Whether a data set was prepared from what these options read: by the same kind of reader, in the same place."""
    recorded = info.get("options", {}).get("reader", {})
    return bool(recorded) and _place(recorded) == _place(options["reader"])


def name_of(folder: Path, info: Mapping[str, Any]) -> str:
    """The name of the data set in a folder."""
    return str(info.get("name", folder.name))


def _place(reader: Mapping[str, Any]) -> tuple[Any, ...]:
    """The kind of a reader and where it reads."""
    where = reader.get("path", reader.get("folder", reader.get("url")))
    several = where if isinstance(where, list) else [] if where is None else [where]
    return reader.get("class"), *(os.path.abspath(str(name)) for name in several)
