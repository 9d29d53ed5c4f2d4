"""A comparison as a page: what is better in words, then tables and charts."""

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path

from hr_retrieval.compare.charts import charts, looked
from hr_retrieval.compare.comparison import Comparison
from hr_retrieval.compare.remarks import verdict
from hr_retrieval.markdown import Rows
from hr_retrieval.pages import page as pages

_TEXT_COLUMNS = ("group", "run")


def page(comparison: Comparison, title: str, groups: Rows, runs: Rows, place: Path) -> str:
    """The whole page.

    Args:
        groups: the table of groups and baselines.
        runs: the table of all runs.
        place: the folder that the page is written to, from which links lead to the runs.
    """
    marks = {
        group.name: f'<span style="color:{look.colour}">{look.sign}</span> '
        for group, look in looked(comparison.groups)
    }
    figures = charts(comparison)
    parts = [
        pages.verdict(verdict(comparison.groups, comparison.base, comparison.metric)),
        pages.table(groups, _TEXT_COLUMNS, marks, best=comparison.groups[0].name),
        pages.paragraphs(comparison.remarks),
        pages.charts(figures),
        f"<h2>Runs, by {escape(comparison.metric)}</h2>",
        pages.table(_led_to(runs, place), _TEXT_COLUMNS, marks, links=True),
    ]
    if comparison.unfinished:
        items = "".join(f"<li>{escape(str(folder))}</li>" for folder in comparison.unfinished)
        parts.append(f"<h2>Unfinished runs, not compared</h2><ul>{items}</ul>")
    return pages.document(title, parts, figures)


def _led_to(runs: Rows, place: Path) -> Sequence[Sequence[str]]:
    """The runs by their paths from the page."""
    header, *body = runs
    return [header, *([os.path.relpath(row[0], place), *row[1:]] for row in body)]
