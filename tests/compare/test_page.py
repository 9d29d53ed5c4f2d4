"""The page of a comparison: what is text stays text, nothing is fetched, and a group looks the same everywhere."""

import json
import re
import statistics
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from hr_retrieval.compare.charts import charts
from hr_retrieval.compare.comparison import compare
from hr_retrieval.compare.report import write
from tests.compare.test_comparison import ANCHOR, NONE, write_run

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)><b>&amp;"


class Page(HTMLParser):
    """Text, tags, attributes and scripts as a browser takes them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[dict[str, str | None]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self._open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.append(dict(attrs))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        (self.scripts if self._open[-1:] == ["script"] else self.texts).append(data)


def page_of(tmp_path: Path, **options: Any) -> Page:
    write(compare([str(tmp_path / "runs" / "**")], lexical=False, **options), tmp_path / "out")
    return Page(tmp_path / "out" / "comparison.html")


def test_names_that_are_marks_stay_text(tmp_path: Path) -> None:
    for seed in (1, 2):
        own: dict[str, Any] = {
            "zero_shot": None,
            "mixing": ANCHOR,
            "mixing_options": {"source": HOSTILE},
            "validation": ["5,0,0.2,0.4,"],
        }
        write_run(tmp_path / "runs" / f"a{seed} <script>{{}}", seed, **own)
        write_run(tmp_path / "runs" / f"b{seed}", seed, mixing=ANCHOR, margin=0.3, zero_shot=None)
    page = page_of(tmp_path)
    assert page.tags.count("script") == 2
    assert not {"img", "b", "link", "iframe"} & set(page.tags)
    assert not any({"src", "onerror"} & set(attributes) for attributes in page.attributes)
    # Links lead to the runs, from where the page lies.
    links = {str(attributes["href"]) for attributes in page.attributes if "href" in attributes}
    assert {(tmp_path / "out" / link).resolve() for link in links} == set((tmp_path / "runs").iterdir())
    assert any(HOSTILE in text for text in page.texts)
    drawing = page.scripts[-1]
    assert "<" not in drawing
    (figures,) = re.findall(r"of (\[.*\])\.entries", drawing)
    # Plotly makes bold, links and images of what looks like them: of ours it gets the line breaks
    # and the title.
    for text in _texts(json.loads(figures)):
        assert set(re.findall(r"<[^>]*>?", text)) <= {"<br>", "<b>", "</b>"}
        assert text.count("<b>") <= 1
    assert any("&lt;img" in text.replace("<br>", "") for text in _texts(json.loads(figures)))


def _texts(node: Any) -> list[str]:
    if isinstance(node, str):
        return [node]
    # Its name for this is not shown.
    parts = [part for key, part in node.items() if key != "legendgroup"] if isinstance(node, dict) else node
    return [text for part in parts for text in _texts(part)] if isinstance(parts, list) else []


def test_nothing_is_fetched_and_no_other_script_runs(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a")
    page = page_of(tmp_path)
    (policy,) = [own["content"] for own in page.attributes if own.get("http-equiv") == "Content-Security-Policy"]
    words = {attributes["nonce"] for tag, attributes in zip(page.tags, page.attributes, strict=True) if tag == "script"}
    (word,) = words
    assert "showSendToCloud:false,plotlyServerURL:''" in page.scripts[-1]
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy.split(";"))
    assert rules == {
        "default-src": "'none'",
        "style-src": "'unsafe-inline'",
        "img-src": "blob: data:",
        "script-src": f"'nonce-{word}'",
    }


@pytest.mark.parametrize(
    ("by", "title"),
    [
        (None, "model.mixing (none, anchor) and model.loss.margin (0.1, 0.2, 0.3, 3 more) on esco_titles, by test mrr"),
        (["model.mixing"], "model.mixing (none, anchor) on esco_titles, by test mrr"),
        ([], "6 runs on esco_titles, by test mrr"),
        (["seed", "model.mixing", "project", "trainer", "model"], None),
    ],
)
def test_the_title_says_what_was_compared_on_what(tmp_path: Path, by: list[str] | None, title: str | None) -> None:
    for number in range(6):
        own: dict[str, Any] = {"zero_shot": None, "mixing": (NONE, ANCHOR)[number % 2], "margin": (number + 1) / 10}
        write_run(tmp_path / "runs" / f"{number:02}", **own, data_folder="data/prepared/esco_titles")
    page = page_of(tmp_path, by=by)
    (shown,) = {page.texts[index] for index, text in enumerate(page.texts) if "by test mrr" in text}
    assert shown == title if title else " and 2 more on esco_titles" in shown
    assert (tmp_path / "out" / "comparison.md").read_text().startswith(f"# {shown}\n")


def test_a_curve_is_the_mean_over_seeds_with_their_deviation(tmp_path: Path) -> None:
    """Runs of one seed count as one; where a seed stopped before the others, its mark is hollow and
    there is no band.
    """
    courses = {1: [0.2, 0.4, 0.5], 2: [0.3, 0.5], 3: [0.7]}
    for seed, course in courses.items():
        rows = [f"{5 * epoch + 5},{epoch + 1},{value},0.1," for epoch, value in enumerate(course)]
        write_run(tmp_path / "runs" / f"a{seed}", seed, validation=rows, zero_shot=None)
    write_run(tmp_path / "runs" / "again", 3, validation=["5,1,0.9,0.1,"], zero_shot=None)
    band, mean = charts(compare([str(tmp_path / "runs" / "**")], lexical=False))[0].data
    first = [0.2, 0.3, 0.8]
    assert list(mean.x) == [1, 2, 3]
    assert list(mean.y) == pytest.approx([statistics.mean(first), 0.45, 0.5])
    assert list(mean.marker.symbol) == ["circle", "circle-open", "circle-open"]
    assert "(3 of 3 seeds)" in mean.hovertext[0]
    assert "± " in mean.hovertext[1]
    assert mean.hovertext[2].endswith("0.5000 (1 of 3 seeds)")
    deviations = [statistics.stdev(first), statistics.stdev([0.4, 0.5])]
    above = [value + deviation for value, deviation in zip(mean.y, deviations, strict=False)]
    below = [value - deviation for value, deviation in zip(mean.y, deviations, strict=False)]
    assert list(band.x) == [1, 2, 2, 1]
    assert list(band.y) == pytest.approx([*above, *below[::-1]])


def test_a_group_has_one_look_in_all_charts_and_tables(tmp_path: Path) -> None:
    for number in range(25):
        own: dict[str, Any] = {
            "mixing": ANCHOR,
            "mixing_options": {"k": number % 5},
            "margin": number % 5 / 10 + number // 5,
        }
        write_run(tmp_path / "runs" / f"{number:02}", **own, validation=["5,0,0.2,0.4,"])
    comparison = compare([str(tmp_path / "runs" / "**")], lexical=False)
    looks: dict[str, set[tuple[Any, ...]]] = {}
    drawn = charts(comparison)
    assert len(drawn) == 5
    for figure in drawn:
        for trace in figure.data:
            if trace.name:
                symbol = trace.marker.symbol if isinstance(trace.marker.symbol, str) else trace.marker.symbol[0]
                looks.setdefault(trace.name, set()).add((trace.marker.color, symbol))
    assert {len(look) for look in looks.values()} == {1}
    assert len({look for own in looks.values() for look in own}) == 24
    write(comparison, tmp_path / "out")
    text = (tmp_path / "out" / "comparison.html").read_text()
    for group, look in zip(comparison.groups, map(list, looks.values()), strict=True):
        assert re.search(f'<span style="color:{look[0][0]}">[●■▲]</span> {group.name}</td>', text)


def test_parallel_axes_carry_each_run_by_its_values(tmp_path: Path) -> None:
    margins = [0.001 * 2**number for number in range(9)]
    for number, margin in enumerate(margins):
        own: dict[str, Any] = {"zero_shot": None, "mixing": (NONE, ANCHOR)[number % 2], "values": [number / 10] * 6}
        write_run(tmp_path / "runs" / str(number), margin=margin, **own)
    comparison = compare([str(tmp_path / "runs" / "**")], lexical=False)
    figure = charts(comparison)[3]
    *lines, ticks = figure.data
    assert list(figure.layout.xaxis.ticktext) == ["model.mixing", "model.loss.<br>margin", "test mrr"]
    by_run = {trace.hovertext[0].split("<br>")[-1]: list(trace.y) for trace in lines}
    # Even steps of the logarithm, and of the figure; places for the options.
    for number in range(9):
        (height,) = [y for hint, y in by_run.items() if f"test mrr {number / 10:.4f}" in hint]
        assert height == pytest.approx([number % 2, number / 8, number / 8])
    written = dict(zip(ticks.text, zip(ticks.x, ticks.y, strict=True), strict=True))
    assert (written["none"], written["anchor"]) == ((0, 0), (0, 1))
    assert written["0.016"] == (1, pytest.approx(0.5))


def test_figures_that_are_not_there_or_all_equal_are_still_a_chart(tmp_path: Path) -> None:
    for number, margin in enumerate((0.1, 0.2)):
        own: dict[str, Any] = {"zero_shot": None, "mixing": (NONE, ANCHOR)[number], "seconds": None}
        rows = ["5,1,0.2,0.4,", "10,2,nan,0.4,"]
        write_run(tmp_path / "runs" / str(number), margin=margin, **own, validation=rows)
    comparison = compare([str(tmp_path / "runs" / "**")], lexical=False)
    assert [list(trace.x) for trace in charts(comparison)[0].data] == [[1], [1]]
    page = page_of(tmp_path)
    assert "NaN" not in page.scripts[-1]
    assert "Infinity" not in page.scripts[-1]
