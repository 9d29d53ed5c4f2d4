"""The figures of finished runs as they lie on disk, beside the settings that they depend on."""

import csv
import glob
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from omegaconf import OmegaConf

from hr_retrieval.config.schema import leaves
from hr_retrieval.errors import UserError
from hr_retrieval.files import renamed
from hr_retrieval.program import shell_word, shown_path
from hr_retrieval.runs.directory import Run

# What the figures depend on beside the data: other values measure something else.
MEASURED_KEYS = ("test_corpus", "evaluation_queries", "identical_text")
_MEASURED_BY = tuple(f"datamodule.{key}" for key in MEASURED_KEYS)


@dataclass(frozen=True)
class FinishedRun:
    """One run with its figures.

    Attributes:
        folder: the run directory.
        settings: the leaves of its config by dotted key; the run's own folder in them reads
            `<run>`.
        seed: of the training.
        trained: test figures of the best checkpoint; empty, as `queries` and `documents` are 0, where
            the run was not measured on test.
        zero_shot: of the encoder before training, where it was measured.
        validation: validation figures of the best checkpoint; empty where none were taken down.
        seconds: from start to end; `None` for a resumed run.
        training_seconds: of the training alone, its validations included; `None` for a resumed run
            and one of an older version.
        data: fingerprint of the prepared data set.
        queries: how many test queries there are.
        documents: how many are ranked for each.
    """

    folder: Path
    settings: dict[str, Any]
    seed: int
    trained: dict[str, float]
    zero_shot: dict[str, float] | None
    validation: dict[str, float]
    seconds: float | None
    training_seconds: float | None
    data: str
    queries: int
    documents: int


def read_runs(globs: Sequence[str], tested: bool = True) -> tuple[list[FinishedRun], list[Path]]:
    """The finished runs under some globs, and the folders of unfinished ones.

    Args:
        tested: whether each must have been measured on test.

    Raises:
        UserError: no finished run is there, or one was not measured on test.
    """
    folders = run_folders(globs)
    unfinished = [folder for folder in folders if not (folder / "summary.json").is_file()]
    finished = [_finished(folder, tested) for folder in folders if folder not in unfinished]
    if not finished:
        got = f"{len(unfinished)} unfinished and no finished one" if unfinished else "none"
        raise UserError(
            f"run directories with config.yaml and summary.json under {', '.join(globs)}",
            got,
            "Name folders of finished runs, such as 'runs=multirun/**'; resume=<run directory> finishes one.",
        )
    return finished, unfinished


def run_folders(globs: Sequence[str]) -> list[Path]:
    """Folders with a config.yaml, sorted; what lies inside of a run (a logger's copy, say) is none."""
    found: list[Path] = []
    matches = {Path(match) for pattern in globs for match in glob.glob(pattern, recursive=True)}
    for folder in sorted(matches):
        inside = any(parent in found for parent in folder.parents)
        if not inside and (folder / "config.yaml").is_file():
            found.append(folder)
    return found


def _finished(folder: Path, tested: bool) -> FinishedRun:
    run = Run.open(folder)
    summary = run.summary()
    if tested and not summary.get("trained"):
        raise UserError(
            "runs with test figures", f"{folder} without any", "Train with test=true, or leave this run out of runs=."
        )
    if "data" not in summary:
        raise UserError(
            f"the data set's fingerprint ('data') in {folder / 'summary.json'}",
            "none",
            "Another version wrote this run: train anew, or leave it out of runs=.",
        )
    own = str(run.config.trainer.get("default_root_dir"))
    settings = renamed(leaves(OmegaConf.to_container(run.config, resolve=True)), own, "<run>")
    if run.parts:
        # Trained otherwise before: not the same as a run that had these settings from the
        # beginning.
        settings["parts"] = "; ".join(str(part) for part in run.parts)
    return FinishedRun(
        folder,
        settings,
        int(run.config.seed),
        summary["trained"] or {},
        summary["zero_shot"],
        _validation(folder / "metrics.csv", settings),
        summary["seconds"],
        # A run from before training was timed by itself has no such figure.
        summary.get("training_seconds"),
        summary["data"],
        summary.get("queries", 0),
        summary.get("documents", 0),
    )


