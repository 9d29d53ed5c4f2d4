"""A comparison as charts: validation by epoch, and test figures by settings and by seconds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import cycle
from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from hr_retrieval.compare.comparison import Comparison
from hr_retrieval.compare.groups import Group
from hr_retrieval.compare.settings import shown_value, value_of, values_of
from hr_retrieval.markdown import number
from hr_retrieval.pages.chart import COLOURS, LETTERS, LINE, empty_figure, lines_of
from hr_retrieval.retrieval.significance import Spread, spread
from hr_retrieval.runs.figures import FinishedRun, validation_curve

# Beyond the colours: the mark in a chart, the same in a table, and the line.
_SHAPES = (("circle", "●", "solid"), ("square", "■", "dash"), ("triangle-up", "▲", "dot"))
# Numbers of a key above which a chart gives them a scale, and how far apart they lie where it is
# one of their logarithms.
_PLACES, _LOG_FROM = 8, 20.0


@dataclass(frozen=True)
class Look:
    """What a group looks like in every chart, and how the tables show it."""

    colour: str
    symbol: str
    sign: str
    dash: str


def charts(comparison: Comparison) -> list[go.Figure]:
    """Validation by epoch, test figures by each key that varies, by several keys at once, and by seconds."""
    runs = [run for group in comparison.groups for run in group.runs]
    settings = [_Setting.of(runs, key) for key in comparison.varying]
    return [
        _by_epoch(comparison),
        *(_by_setting(comparison, setting) for setting in settings),
        # With a single key this would show what its own chart does.
        *([_by_all_settings(comparison, settings)] if len(settings) > 1 else []),
        _by_seconds(comparison),
    ]


def looked(groups: Sequence[Group]) -> list[tuple[Group, Look]]:
    """Each group with its look."""
    looks = [Look(colour, *shape) for shape in _SHAPES for colour in COLOURS]
    return list(zip(groups, cycle(looks), strict=False))


def _by_epoch(comparison: Comparison) -> go.Figure:
    metric = comparison.metric
    title = f"Validation {metric} by epoch (0: before training), mean ± sd over seeds"
    figure = empty_figure(title, "epoch", [group.name for group in comparison.groups])
    for group, look in looked(comparison.groups):
        course = _course(group, metric)
        seeds = max((one.n for one in course.values()), default=0)
        banded = [(epoch, one.mean, one.sd) for epoch, one in course.items() if one.n > 1]
        if banded:
            figure.add_scatter(
                x=[epoch for epoch, _, _ in [*banded, *banded[::-1]]],
                y=[*(mean + sd for _, mean, sd in banded), *(mean - sd for _, mean, sd in banded[::-1])],
                fill="toself", fillcolor=look.colour, opacity=0.2, line_width=0, mode="lines", hoverinfo="skip",
                legendgroup=group.name, showlegend=False,
            )  # fmt: skip
        hints = [
            f"{lines_of(group.name)}<br>epoch {epoch:.4g}: {one} ({one.n} of {seeds} seeds)"
            for epoch, one in course.items()
        ]
        # A mean of some seeds, because others stopped before, is hollow.
        symbols = [look.symbol + "-open" * (one.n < seeds) for one in course.values()]
        _add(figure, group, look, list(course), [one.mean for one in course.values()], hints, True, symbols)
    return figure


def _course(group: Group, metric: str) -> dict[float, Spread]:
    """The metric over seeds at each epoch; runs of one seed count as one, by their mean."""
    found: dict[float, dict[int, list[float]]] = {}
    for run in group.runs:
        for epoch, value in validation_curve(run.folder / "metrics.csv", metric):
            if math.isfinite(value):
                found.setdefault(epoch, {}).setdefault(run.seed, []).append(value)
    return {
        epoch: spread(np.array([np.mean(values) for values in seeds.values()]))
        for epoch, seeds in sorted(found.items())
    }


@dataclass(frozen=True)
class _Setting:
    """A key that varies, and where each run lies along its axis.

    Attributes:
        ticks: texts of the places 0, 1, ...; `None` for a scale of numbers.
        log: whether the numbers, all above 0, are spaced by their logarithm.
    """

    key: str
    ticks: list[str] | None
    log: bool
    places: dict[Path, float]

    @classmethod
    def of(cls, runs: Sequence[FinishedRun], key: str) -> "_Setting":
        values = values_of(runs, key)
        numbers = [value[0][1] for value in values if len(value) == 1 and isinstance(value[0][1], int | float)]
        if len(numbers) == len(values) > _PLACES:
            log = numbers[0] > 0 and numbers[-1] / numbers[0] >= _LOG_FROM
            return cls(key, None, log, {run.folder: float(run.settings[key]) for run in runs})
        shown = [shown_value(key, value, values) for value in values]
        return cls(key, shown, False, {run.folder: float(values.index(value_of(run, key))) for run in runs})

    def height(self, value: float) -> float:
        """Where a value stands from 0 to 1 on an axis between the lowest and the highest."""
        scaled = math.log10 if self.log else float
        low, high = map(scaled, self._bounds())
        return (scaled(value) - low) / (high - low) if high > low else 0.5

    def written(self) -> dict[float, str]:
        """The values that are written beside such an axis, and how."""
        if self.ticks is not None:
            return {float(place): tick for place, tick in enumerate(self.ticks)}
        values = np.geomspace(*self._bounds(), 5) if self.log else np.linspace(*self._bounds(), 5)
        return {float(value): f"{value:.4g}" for value in values}

    def _bounds(self) -> tuple[float, float]:
        finite = [value for value in self.places.values() if math.isfinite(value)]
        return min(finite, default=0.0), max(finite, default=1.0)


def _by_setting(comparison: Comparison, setting: _Setting) -> go.Figure:
    metric = comparison.metric
    figure = empty_figure(f"Test {metric} by {setting.key}", setting.key)
    for group, look in looked(comparison.groups):
        x = [setting.places[run.folder] for run in group.runs]
        _add(figure, group, look, x, [run.trained[metric] for run in group.runs], _hints(group, metric))
    if setting.ticks is None:
        # Nearly every run has a value of its own, and there is nothing to average.
        return figure.update_xaxes(type="log" if setting.log else "linear")
    runs = [run for group in comparison.groups for run in group.runs]
    means = [
        float(np.mean([run.trained[metric] for run in runs if setting.places[run.folder] == place]))
        for place in range(len(setting.ticks))
    ]
    figure.add_scatter(
        x=list(range(len(means))), y=means, mode="markers", hoverinfo="text",
        hovertext=[f"{lines_of(tick)}<br>mean {mean:.4f}" for tick, mean in zip(setting.ticks, means, strict=True)],
        marker={"symbol": "line-ew", "size": 40, "line": {"width": 2, "color": "#808080"}}, showlegend=False,
    )  # fmt: skip
    width = max(8, LETTERS // len(means))
    return figure.update_xaxes(
        tickvals=list(range(len(means))),
        ticktext=[lines_of(tick, width) for tick in setting.ticks],
        range=[-0.5, len(means) - 0.5],
    )


def _by_all_settings(comparison: Comparison, settings: Sequence[_Setting]) -> go.Figure:
    """Parallel coordinates (Inselberg, The plane with parallel coordinates, 1985): a line for each run.

    Drawn as lines: Plotly's own trace of that name says nothing at the pointer, and needs WebGL.
    """
    metric, runs = comparison.metric, [run for group in comparison.groups for run in group.runs]
    figures = _Setting(f"test {metric}", None, False, {run.folder: run.trained[metric] for run in runs})
    axes = [*settings, figures]
    figure = empty_figure(f"Test {metric} of each run by all settings", "")
    for group, look in looked(comparison.groups):
        for run, hint in zip(group.runs, _hints(group, metric), strict=True):
            y = [axis.height(axis.places[run.folder]) for axis in axes]
            _add(figure, group, look, [float(x) for x in range(len(axes))], y, [hint] * len(axes), True)
    ticks = [(x, axis.height(value), text) for x, axis in enumerate(axes) for value, text in axis.written().items()]
    across, up, texts = zip(*ticks, strict=True)
    figure.add_scatter(
        x=across, y=up, text=[lines_of(text, 16) for text in texts], mode="text", textposition="middle left", cliponaxis=False,
        hoverinfo="skip", showlegend=False,
    )  # fmt: skip
    names = [lines_of(axis.key, 16) for axis in axes]
    # Many axes have room for their texts; where the page has not, the chart scrolls.
    figure.update_layout(width=150 * len(axes) if len(axes) > 3 else None)
    above = LINE * max(name.count("<br>") + 1 for name in names)
    figure.update_layout(height=figure.layout.height + above, margin_t=figure.layout.margin.t + above)
    figure.update_xaxes(tickvals=list(range(len(axes))), ticktext=names, side="top", range=[-0.9, len(axes) - 0.8])
    return figure.update_yaxes(visible=False, range=[-0.15, 1.15])


def _by_seconds(comparison: Comparison) -> go.Figure:
    metric = comparison.metric
    figure = empty_figure(
        f"Test {metric} of each run by its seconds", "seconds", [group.name for group in comparison.groups]
    )
    for group, look in looked(comparison.groups):
        x = [run.seconds for run in group.runs]
        _add(figure, group, look, x, [run.trained[metric] for run in group.runs], _hints(group, metric))
    return figure


def _hints(group: Group, metric: str) -> list[str]:
    """What is said of each run at the pointer."""
    return [
        f"{lines_of(str(run.folder))}<br>{lines_of(group.name)}<br>seed {run.seed}: test {escape(metric, quote=False)} "
        f"{run.trained[metric]:.4f}, {number(run.seconds, '.0f')} s"
        for run in group.runs
    ]


def _add(
    figure: go.Figure,
    group: Group,
    look: Look,
    x: Sequence[float | None],
    y: Sequence[float],
    hints: Sequence[str],
    joined: bool = False,
    symbols: Sequence[str] | None = None,
) -> None:
    """Points of a group in its colour; the legend has each group once."""
    known = any(trace.name == lines_of(group.name) for trace in figure.data)
    figure.add_scatter(
        x=x, y=y, name=lines_of(group.name), mode="lines+markers" if joined else "markers",
        line={"color": look.colour, "dash": look.dash}, marker={"color": look.colour, "size": 8, "symbol": symbols or look.symbol},
        hovertext=hints, hoverinfo="text", legendgroup=group.name, showlegend=not known,
    )  # fmt: skip
