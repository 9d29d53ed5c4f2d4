"""The runs under some folders, finished and not: a line for each."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from hr_retrieval.config.sources import listed
from hr_retrieval.encoder.languages import short_name
from hr_retrieval.errors import UserError
from hr_retrieval.files import read_json
from hr_retrieval.program import called, shell_word, shown_path
from hr_retrieval.retrieval import HEADLINE
from hr_retrieval.runs.figures import run_folders

_COLUMNS = ("run", "encoder", "data", f"{HEADLINE[0]} before", f"{HEADLINE[0]} after", "state")


def report(globs: Sequence[str]) -> None:
    """Print the table, the newest run last, and what goes on with those that have not ended.

    Raises:
        UserError: no run is there.
    """
    folders = sorted(run_folders(globs), key=lambda folder: (folder / "config.yaml").stat().st_mtime)
    if not folders:
        raise UserError(
            f"run directories with config.yaml under {', '.join(globs)}", "none", f"Train first: {called('train')}"
        )
    table = Table(*_COLUMNS, width=None)
    rows = [_row(folder) for folder in folders]
    for row in rows:
        table.add_row(*row)
    # Names are not broken: what is not shown whole cannot be pasted.
    Console(width=max(80, sum(max(map(len, column)) + 3 for column in zip(_COLUMNS, *rows, strict=True)) + 1)).print(
        table
    )
    waiting = [folder for folder in folders if not (folder / "summary.json").is_file()]
    for folder in waiting:
        print(f"Go on with it: {called('train')} resume={shell_word(shown_path(folder))}")


def _row(folder: Path) -> list[str]:
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")) or {}
    summary = read_json(folder / "summary.json") if (folder / "summary.json").is_file() else None
    part = "encoder" if _at(config, "model", "cross_encoder") == "-" else "cross_encoder"
    encoder = short_name(str(_at(config, "model", part, "name_or_path")))
    names = [Path(one).name for one in listed(_at(config, "datamodule", "folder"))]
    figures = [_figure((summary or {}).get(part)) for part in ("zero_shot", "trained")]
    return [shown_path(folder), encoder, ", ".join(names), *figures, _state(folder, summary)]


def _state(folder: Path, summary: Mapping[str, Any] | None) -> str:
    if summary is None:
        stamps = [path.stat().st_mtime for path in folder.rglob("*") if path.is_file()]
        return f"not finished, last written {datetime.fromtimestamp(max(stamps)):%Y-%m-%d %H:%M}"
    seconds = summary.get("seconds")
    return "finished" if seconds is None else f"finished in {seconds:.0f} s"


def _figure(figures: Mapping[str, float] | None) -> str:
    return f"{figures[HEADLINE[0]]:.4f}" if figures else "-"


def _at(node: Any, *keys: str) -> Any:
    for key in keys:
        node = node.get(key) if isinstance(node, dict) else None
    return "-" if node is None else node
