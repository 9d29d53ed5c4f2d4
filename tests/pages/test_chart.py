"""Charts: what they draw, and how names are broken."""

import pytest

from hr_retrieval.pages.chart import COLOURS, HEIGHT, curve, empty_figure, intervals, lines_of


def test_an_interval_reaches_from_its_lower_to_its_upper_bound() -> None:
    figure = intervals("mrr", {"trained": (0.5, (0.4, 0.7)), "BM25": (0.3, None)})
    last, first = figure.data
    assert (first.x, first.y) == ((0.5,), ("trained",))
    assert first.error_x.array == pytest.approx((0.2,))
    assert first.error_x.arrayminus == pytest.approx((0.1,))
    assert first.hovertext == "trained<br>0.5000 (0.4000 to 0.7000)"
    assert last.error_x.array is None
    assert [first.marker.color, last.marker.color] == [COLOURS[0], "#808080"]


def test_a_curve_goes_through_its_points() -> None:
    (line,) = curve("mrr by share", "share", [(0.0, 0.5), (0.25, 0.625)]).data
    assert (line.x, line.y) == ((0.0, 0.25), (0.5, 0.625))
    assert list(line.hovertext) == ["share 0: 0.5000", "share 0.25: 0.6250"]


def test_names_below_a_chart_have_room() -> None:
    plain, named = empty_figure("t", "x"), empty_figure("t", "x", ["one", "two"])
    assert plain.layout.height > HEIGHT
    assert named.layout.height > plain.layout.height
    assert (plain.layout.showlegend, named.layout.showlegend) == (False, True)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("short", ["short"]),
        ("model.mixing=anchor, model.loss.form=smooth", ["model.mixing=anchor,", "model.loss.form=", "smooth"]),
        ("optimizer.lr=0.0001", ["optimizer.lr=0.0001"]),
        ("<b>", ["&lt;b&gt;"]),
    ],
)
def test_a_name_is_broken_behind_a_mark_and_within_no_number(text: str, lines: list[str]) -> None:
    assert lines_of(text, 20).split("<br>") == lines
