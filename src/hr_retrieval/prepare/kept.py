"""What was read, and what was resolved of it, as the files of a folder, and back."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from hr_retrieval.files import read_json, write_json
from hr_retrieval.prepare.disk_array import DiskArray, stored
from hr_retrieval.prepare.intake import Intake
from hr_retrieval.prepare.occurrences import Occurrences
from hr_retrieval.prepare.rejections import RejectedWriter
from hr_retrieval.prepare.resolution import Resolution, Side

_INTAKE, _RESOLUTION = "intake.json", "resolution.json"
_PLAIN = ("sources", "numbered", "rows", "skipped", "masked", "list_styles", "boilerplate")
_ARRAYS = ("clusters", "splits", "positives", "grades", "weights", "negatives")
_SIDE = ("places", "groups", "norms", "hashes")


def keep_intake(folder: Path, intake: Intake, rejected: RejectedWriter) -> None:
    """Write what its arrays, which lie in the folder, do not say."""
    plain = {name: getattr(intake, name) for name in _PLAIN}
    names = {"documents": intake.documents.file.stem, "queries": intake.queries.file.stem}
    counts = {"rejected": rejected.counts, "remedies": rejected.remedies}
    write_json(folder / _INTAKE, plain | names | counts)


def kept_intake(folder: Path) -> tuple[Intake, Counter[str], dict[str, str]]:
    """What `keep_intake` was given: the intake, and counts and remedies of the rejected rows."""
    said = read_json(folder / _INTAKE)
    documents, queries = (Occurrences.at(folder, said[side]) for side in ("documents", "queries"))
    plain = {name: said[name] for name in _PLAIN} | {name: Counter(said[name]) for name in ("skipped", "masked")}
    return Intake.at(folder, documents, queries, **plain), Counter(said["rejected"]), said["remedies"]


def keep_resolution(folder: Path, resolution: Resolution) -> None:
    """Write all of it."""
    arrays = {name: getattr(resolution, name) for name in _ARRAYS}
    for side in ("documents", "queries"):
        arrays |= {f"{side}.{name}": getattr(getattr(resolution, side), name) for name in _SIDE}
    arrays |= {f"dropped.{number}": rows for number, rows in enumerate(resolution.dropped.values())}
    for name, array in arrays.items():
        stored(folder / name, array)
    plain: dict[str, Any] = {name: getattr(resolution, name) for name in ("merged", "leaks", "repaired", "borders")}
    kinds = {name: array.dtype.str for name, array in arrays.items()}
    write_json(folder / _RESOLUTION, plain | {"dropped": list(resolution.dropped), "kinds": kinds})


def kept_resolution(folder: Path) -> Resolution:
    """What `keep_resolution` was given; the arrays stay on disk."""

    said = read_json(folder / _RESOLUTION)
    kinds = said.pop("kinds")

    def array(name: str) -> Any:
        return DiskArray(folder / name, np.dtype(kinds[name]).type).read()

    sides: dict[str, Any] = {
        side: Side(*(array(f"{side}.{name}") for name in _SIDE)) for side in ("documents", "queries")
    }
    dropped = {reason: array(f"dropped.{number}") for number, reason in enumerate(said.pop("dropped"))}
    return Resolution(**sides, **{name: array(name) for name in _ARRAYS}, dropped=dropped, **said)
