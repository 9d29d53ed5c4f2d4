"""Small charts as SVG text, to stand inside a page that needs no network, light or dark."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

# Okabe and Ito, Color universal design, 2008: told apart by the colour-blind too. The ink of the page is their black.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "currentColor", "#8c6d1f")
# From a low to a high value; both are seen on white and on black.
_LOW, _HIGH = (0x8A, 0x9B, 0xAE), (0xD5, 0x5E, 0x00)
_LEFT, _TOP, _WIDTH, _HEIGHT = 70.0, 30.0, 620.0, 260.0
_LINE, _LETTER, _BETWEEN_AXES = 16.0, 6.6, 150.0
_STEPS = 6
# Behind a text that stands upon lines: the page's own colour, where the page says it.
_HALO = 'paint-order="stroke" stroke="var(--page, #fff)" stroke-width="4"'


@dataclass(frozen=True)
class Series:
    """Points `(x, y)` that belong together; series of one name share a colour, a shape and a line in the legend."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """What the numbers along an axis mean.

    Attributes:
        name: its label.
        places: names of the places 0, 1, ...; `None` for a scale of numbers.
        log: whether the numbers, all above 0, are spaced by their logarithm.
    """

    name: str
    places: Sequence[str] | None = None
    log: bool = False


class Svg(str):
    """SVG text, which a notebook draws."""

    def _repr_svg_(self) -> str:
        return str(self)


class _Scale:
    """Where the values of an axis lie, from 0 to 1, and what is written beside it."""

    def __init__(self, axis: Axis, values: Sequence[float]) -> None:
        self._log = axis.log
        if axis.places is not None:
            self._low, self._high = -0.5, len(axis.places) - 0.5
            self.ticks = {float(number): place for number, place in enumerate(axis.places)}
            return
        self._low, self._high = _range([math.log10(value) if self._log else value for value in values])
        ticks = _log_ticks(self._low, self._high) if self._log else _ticks(self._low, self._high)
        self.ticks = {value: f"{value:.4g}" for value in ticks}

    def at(self, value: float) -> float:
        placed = math.log10(value) if self._log else value
        return (placed - self._low) / (self._high - self._low)


def chart(
    title: str,
    x_label: str,
    series: Sequence[Series],
    joined: bool = False,
    places: Sequence[str] | None = None,
    log: bool = False,
) -> Svg:
    """An SVG element; points that are not finite are left out.

    Args:
        joined: whether the points of a series are joined by a line.
        places: names of the places 0, 1, ... on the x axis; `None` for a scale of numbers.
        log: whether the numbers on the x axis, all above 0, are spaced by their logarithm.
    """
    kept = [Series(one.name, [point for point in one.points if all(map(math.isfinite, point))]) for one in series]
    points = [point for one in kept for point in one.points]
    across = _Scale(Axis(x_label, places, log), [x for x, _ in points])
    up = _Scale(Axis(""), [y for _, y in points])
    names = list(dict.fromkeys(one.name for one in kept))
    numbers = {name: number for number, name in enumerate(names)}
    floor = _TOP + _HEIGHT
    parts = [_text(_LEFT, 18.0, title, "start", 'font-weight="bold"')]
    labels = {x: _wrapped(label, _WIDTH / len(across.ticks)) for x, label in across.ticks.items()}
    for x, lines in labels.items():
        place = round(_LEFT + across.at(x) * _WIDTH, 1)
        parts += [_text(place, floor + 18 + _LINE * number, line) for number, line in enumerate(lines)]
    for y, label in up.ticks.items():
        height = round(floor - up.at(y) * _HEIGHT, 1)
        parts.append(f'<path d="M{_LEFT} {height}h{_WIDTH}" stroke="currentColor" stroke-opacity="0.15"/>')
        parts.append(_text(_LEFT - 6, height + 4, label, "end"))
    bottom = floor + 22 + _LINE * max(map(len, labels.values()), default=1)
    parts.append(_text(_LEFT + _WIDTH / 2, bottom, x_label))
    for one in kept:
        drawn = [(round(_LEFT + across.at(x) * _WIDTH, 1), round(floor - up.at(y) * _HEIGHT, 1)) for x, y in one.points]
        hints = [f"{one.name}: {across.ticks.get(x, f'{x:.4g}')}, {y:.4f}" for x, y in one.points]
        parts += _drawn(drawn, hints, numbers[one.name], joined)
    legend, bottom = _legend(names, bottom + 22)
    return _svg([*parts, *legend], _LEFT + _WIDTH + 30, bottom)


def parallel(title: str, axes: Sequence[Axis], lines: Sequence[tuple[str, Sequence[float]]]) -> Svg:
    """Parallel coordinates (Inselberg, The plane with parallel coordinates, 1985): a line for each name through all axes.

    Args:
        axes: at least two; the colour of a line goes by its value on the last one.
        lines: name, shown where the pointer rests, and a value on each axis; lines that are not finite are left out.
    """
    kept = [(name, values) for name, values in lines if all(map(math.isfinite, values))]
    scales = [_Scale(axis, [values[number] for _, values in kept]) for number, axis in enumerate(axes)]
    between = max(_BETWEEN_AXES, _WIDTH / (len(axes) - 1))
    heads = [_wrapped(axis.name, between - 10) for axis in axes]
    top = 40 + _LINE * max(map(len, heads))
    across = [_LEFT + between * number for number in range(len(axes))]
    parts = [_text(_LEFT, 18.0, title, "start", 'font-weight="bold"')]
    # The best are drawn last, upon the others.
    for name, values in sorted(kept, key=lambda line: line[1][-1]):
        heights = [round(top + (1 - scale.at(value)) * _HEIGHT, 1) for scale, value in zip(scales, values, strict=True)]
        path = " ".join(f"{x},{y}" for x, y in zip(across, heights, strict=True))
        hint = f"<title>{escape(f'{name}: {values[-1]:.4f}')}</title>"
        colour = _between(scales[-1].at(values[-1]))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2">{hint}</polyline>')
    for x, head, scale in zip(across, heads, scales, strict=True):
        parts.append(f'<path d="M{x} {top}v{_HEIGHT}" stroke="currentColor"/>')
        parts += [_text(x, 44 + _LINE * number, line) for number, line in enumerate(head)]
        parts += [
            _text(x - 5, round(top + (1 - scale.at(value)) * _HEIGHT, 1) + line, text, "end", _HALO)
            for value, label in scale.ticks.items()
            for line, text in _stacked(_wrapped(label, between - 20))
        ]
    return _svg(parts, across[-1] + 60, top + _HEIGHT + 15, left=-60.0)


def _svg(parts: Sequence[str], width: float, height: float, left: float = 0.0) -> Svg:
    return Svg(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left} 0 {width - left} {height}" width="{width - left}" '
        f'fill="currentColor" font-family="sans-serif" font-size="13">{"".join(parts)}</svg>'
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Bounds a little outside of the values; equal values stand in the middle."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    margin = (high - low) * 0.05 or max(abs(high) * 0.05, 1e-3)
    return low - margin, high + margin


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers within the bounds, from three to six of them."""
    rough = (high - low) / _STEPS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten between `10 ** low` and `10 ** high`; over many powers, these alone."""
    factors = (1, 2, 5) if high - low < 3 else (1,)
    found = [factor * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for factor in factors]
    return [value for value in found if low <= math.log10(value) <= high]


def _wrapped(label: str, width: float) -> list[str]:
    """The label in lines of about that width, broken at a space, else behind another mark, else anywhere."""
    room, lines = max(6, int(width / _LETTER)), []
    while len(label) > room:
        places = range(room // 3, room)
        spaces = [place + 1 for place in places if label[place].isspace()]
        marks = [place + 1 for place in places if not label[place].isalnum()]
        end = (spaces or marks or [room])[-1]
        lines.append(label[:end].rstrip())
        label = label[end:].lstrip()
    return [*lines, label]


def _stacked(lines: Sequence[str]) -> list[tuple[float, str]]:
    """The lines of a label, each with how far it stands below the middle."""
    return [(4 + _LINE * (number - (len(lines) - 1) / 2), line) for number, line in enumerate(lines)]


def _between(share: float) -> str:
    """The colour at a share of the way from low to high."""
    return "#" + "".join(f"{round(low + share * (high - low)):02x}" for low, high in zip(_LOW, _HIGH, strict=True))


def _drawn(points: Sequence[tuple[float, float]], hints: Sequence[str], number: int, joined: bool) -> list[str]:
    markers = [_marker(x, y, number, 3.5, hint) for (x, y), hint in zip(points, hints, strict=True)]
    if not joined or len(points) < 2:
        return markers
    line = " ".join(f"{x},{y}" for x, y in points)
    colour = _COLOURS[number % len(_COLOURS)]
    return [f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>', *markers]


def _legend(names: Sequence[str], top: float) -> tuple[list[str], float]:
    """The mark and the name of each series, one below the other, and where they end."""
    parts, at = [], top
    for number, name in enumerate(names):
        parts.append(_marker(_LEFT + 5, at - 4, number, 4.0, name))
        for line in _wrapped(name, _WIDTH):
            parts.append(_text(_LEFT + 16, at, line, "start"))
            at += _LINE
        at += 2
    return parts, at


def _marker(x: float, y: float, number: int, size: float, hint: str) -> str:
    """A mark whose colour and shape (circle, square, triangle) tell series apart; the hint is shown at the pointer."""
    colour, shape = _COLOURS[number % len(_COLOURS)], number // len(_COLOURS) % 3
    looks = f'fill="{colour}" fill-opacity="0.75"><title>{escape(hint)}</title>'
    if shape == 0:
        return f'<circle cx="{x}" cy="{y}" r="{size}" {looks}</circle>'
    corners = ((-1, -1), (1, -1), (1, 1), (-1, 1)) if shape == 1 else ((0, -1.3), (1.2, 0.9), (-1.2, 0.9))
    path = " ".join(f"{round(x + across * size, 1)},{round(y + down * size, 1)}" for across, down in corners)
    return f'<polygon points="{path}" {looks}</polygon>'


def _text(x: float, y: float, text: str, anchor: str = "middle", looks: str = "") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" {looks}>{escape(text)}</text>'
