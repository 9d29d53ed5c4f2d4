"""An HTML page of one file: words, tables and charts that can be hovered over and zoomed; no network, light or dark."""

import secrets
from collections.abc import Collection, Mapping, Sequence
from html import escape

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from hr_retrieval.markdown import Rows

# Plotly writes colours into each element: those of the page, which change with light and dark, come
# over them.
_STYLE = (
    ":root{color-scheme:light dark;--page:#fff}@media(prefers-color-scheme:dark){:root{--page:#121212}}"
    "body{font-family:sans-serif;line-height:1.4;margin:2em auto;max-width:90em;padding:0 1em;background:var(--page);"
    "overflow-wrap:anywhere}.wide{overflow-x:auto;margin:1em 0}table{border-collapse:collapse;font-size:.9em}"
    "td,th{border:1px solid #8886;padding:.3em .5em;text-align:right;overflow-wrap:normal}"
    "td.text,th.text{text-align:left;min-width:11em}h1{font-size:1.5em}"
    ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,38em),1fr));gap:1.5em}"
    ".charts>div{min-width:0;overflow-x:auto}.charts text{fill:currentColor!important}"
    ".charts .textpoint text{paint-order:stroke;stroke:var(--page);stroke-width:4px}"
    ".charts .hoverlayer text{fill:#fff!important}.verdict{font-size:1.15em;font-weight:bold;max-width:50em}"
    "tr.best td{font-weight:bold}a{color:inherit}code{overflow-wrap:anywhere}.next{white-space:pre-wrap;font-size:.9em}"
)
# Plotly's own button would send a chart to its makers.
_SCRIPT = (
    "for(const [number,figure] of [%s].entries())Plotly.newPlot(`chart-${number}`,figure.data,figure.layout,"
    "{responsive:true,displaylogo:false,showSendToCloud:false,plotlyServerURL:'',"
    "modeBarButtonsToRemove:['select2d','lasso2d','zoomIn2d','zoomOut2d']})"
)


def document(
    title: str, parts: Sequence[str], figures: Sequence[go.Figure] = (), language: str = "en", style: str = ""
) -> str:
    """The whole page.

    Args:
        parts: HTML of the body below the title, `charts(figures)` among them.
        figures: drawn at the places that `charts` has made.
        language: of the words.
        style: further rules, which come over those of all pages.
    """
    # Nothing is fetched, and no script runs but the two that carry this word.
    word = secrets.token_urlsafe(16)
    policy = f"default-src 'none';style-src 'unsafe-inline';img-src blob: data:;script-src 'nonce-{word}'"
    # Plotly's JSON has no `<`, so that no name in it ends the script.
    drawing = _SCRIPT % ",".join(figure.to_json() for figure in figures)
    scripts = [f'<script nonce="{word}">{script}</script>' for script in (get_plotlyjs(), drawing)] if figures else []
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}{style}</style>"
    )
    body = "\n".join([f"<h1>{escape(title)}</h1>", *parts, *scripts])
    return f'<!doctype html>\n<html lang="{language}"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def verdict(text: str) -> str:
    """What a page has to say, before anything else."""
    return f'<p class="verdict">{escape(text)}</p>' if text else ""


def paragraphs(texts: Sequence[str]) -> str:
    """Plain texts, a paragraph each."""
    return "".join(f"<p>{escape(text)}</p>" for text in texts if text)


def charts(figures: Sequence[go.Figure]) -> str:
    """The places of the charts, in the order in which the page has them."""
    places = "".join(f"<div><div id=chart-{number}></div></div>" for number in range(len(figures)))
    return f'<div class="charts">{places}</div>'


def table(
    rows: Rows, text: Collection[str] = (), marks: Mapping[str, str] | None = None, best: str = "", links: bool = False
) -> str:
    """A table of plain text, which scrolls by itself where the page is narrow.

    Args:
        rows: the header, then the body.
        text: names of the columns that stand to the left.
        marks: HTML that stands before a cell of the first column.
        best: the first cell of the row in bold.
        links: whether the first column names folders, relative to the page or absolute, that are led to.
    """
    header, *body = rows
    kinds = [' class="text"' if name in text else "" for name in header]
    heads = "".join(f"<th{kind}>{escape(cell)}</th>" for cell, kind in zip(header, kinds, strict=True))
    lines = [f"<tr>{heads}</tr>"]
    for row in body:
        cells = [_cell(cell, (marks or {}).get(cell, "")) for cell in row]
        if links:
            cells[0] = f'<a href="{escape(row[0], quote=True)}">{cells[0]}</a>'
        own = "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(cells, kinds, strict=True))
        opening = '<tr class="best">' if best and row[0] == best else "<tr>"
        lines.append(f"{opening}{own}</tr>")
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _cell(text: str, mark: str) -> str:
    """The text, in which a figure and its spread stay on one line."""
    return mark + escape(text).replace(" ± ", "&nbsp;±&nbsp;")
