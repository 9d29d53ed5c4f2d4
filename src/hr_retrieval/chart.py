"""Small charts as SVG text, to stand inside a page that needs no network."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

# Okabe and Ito, Color universal design, 2008: told apart by the colour-blind too.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c6d1f")
_LEFT, _TOP, _WIDTH, _HEIGHT = 70.0, 30.0, 620.0, 260.0
_STEPS = 4


@dataclass(frozen=True)
class Series:
    """Points `(x, y)` that belong together; series of one name share a colour and a line in the legend."""

    name: str
    points: Sequence[tuple[float, float]]


class Svg(str):
    """SVG text, which a notebook draws."""

    def _repr_svg_(self) -> str:
        return str(self)


def chart(
    title: str, x_label: str, series: Sequence[Series], joined: bool = False, places: Sequence[str] | None = None
) -> Svg:
    """An SVG element; points that are not finite are left out.

    Args:
        joined: whether the points of a series are joined by a line.
        places: names of the places 0, 1, ... on the x axis; `None` for a scale of numbers.
    """
    kept = [Series(one.name, [point for point in one.points if all(map(math.isfinite, point))]) for one in series]
    points = [point for one in kept for point in one.points]
    low_x, high_x = _range([x for x, _ in points]) if places is None else (-0.5, len(places) - 0.5)
    low_y, high_y = _range([y for _, y in points])

    def at(x: float, y: float) -> tuple[float, float]:
        across, up = (x - low_x) / (high_x - low_x), (y - low_y) / (high_y - low_y)
        return round(_LEFT + across * _WIDTH, 1), round(_TOP + (1 - up) * _HEIGHT, 1)

    names = list(dict.fromkeys(one.name for one in kept))
    colours = {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(names)}
    named = {float(number): place for number, place in enumerate(places or ())}
    x_ticks = named or {x: f"{x:.4g}" for x in _ticks(low_x, high_x)}
    parts = [_text(_LEFT, 18.0, title, "start", "bold"), _text(_LEFT + _WIDTH / 2, _TOP + _HEIGHT + 38, x_label)]
    parts += [_text(at(x, low_y)[0], _TOP + _HEIGHT + 18, name) for x, name in x_ticks.items()]
    for y in _ticks(low_y, high_y):
        height = at(low_x, y)[1]
        parts.append(f'<path d="M{_LEFT} {height}h{_WIDTH}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 6, height + 4, f"{y:.4g}", "end"))
    for one in kept:
        parts += _drawn([at(*point) for point in one.points], colours[one.name], joined)
    bottom = _TOP + _HEIGHT + 60
    for number, name in enumerate(names):
        parts.append(f'<circle cx="{_LEFT + 5}" cy="{bottom + 18 * number - 4}" r="4" fill="{colours[name]}"/>')
        parts.append(_text(_LEFT + 16, bottom + 18 * number, name, "start"))
    height = bottom + 18 * len(names)
    return Svg(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + 30} {height}" width="720" '
        f'font-family="sans-serif" font-size="12">{"".join(parts)}</svg>'
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Bounds a little outside of the values; equal values stand in the middle."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    margin = (high - low) * 0.05 or max(abs(high) * 0.05, 1e-3)
    return low - margin, high + margin


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers within the bounds, about four of them."""
    rough = (high - low) / _STEPS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _drawn(points: Sequence[tuple[float, float]], colour: str, joined: bool) -> list[str]:
    circles = [f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}" fill-opacity="0.75"/>' for x, y in points]
    if not joined or len(points) < 2:
        return circles
    line = " ".join(f"{x},{y}" for x, y in points)
    return [f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>', *circles]


def _text(x: float, y: float, text: str, anchor: str = "middle", weight: str = "normal") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>'
