"""A comparison of runs as files: tables in Markdown and CSV, and a page with charts."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hr_retrieval.compare.comparison import Comparison
from hr_retrieval.compare.groups import Group
from hr_retrieval.compare.page import page
from hr_retrieval.compare.remarks import verdict
from hr_retrieval.compare.settings import shown_value, values_of
from hr_retrieval.files import whole_folder
from hr_retrieval.markdown import Rows, markdown_table, number
from hr_retrieval.retrieval.significance import Spread
from hr_retrieval.runs.figures import FinishedRun

if TYPE_CHECKING:
    import pandas as pd

# Settings, and values of each, that a title names.
_NAMED = 3


def write(comparison: Comparison, folder: Path) -> None:
    """Write `comparison.md`, `comparison.csv` and `comparison.html` to a new or empty folder, whole or not at all.

    Raises:
        UserError: the folder holds something, or cannot be written to.
    """
    with whole_folder(folder) as partial:
        (partial / "comparison.md").write_text(_document(comparison), encoding="utf-8")
        (partial / "comparison.csv").write_text(_csv(comparison), encoding="utf-8")
        (partial / "comparison.html").write_text(
            page(comparison, _title(comparison), _table(comparison), _run_table(comparison), folder), encoding="utf-8"
        )


def report(comparison: Comparison, folder: Path) -> None:
    """Print what is better, a table, what a reader must know, and where the files are."""
    rows = _short_table(comparison)
    # Names are not broken, and figures neither.
    width = sum(max(map(len, column)) + 3 for column in zip(*rows, strict=True)) + 1
    table = Table(*rows[0])
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows[1:]:
        table.add_row(*map(escape, row))
    print(_title(comparison))
    Console(width=max(80, width)).print(table)
    print(verdict(comparison.groups, comparison.base, comparison.metric))
    for remark in comparison.remarks:
        print(remark)
    for run in comparison.unfinished:
        print(f"Unfinished, not compared: {run}")
    for name in ("comparison.md", "comparison.csv", "comparison.html"):
        print(folder / name)


def _short_table(comparison: Comparison) -> Rows:
    """What a terminal has room for."""
    metric = comparison.metric
    header = ["group", "seeds", "validation", f"test {metric}", "before", "difference", "p (queries)", "p (seeds)"]
    rows = [(np.inf, header)]
    for group in comparison.groups:
        figure, before, measured = group.figures[metric], group.zero_shot.get(metric), group.validation.get(metric)
        chosen = " (chosen)" * (group is comparison.chosen)
        told = [str(figure.n), (str(measured) if measured else "-") + chosen, str(figure), number(before, ".4f")]
        rows.append((figure.mean, [group.name, *told, *_difference(group)]))
    for own in comparison.baselines:
        mean = own.figures.get(metric)
        rows.append((-np.inf if mean is None else mean, [own.name, "-", "-", number(mean, ".4f"), "-", "-", "-", "-"]))
    return [row for _, row in sorted(rows, key=lambda placed: -placed[0])]


def table_of_groups(comparison: Comparison) -> "pd.DataFrame":
    """What the terminal shows, for a notebook."""
    import pandas as pd

    header, *body = _short_table(comparison)
    return pd.DataFrame(body, columns=list(header)).set_index("group")


def markdown(comparison: Comparison) -> str:
    """The table of groups."""
    return markdown_table(_table(comparison))


def _title(comparison: Comparison) -> str:
    """What was compared, on what, by what."""
    runs = [run for group in comparison.groups for run in group.runs]
    named = [f"{key} ({_named_values(runs, key)})" for key in comparison.by[:_NAMED]]
    if len(comparison.by) > _NAMED:
        named.append(f"{len(comparison.by) - _NAMED} more")
    *first, last = named or [f"{len(runs)} runs"]
    compared = f"{', '.join(first)} and {last}" if first else last
    return f"{compared} on {comparison.data}, by test {comparison.metric}"


def _named_values(runs: Sequence[FinishedRun], key: str) -> str:
    values = values_of(runs, key)
    shown = [shown_value(key, value, values) for value in values]
    return ", ".join(shown if len(shown) <= _NAMED + 1 else [*shown[:_NAMED], f"{len(shown) - _NAMED} more"])


def _table(comparison: Comparison) -> Rows:
    header = [
        "group", "runs", "seeds", f"validation {comparison.metric}", *(f"{name} (zero-shot)" for name in comparison.metrics),
        "difference", "p (queries)", "p (seeds)", "seconds (training)",
    ]  # fmt: skip
    rows = [(np.inf, header)]
    for group in comparison.groups:
        figures = [_figure(group.figures[name], group.zero_shot.get(name)) for name in comparison.metrics]
        seeds, seconds = group.figures[comparison.metric].n, number(group.seconds, ".0f")
        measured = group.validation.get(comparison.metric)
        validation = (str(measured) if measured else "-") + " (chosen)" * (group is comparison.chosen)
        timed = f"{seconds} ({number(group.training_seconds, '.0f')})"
        row = [group.name, str(len(group.runs)), str(seeds), validation, *figures, *_difference(group), timed]
        rows.append((group.figures[comparison.metric].mean, row))
    for own in comparison.baselines:
        figures = [number(own.figures.get(name), ".4f") for name in comparison.metrics]
        row = [own.name, "-", "-", "-", *figures, "-", "-", "-", "-"]
        rows.append((own.figures.get(comparison.metric, -np.inf), row))
    return [row for _, row in sorted(rows, key=lambda placed: -placed[0])]


def _figure(figure: Spread, zero_shot: float | None) -> str:
    return f"{figure} ({number(zero_shot, '.4f')})"


def _difference(group: Group) -> list[str]:
    if group.difference is None:
        return ["-", "-", "-"]
    one = group.difference
    return [f"{one.mean:+.4f}", number(one.p_queries, ".4f"), number(one.p_seeds, ".4f")]


def _run_table(comparison: Comparison) -> Rows:
    rows = [["run", "group", "seed", "validation", "test", "zero-shot", "seconds"]]
    for group in comparison.groups:
        for run in group.runs:
            before = run.zero_shot[comparison.metric] if run.zero_shot else None
            figures = (run.validation.get(comparison.metric), run.trained[comparison.metric], before)
            shown = [*(number(figure, ".4f") for figure in figures), number(run.seconds, ".0f")]
            rows.append([str(run.folder), group.name, str(run.seed), *shown])
    return rows


def _document(comparison: Comparison) -> str:
    unfinished = [f"- {folder}" for folder in comparison.unfinished]
    parts = [
        f"# {_title(comparison)}",
        verdict(comparison.groups, comparison.base, comparison.metric),
        markdown(comparison),
        *comparison.remarks,
        f"## Runs, by {comparison.metric}",
        markdown_table(_run_table(comparison)),
        *(["## Unfinished runs, not compared", "\n".join(unfinished)] if unfinished else []),
    ]
    return "\n\n".join(parts) + "\n"


def _csv(comparison: Comparison) -> str:
    """One row for each group, then one for each baseline, in full precision; what is not there is empty."""
    file = io.StringIO()
    rows = [_csv_row(comparison, group) for group in comparison.groups]
    rows += [
        {"group": own.name, **{f"{name}_mean": own.figures.get(name) for name in comparison.metrics}}
        for own in comparison.baselines
    ]
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _csv_row(comparison: Comparison, group: Group) -> dict[str, Any]:
    row: dict[str, Any] = {"group": group.name, "runs": len(group.runs), "seeds": group.figures[comparison.metric].n}
    for name in comparison.metrics:
        figure = group.figures[name]
        row |= {f"{name}_mean": figure.mean, f"{name}_sd": figure.sd if figure.n > 1 else None}
        row[f"{name}_zero_shot"] = group.zero_shot.get(name)
    one, validation = group.difference, group.validation.get(comparison.metric)
    row |= {
        "validation_mean": validation and validation.mean,
        "validation_sd": validation.sd if validation and validation.n > 1 else None,
        "chosen": int(group is comparison.chosen),
        "difference": one and one.mean,
        "p_queries": one and one.p_queries,
        "p_seeds": one and one.p_seeds,
        "seconds": group.seconds,
        "training_seconds": group.training_seconds,
    }
    return row