def _validation(path: Path, settings: Mapping[str, Any]) -> dict[str, float]:
    """Figures of the validation by which the best checkpoint was chosen, which is the one measured on test."""
    monitor, lower = (
        settings.get("callbacks.best.monitor", "validation/mrr"),
        settings.get("callbacks.best.mode") == "min",
    )
    rows = [row for row in _rows(path) if row["step"] != "0" and row.get(monitor)]
    if not rows:
        return {}
    # The first of equal ones, as Lightning's checkpoint has it.
    best = max(rows, key=lambda row: float(row[monitor]) * (-1 if lower else 1))
    named = {name.removeprefix("validation/"): value for name, value in best.items() if name.startswith("validation/")}
    return {name: float(value) for name, value in named.items() if value}


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of a run's metrics.csv; none where it was left out."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def check_same_data(runs: Sequence[FinishedRun]) -> None:
    """Raise `UserError` unless all runs were measured on the same queries and documents."""
    first = runs[0]
    by_data: dict[str, list[FinishedRun]] = {}
    for run in runs:
        by_data.setdefault(run.data, []).append(run)
    if len(by_data) > 1:
        told = [f"{len(own)} of {_data_name(own[0])} (such as {shown_path(own[0].folder)})" for own in by_data.values()]
        most = max(by_data.values(), key=len)
        globs = shell_word(f"runs=[{','.join(shown_path(run.folder) for run in most)}]")
        raise UserError("runs on the same data", ", ".join(told), f"Name those of one data set: {globs}")
    for run in runs[1:]:
        for key in _MEASURED_BY:
            values = [one.settings.get(key) for one in (first, run)]
            if values[0] != values[1]:
                raise UserError(
                    f"runs with one {key}",
                    f"{values[0]} in {first.folder} and {values[1]} in {run.folder}",
                    "Figures over other documents or queries cannot be compared: narrow runs=.",
                )


def _data_name(run: FinishedRun) -> str:
    """What the run's data are called, and so much of their fingerprint as tells two of one name apart."""
    return f"{Path(str(run.settings.get('datamodule.folder'))).name} ({run.data[:8]})"


def common_metrics(runs: Sequence[FinishedRun]) -> list[str]:
    """Names of the figures that all runs have."""
    return [
        name for name in runs[0].trained if not name.endswith("excluded") and all(name in run.trained for run in runs)
    ]


def validation_curve(path: Path, metric: str) -> list[tuple[float, float]]:
    """The metric at each validation by epochs trained; those of one epoch are taken to be evenly spaced."""
    rows = [row for row in _rows(path) if row.get(f"validation/{metric}")]
    trained = [row for row in rows if row["step"] != "0"]
    in_epoch, seen = Counter(row["epoch"] for row in trained), Counter[str]()
    curve = [(0.0, float(row[f"validation/{metric}"])) for row in rows if row["step"] == "0"]
    for row in trained:
        seen[row["epoch"]] += 1
        epochs = int(row["epoch"]) - 1 + seen[row["epoch"]] / in_epoch[row["epoch"]]
        curve.append((epochs, float(row[f"validation/{metric}"])))
    return curve


def query_values(path: Path, metric: str) -> tuple[list[str], npt.NDArray[np.float64]] | None:
    """Ids and values of the queries of one `per_query*.parquet`; of several sources those of one
    (`<source>/<metric>`), or of all by their weights in the mean; `None` without the file or metric.
    """
    names = pq.read_schema(path).names if path.is_file() else []
    several = "weight" in names
    source, _, own = metric.rpartition("/") if several and metric not in names else ("", "", metric)
    if own not in names:
        return None
    table = pq.read_table(path, columns=["query_id", own, *(["weight"] if several else [])])
    ids, values = table["query_id"].to_pylist(), table[own].to_numpy()
    if not several:
        return ids, values
    if not source:
        return ids, values * table["weight"].to_numpy()
    kept = [place for place, one in enumerate(ids) if one.startswith(f"{source}/")]
    return ([ids[place] for place in kept], values[kept]) if kept else None
