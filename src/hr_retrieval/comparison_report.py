"""A comparison of runs as files: tables in Markdown and CSV, and a page with charts."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from hr_retrieval.chart import Axis, Series, Svg, chart, parallel
from hr_retrieval.comparison import Comparison, Group, shown_number
from hr_retrieval.files import whole_folder
from hr_retrieval.finished import FinishedRun, validation_curve
from hr_retrieval.page import Rows, html_table, markdown_table, page, side_by_side
from hr_retrieval.retrieval.significance import Spread
from hr_retrieval.varying import shown_value, value_of, values_of

# Numbers of a key above which a chart gives them a scale, and how far apart they lie where it is one of their logarithms.
_PLACES, _LOG_FROM = 8, 20.0


def write(comparison: Comparison, folder: Path) -> None:
    """Write `comparison.md`, `comparison.csv` and `comparison.html` to a new or empty folder, whole or not at all.

    Raises:
        UserError: the folder holds something, or cannot be written to.
    """
    with whole_folder(folder) as partial:
        (partial / "comparison.md").write_text(_document(comparison), encoding="utf-8")
        (partial / "comparison.csv").write_text(_csv(comparison), encoding="utf-8")
        (partial / "comparison.html").write_text(_page(comparison), encoding="utf-8")


def report(comparison: Comparison, folder: Path) -> None:
    """Print the table, what a reader must know, and where the files are."""
    print(markdown(comparison))
    for remark in comparison.remarks:
        print(remark)
    for run in comparison.unfinished:
        print(f"Unfinished, not compared: {run}")
    for name in ("comparison.md", "comparison.csv", "comparison.html"):
        print(folder / name)


def markdown(comparison: Comparison) -> str:
    """The table of groups."""
    return markdown_table(_table(comparison))


def _table(comparison: Comparison) -> Rows:
    header = [
        "group", "runs", "seeds", f"validation {comparison.metric}", *(f"{name} (zero-shot)" for name in comparison.metrics),
        "difference", "p (queries)", "p (seeds)", "seconds (training)",
    ]  # fmt: skip
    rows = [(np.inf, header)]
    for group in comparison.groups:
        figures = [_figure(group.figures[name], group.zero_shot.get(name)) for name in comparison.metrics]
        seeds, seconds = group.figures[comparison.metric].n, shown_number(group.seconds, ".0f")
        validation = _spread(group.validation.get(comparison.metric)) + " (chosen)" * (group is comparison.chosen)
        timed = f"{seconds} ({shown_number(group.training_seconds, '.0f')})"
        row = [group.name, str(len(group.runs)), str(seeds), validation, *figures, *_difference(group), timed]
        rows.append((group.figures[comparison.metric].mean, row))
    for own in comparison.baselines:
        figures = [shown_number(own.figures.get(name), ".4f") for name in comparison.metrics]
        row = [own.name, "-", "-", "-", *figures, "-", "-", "-", "-"]
        rows.append((own.figures.get(comparison.metric, -np.inf), row))
    return [row for _, row in sorted(rows, key=lambda placed: -placed[0])]


def _figure(figure: Spread, zero_shot: float | None) -> str:
    return f"{_spread(figure)} ({shown_number(zero_shot, '.4f')})"


def _spread(figure: Spread | None) -> str:
    if figure is None:
        return "-"
    return f"{figure.mean:.4f}" + (f" ± {figure.sd:.4f}" if figure.n > 1 else "")


def _difference(group: Group) -> list[str]:
    if group.difference is None:
        return ["-", "-", "-"]
    one = group.difference
    return [f"{one.mean:+.4f}", shown_number(one.p_queries, ".4f"), shown_number(one.p_seeds, ".4f")]


def _run_table(comparison: Comparison) -> Rows:
    rows = [["run", "group", "seed", "validation", "test", "zero-shot", "seconds"]]
    for group in comparison.groups:
        for run in group.runs:
            before = run.zero_shot[comparison.metric] if run.zero_shot else None
            figures = (run.validation.get(comparison.metric), run.trained[comparison.metric], before)
            shown = [*(shown_number(figure, ".4f") for figure in figures), shown_number(run.seconds, ".0f")]
            rows.append([str(run.folder), group.name, str(run.seed), *shown])
    return rows


def _document(comparison: Comparison) -> str:
    unfinished = [f"- {folder}" for folder in comparison.unfinished]
    parts = [
        f"# {len(comparison.groups)} groups by {comparison.metric}",
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


def _page(comparison: Comparison) -> str:
    parts = [
        f"<h1>{len(comparison.groups)} groups by {escape(comparison.metric)}</h1>",
        html_table(_table(comparison)),
        *(f"<p>{escape(remark)}</p>" for remark in comparison.remarks),
        side_by_side(charts(comparison)),
        f"<h2>Runs, by {escape(comparison.metric)}</h2>",
        html_table(_run_table(comparison)),
    ]
    if comparison.unfinished:
        items = "".join(f"<li>{escape(str(folder))}</li>" for folder in comparison.unfinished)
        parts.append(f"<h2>Unfinished runs, not compared</h2><ul>{items}</ul>")
    return page("Comparison of runs", parts)


def charts(comparison: Comparison) -> list[Svg]:
    """Validation of each run by epoch, test figures by each key that varies, by several keys at once, and by seconds."""
    metric, runs = comparison.metric, [run for group in comparison.groups for run in group.runs]
    curves = [
        Series(group.name, validation_curve(run.folder / "metrics.csv", metric))
        for group in comparison.groups
        for run in group.runs
    ]
    timed = [
        Series(group.name, [(run.seconds, run.trained[metric]) for run in group.runs if run.seconds is not None])
        for group in comparison.groups
    ]
    settings = {key: _Setting.of(runs, key) for key in comparison.varying}
    return [
        chart(f"Validation {metric} of each run by epoch (0: before training)", "epoch", curves, joined=True),
        *(_by_setting(setting, runs, metric) for setting in settings.values()),
        *_all_settings(list(settings.values()), runs, metric),
        chart(f"Test {metric} of each run by its seconds", "seconds", timed),
    ]


@dataclass(frozen=True)
class _Setting:
    """A key that varies, with the place of each run along its axis."""

    axis: Axis
    places: dict[Path, float]

    @classmethod
    def of(cls, runs: Sequence[FinishedRun], key: str) -> "_Setting":
        values = values_of(runs, key)
        numbers = [value[0][1] for value in values if len(value) == 1 and isinstance(value[0][1], int | float)]
        if len(numbers) == len(values) > _PLACES:
            log = numbers[0] > 0 and numbers[-1] / numbers[0] >= _LOG_FROM
            return cls(Axis(key, None, log), {run.folder: float(run.settings[key]) for run in runs})
        shown = [shown_value(value, values) for value in values]
        return cls(Axis(key, shown), {run.folder: float(values.index(value_of(run, key))) for run in runs})


def _by_setting(setting: _Setting, runs: Sequence[FinishedRun], metric: str) -> Svg:
    axis, points = setting.axis, [(setting.places[run.folder], run.trained[metric]) for run in runs]
    places = dict.fromkeys(sorted(place for place, _ in points))
    means = [(place, float(np.mean([figure for at, figure in points if at == place]))) for place in places]
    # On a scale nearly every run has a value of its own, and there is nothing to average.
    series = [Series("one run", points), *([Series("mean", means)] if axis.places is not None else [])]
    return chart(f"Test {metric} by {axis.name}", axis.name, series, places=axis.places, log=axis.log)


def _all_settings(settings: Sequence[_Setting], runs: Sequence[FinishedRun], metric: str) -> list[Svg]:
    """Parallel coordinates; with a single key they would show what its own chart does."""
    if len(settings) < 2:
        return []
    lines = [
        (str(run.folder), [*(setting.places[run.folder] for setting in settings), run.trained[metric]]) for run in runs
    ]
    axes = [*(setting.axis for setting in settings), Axis(f"test {metric}")]
    return [parallel(f"Test {metric} of each run by all settings", axes, lines)]
