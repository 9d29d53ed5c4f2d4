"""Tables and charts as one HTML page that needs no network, light or dark, wide or narrow; and tables as Markdown."""

from collections.abc import Sequence
from html import escape

from hr_retrieval.chart import Svg

# The first row is the header.
Rows = list[list[str]]

_TEXT_COLUMNS = ("group", "run")
_STYLE = (
    ":root{color-scheme:light dark;--page:#fff}@media(prefers-color-scheme:dark){:root{--page:#121212}}"
    "body{font-family:sans-serif;line-height:1.4;margin:2em auto;max-width:90em;padding:0 1em;background:var(--page);"
    "overflow-wrap:anywhere}.wide{overflow-x:auto;margin:1em 0}table{border-collapse:collapse;font-size:.9em}"
    "td,th{border:1px solid #8886;padding:.3em .5em;text-align:right;overflow-wrap:normal}"
    "td.text,th.text{text-align:left;min-width:11em}"
    ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,38em),1fr));gap:1.5em}"
    ".charts>div{overflow-x:auto}.charts svg{width:100%;min-width:38em;height:auto}"
)


def page(title: str, parts: Sequence[str]) -> str:
    """A whole page of parts that are HTML already."""
    view = '<meta name="viewport" content="width=device-width,initial-scale=1">'
    head = f'<meta charset="utf-8">{view}<title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(parts) + "\n</body></html>\n"


def side_by_side(charts: Sequence[Svg]) -> str:
    """Charts in as many columns as there is room for; where there is not enough for one, it scrolls by itself."""
    return '<div class="charts">' + "".join(f"<div>{one}</div>" for one in charts) + "</div>"


def html_table(rows: Rows) -> str:
    """An HTML table of plain text, which scrolls by itself where the page is narrow."""
    header, *body = rows
    looks = [' class="text"' if name in _TEXT_COLUMNS else "" for name in header]
    lines = ["".join(f"<th{look}>{escape(cell)}</th>" for cell, look in zip(header, looks, strict=True))]
    lines += ["".join(f"<td{look}>{_cell(cell)}</td>" for cell, look in zip(row, looks, strict=True)) for row in body]
    return '<div class="wide"><table>' + "".join(f"<tr>{line}</tr>" for line in lines) + "</table></div>"


def markdown_table(rows: Rows) -> str:
    """A table in GitHub's Markdown; all columns but the first stand to the right."""
    header, *body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """The text, in which a figure and its spread stay on one line."""
    return escape(text).replace(" ± ", "&nbsp;±&nbsp;")
