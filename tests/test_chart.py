"""Charts: points to scale, labels that do not run into each other, and colours by value."""

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.chart import Axis, Series, chart, parallel


def test_a_chart_places_points_to_scale_and_escapes_names() -> None:
    points = [(0.0, 1.0), (1.0, 3.0), (2.0, float("nan")), (4.0, 2.0)]
    svg = ElementTree.fromstring(chart("a < b", "x", [Series("<script>", points)], joined=True))
    circles = svg.findall("{*}circle")[:-1]
    x, y = ([float(circle.attrib[name]) for circle in circles] for name in ("cx", "cy"))
    assert (x[1] - x[0]) / (x[2] - x[0]) == pytest.approx(0.25, abs=1e-3)
    assert (y[0] - y[2]) / (y[0] - y[1]) == pytest.approx(0.5, abs=1e-3)
    assert y[1] < y[2] < y[0]
    assert svg[0].text == "a < b"
    assert "<script>" in [text.text for text in svg.findall("{*}text")]
    assert svg.find("{*}polyline") is not None
    assert ElementTree.fromstring(chart("a", "x", [Series("b", points)])).find("{*}polyline") is None


@pytest.mark.parametrize("points", [[], [(1.0, 0.5)], [(0.0, 0.0), (0.0, 0.0)]])
def test_a_chart_of_little_is_still_a_chart(points: list[tuple[float, float]]) -> None:
    svg = ElementTree.fromstring(chart("a", "x", [Series("b", points)]))
    assert len(svg.findall("{*}circle")) == len(points) + 1


def test_series_beyond_the_colours_differ_in_shape() -> None:
    svg = ElementTree.fromstring(
        chart("a", "x", [Series(f"s{number}", [(float(number), 1.0)]) for number in range(24)])
    )
    marks = [mark for mark in svg if mark.tag.endswith(("circle", "polygon"))][:24]
    looks = {(mark.tag, mark.get("fill"), len((mark.get("points") or "").split())) for mark in marks}
    assert len(looks) == 24


def test_a_point_says_what_it_is_at_the_pointer() -> None:
    svg = ElementTree.fromstring(chart("a", "x", [Series("one <run>", [(1.0, 0.51234)])], places=["low", "high"]))
    hints = [hint.text for hint in svg.iter() if hint.tag.endswith("title")]
    assert hints == ["one <run>: high, 0.5123", "one <run>"]


def test_long_names_of_places_are_broken_into_lines_within_their_place() -> None:
    places = [f"AnchorMixing(k={number}, weights=random)" for number in range(8)]
    svg = ElementTree.fromstring(chart("a", "x", [Series("b", [(0.0, 1.0)])], places=places))
    labels = [text for text in svg.findall("{*}text") if text.get("text-anchor") == "middle"][:-1]
    at: dict[str, list[str]] = {}
    for label in labels:
        at.setdefault(label.attrib["x"], []).append(label.text or "")
    assert ["".join(lines).replace(" ", "") for lines in at.values()] == [place.replace(" ", "") for place in places]
    assert all(len(line) * 6.6 <= 620 / 8 for lines in at.values() for line in lines)
    assert len({label.attrib["y"] for label in labels}) == max(map(len, at.values()))


@settings(max_examples=50, deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_an_axis_has_a_few_round_numbers(low: float, width: float) -> None:
    svg = ElementTree.fromstring(chart("a", "x", [Series("b", [(0.0, low), (1.0, low + width)])]))
    labels = [text for text in svg.findall("{*}text") if text.get("text-anchor") == "end"]
    assert 2 <= len(labels) <= 7


def test_parallel_axes_carry_each_line_by_its_values_and_colour() -> None:
    axes = [Axis("rate", log=True), Axis("loss", places=["softmax", "triplet"]), Axis("mrr")]
    lines = [
        ("worst", [1e-5, 1.0, 0.1]),
        ("best", [1e-3, 0.0, 0.9]),
        ("middle", [1e-4, 1.0, 0.5]),
        ("lost", [1e-4, 1.0, float("nan")]),
    ]
    svg = ElementTree.fromstring(parallel("a < b", axes, lines))
    drawn = {line[0].text: line for line in svg.findall("{*}polyline")}
    assert list(drawn) == ["worst: 0.1000", "middle: 0.5000", "best: 0.9000"]
    points = {
        name: [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
        for name, line in drawn.items()
    }
    worst, middle, best = points.values()
    assert [x for x, _ in worst] == [x for x, _ in best]
    # The middle one by the logarithm, and by the figure; larger values stand higher.
    for axis in (0, 2):
        assert worst[axis][1] - middle[axis][1] == pytest.approx(middle[axis][1] - best[axis][1], abs=0.2) != 0
        assert worst[axis][1] > best[axis][1]
    assert worst[1] == middle[1]
    assert worst[1][1] < best[1][1]
    reds = [int(line.attrib["stroke"][1:3], 16) for line in drawn.values()]
    assert reds == sorted(reds)
    assert reds[0] < reds[-1]
    texts = [text.text for text in svg.findall("{*}text")]
    assert {"a < b", "rate", "loss", "mrr", "softmax", "triplet", "0.0001"} <= set(texts)


def test_charts_take_the_colours_of_the_page() -> None:
    text = chart("a", "x", [Series("b", [(0.0, 1.0)])]) + parallel("a", [Axis("x"), Axis("y")], [("b", [0.0, 1.0])])
    assert "black" not in text
    assert not re.search(r"#(000|ddd|333)\b", text)
    assert text.count('fill="currentColor"') == 2
