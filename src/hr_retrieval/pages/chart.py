"""The look of every chart: room for its title and names, colours for light and dark, no name broken within a number."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from textwrap import TextWrapper

import plotly.graph_objects as go

# Pixels, and characters on a line of a chart that fits a telephone.
HEIGHT, LINE, LETTERS = 320, 18, 44
# Okabe and Ito, Color universal design, 2008, told apart by the colour-blind too; grey and brown in
# place of their black and yellow, which are not seen in the dark and in the light.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#808080", "#8c6d1f")
_CLEAR = "rgba(0,0,0,0)"
_GRID = {"gridcolor": "rgba(128,128,128,0.25)", "zeroline": False, "automargin": True}


class _Wrapper(TextWrapper):
    """Breaks names as they are written here: behind a mark, but not within a number."""

    wordsep_re = re.compile(r"(\s+|\S*?(?:[,=(/_]|[.-](?=[A-Za-z])))")


def empty_figure(title: str, x_label: str, legend: Sequence[str] = (), height: int = HEIGHT) -> go.Figure:
    """An empty chart with room below for the names of the groups.

    Args:
        height: of the chart itself, without what stands above and below it.
    """
    lines = sum(lines_of(name).count("<br>") + 1 for name in legend)
    top, bottom = 44 + LINE * (lines_of(title).count("<br>") + 1), 60 + LINE * lines + 10 * bool(lines)
    layout = {
        "template": "none", "paper_bgcolor": _CLEAR, "plot_bgcolor": _CLEAR, "font": {"size": 12}, "hovermode": "closest",
        "title": {
            "text": f"<b>{lines_of(title)}</b>", "font": {"size": 14}, "x": 0, "xref": "paper", "y": 1, "yanchor": "top", "pad": {"t": 34},
        },
        "height": height + top + bottom, "margin": {"l": 50, "r": 20, "t": top, "b": bottom},
        "legend": {"yref": "container", "y": 0, "yanchor": "bottom", "x": 0, "xanchor": "left", "bgcolor": _CLEAR},
        "hoverlabel": {"bgcolor": "#333", "bordercolor": "#808080", "align": "left"}, "showlegend": bool(legend),
        "modebar": {"bgcolor": _CLEAR, "color": "#808080", "activecolor": "#0072b2"},
        "xaxis": {"title": {"text": lines_of(x_label), "standoff": 8}, **_GRID}, "yaxis": _GRID,
    }  # fmt: skip
    # Whole: an update of what stands there takes many times as long.
    return go.Figure(layout=layout)


def intervals(title: str, rows: Mapping[str, tuple[float, Sequence[float] | None]]) -> go.Figure:
    """A dot for each name, with a bar from the lower to the upper bound, the first one at the top and in colour."""
    figure = empty_figure(title, "", height=48 * len(rows))
    names = list(rows)[::-1]
    for name in names:
        mean, bounds = rows[name]
        arrays = {"array": [bounds[1] - mean], "arrayminus": [mean - bounds[0]]} if bounds else {}
        told = f" ({bounds[0]:.4f} to {bounds[1]:.4f})" if bounds else ""
        figure.add_scatter(
            x=[mean], y=[lines_of(name, 16)], mode="markers", hoverinfo="text", hovertext=f"{lines_of(name)}<br>{mean:.4f}{told}",
            marker={"size": 10, "color": COLOURS[0] if name == names[-1] else "#808080"}, error_x={"type": "data", **arrays},
            showlegend=False,
        )  # fmt: skip
    return figure


def curve(title: str, x_label: str, points: Sequence[tuple[float, float]]) -> go.Figure:
    """A line through points."""
    figure = empty_figure(title, x_label)
    return figure.add_scatter(
        x=[x for x, _ in points], y=[y for _, y in points], mode="lines+markers", hoverinfo="text", showlegend=False,
        hovertext=[f"{x_label} {x:.4g}: {y:.4f}" for x, y in points], line={"color": COLOURS[0]}, marker={"size": 8},
    )  # fmt: skip


def lines_of(text: str, width: int = LETTERS) -> str:
    """Plain text on lines of that width at most, in which Plotly sees no marks of its own."""
    return "<br>".join(escape(line, quote=False) for line in _Wrapper(width).wrap(text))
