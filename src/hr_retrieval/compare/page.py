"""A comparison as an HTML page whose charts can be hovered over and zoomed: one file, no network, light or dark."""

import secrets
from collections.abc import Mapping
from html import escape

from plotly.offline import get_plotlyjs

from hr_retrieval.compare.charts import Look, charts, looked
from hr_retrieval.compare.comparison import Comparison
from hr_retrieval.markdown import Rows

_TEXT_COLUMNS = ("group", "run")
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
    ".charts .hoverlayer text{fill:#fff!important}"
)
# Plotly's own button would send a chart to its makers.
_SCRIPT = (
    "for(const [number,figure] of [%s].entries())Plotly.newPlot(`chart-${number}`,figure.data,figure.layout,"
    "{responsive:true,displaylogo:false,showSendToCloud:false,plotlyServerURL:'',"
    "modeBarButtonsToRemove:['select2d','lasso2d','zoomIn2d','zoomOut2d']})"
)


def page(comparison: Comparison, title: str, groups: Rows, runs: Rows) -> str:
    """The whole page.

    Args:
        groups: the table of groups and baselines.
        runs: the table of all runs.
    """
    looks, figures = {group.name: look for group, look in looked(comparison.groups)}, charts(comparison)
    parts = [
        f"<h1>{escape(title)}</h1>",
        _table(groups, looks),
        *(f"<p>{escape(remark)}</p>" for remark in comparison.remarks),
        f'<div class="charts">{"".join(f"<div><div id=chart-{number}></div></div>" for number in range(len(figures)))}</div>',
        f"<h2>Runs, by {escape(comparison.metric)}</h2>",
        _table(runs, looks),
    ]
    if comparison.unfinished:
        items = "".join(f"<li>{escape(str(folder))}</li>" for folder in comparison.unfinished)
        parts.append(f"<h2>Unfinished runs, not compared</h2><ul>{items}</ul>")
    # Nothing is fetched, and no script runs but the two that carry this word.
    word = secrets.token_urlsafe(16)
    policy = f"default-src 'none';style-src 'unsafe-inline';img-src blob: data:;script-src 'nonce-{word}'"
    # Plotly's JSON has no `<`, so that no name in it ends the script.
    drawing = _SCRIPT % ",".join(figure.to_json() for figure in figures)
    parts += [f'<script nonce="{word}">{script}</script>' for script in (get_plotlyjs(), drawing)]
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(parts) + "\n</body></html>\n"


def _table(rows: Rows, looks: Mapping[str, Look]) -> str:
    """An HTML table of plain text, which scrolls by itself where the page is narrow; groups carry their mark."""
    header, *body = rows
    kinds = [' class="text"' if name in _TEXT_COLUMNS else "" for name in header]
    lines = ["".join(f"<th{kind}>{escape(cell)}</th>" for cell, kind in zip(header, kinds, strict=True))]
    for row in body:
        cells = [
            _cell(cell, looks.get(cell) if name == "group" else None) for cell, name in zip(row, header, strict=True)
        ]
        lines.append("".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(cells, kinds, strict=True)))
    return '<div class="wide"><table>' + "".join(f"<tr>{line}</tr>" for line in lines) + "</table></div>"


def _cell(text: str, look: Look | None) -> str:
    """The text, in which a figure and its spread stay on one line."""
    mark = f'<span style="color:{look.colour}">{look.sign}</span> ' if look else ""
    return mark + escape(text).replace(" ± ", "&nbsp;±&nbsp;")
