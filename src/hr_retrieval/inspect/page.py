"""The findings as sections of tables, in plain text for a terminal and as one HTML file without scripts."""

from collections.abc import Iterator
from html import escape

from hr_retrieval.inspect.findings import Findings
from hr_retrieval.inspect.remarks import remarks
from hr_retrieval.inspect.words import Words
from hr_retrieval.markdown import Rows, markdown_table

_STYLE = (
    ":root{color-scheme:light dark}body{font-family:sans-serif;line-height:1.45;margin:2em auto;max-width:70em;padding:0 1em;"
    "overflow-wrap:anywhere}h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}.wide{overflow-x:auto;margin:1em 0}"
    "table{border-collapse:collapse;font-size:.95em}td,th{border:1px solid #8886;padding:.3em .6em;text-align:right;"
    "vertical-align:top;overflow-wrap:normal}td.text,th.text{text-align:left;overflow-wrap:anywhere;min-width:5.5em}"
    "ul.remarks{padding:0;list-style:none}ul.remarks li{border-left:.3em solid #d97706;padding:.2em .8em;margin:.5em 0}"
    "@media(max-width:40em){.long tr{display:block;border-bottom:1px solid #8886;padding:.4em 0}.long td{display:block;border:0;"
    "padding:.1em 0}.long tr:first-child{display:none}}"
)
# A heading, a table, and the number of its columns of text; a table is long where these are texts of
# the data.
Section = tuple[str, Rows, int, bool]


def sections(found: Findings, words: Words) -> Iterator[Section]:
    """Everything but the remarks."""
    heads = ("split", "queries", "right answers", "stated negatives")
    yield (
        words("Splits"),
        [
            [*map(words, heads)],
            *([words(name), *(f"{count:,}" for count in own)] for name, own in found.splits.items()),
        ],
        1,
        False,
    )
    names = (
        "documents",
        "with a near-duplicate",
        "that answer no query",
        "stated groups",
        "queries of the largest group",
        "queries without a group",
    )
    yield (
        words("Documents"),
        [
            ["", ""],
            *(
                [words(name), f"{count:,}"]
                for name, count in zip(names, (*found.documents, *found.groups), strict=True)
            ),
        ],
        1,
        False,
    )
    if found.lengths:
        columns = ("side", "shortest", "median", "95 %", "longest read", "cut")
        rows = [
            [words(side), *(f"{value:,}" for value in own.quantiles), f"{own.cut:.1%}"]
            for side, own in found.lengths.items()
        ]
        yield words("Length in tokens"), [[*map(words, columns)], *rows], 1, False
    scripts = list(dict.fromkeys(name for own in found.languages.values() for name in own))
    rows = [[words(side), *(f"{own.get(name, 0):.1%}" for name in scripts)] for side, own in found.languages.items()]
    yield words("Languages"), [["", *map(words, scripts)], *rows], 1, False
    rows = [[words(leak.kind), leak.example[:100], leak.other[:100], f"{leak.queries:,}"] for leak in found.leaks]
    yield words("Leaks across splits"), [[*map(words, ("shared", "such as", "and", "queries"))], *rows], 3, True
    rows = [[reason, f"{count:,}"] for reason, count in found.rejected.items()]
    yield words("Rows left out"), [[*map(words, ("reason", "rows"))], *rows], 1, False
    rows = [[kind, f"{count:,}"] for kind, count in found.masked.items()]
    yield words("Masked personal data"), [[*map(words, ("kind", "pieces"))], *rows], 1, False
    if found.masks:
        yield "", [[*map(words, ("kind", "before", "after"))], *map(list, found.masks)], 3, True
    rows = [[words(split), query, document] for split, query, document in found.examples]
    yield words("Examples by lot"), [[*map(words, ("split", "query", "a right answer"))], *rows], 3, True


def plain(found: Findings, words: Words) -> str:
    """For a terminal."""
    said = remarks(found, words) or [words("Nothing to say against it.")]
    lines = [
        words("Data set {0}", found.name),
        words("Source: {0}", found.source),
        "",
        words("Before you train"),
        *(f"* {line}" for line in said),
    ]
    for heading, (header, *body), texts, long in sections(found, words):
        short = [[cell if len(cell) < 60 or not long else f"{cell[:59]}…" for cell in row] for row in body]
        lines += ["", heading, markdown_table([header, *short], text=range(texts)) if body else words("None.")]
    return "\n".join(lines)


def page(found: Findings, words: Words) -> str:
    """The HTML file: texts of the data stand in it as text, and no script may run."""
    said = remarks(found, words)
    items = "".join(f"<li>{escape(line)}</li>" for line in said)
    parts = [
        f"<h1>{escape(words('Data set {0}', found.name))}</h1>",
        f"<p>{escape(words('Source: {0}', found.source))}</p>",
        f"<h2>{escape(words('Before you train'))}</h2>",
        f'<ul class="remarks">{items}</ul>' if said else f"<p>{escape(words('Nothing to say against it.'))}</p>",
    ]
    for heading, rows, texts, long in sections(found, words):
        if heading:
            parts.append(f"<h2>{escape(heading)}</h2>")
        parts.append(_table(rows, texts, long) if len(rows) > 1 else f"<p>{escape(words('None.'))}</p>")
    head = (
        '<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="default-src \'none\';style-src \'unsafe-inline\'">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><title>{escape(found.name)}</title><style>{_STYLE}</style>'
    )
    return (
        f'<!doctype html>\n<html lang="{words.language}"><head>{head}</head>\n<body>\n'
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _table(rows: Rows, texts: int, long: bool) -> str:
    lines = []
    for number, row in enumerate(rows):
        if not any(row):
            continue
        tag = "td" if number else "th"
        cells = [
            f"<{tag}{' class=text dir=auto' if place < texts else ''}>{escape(cell)}</{tag}>"
            for place, cell in enumerate(row)
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    kind = "wide long" if long else "wide"
    return f'<div class="{kind}"><table>{"".join(lines)}</table></div>'
