"""The findings as sections of tables, in plain text for a terminal and as one HTML file without scripts."""

from collections.abc import Iterator
from html import escape

from hr_retrieval.inspect.findings import Findings
from hr_retrieval.inspect.remarks import remarks
from hr_retrieval.inspect.words import Words
from hr_retrieval.markdown import Rows, markdown_table
from hr_retrieval.pages.page import document, paragraphs

# Beside the rules of all pages: remarks, and tables of texts, whose rows stand alone on a telephone.
_STYLE = (
    "body{max-width:70em}h2{font-size:1.15em;margin-top:2em}td,th{vertical-align:top}"
    "td.text,th.text{overflow-wrap:anywhere;min-width:5.5em}"
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
            *([words(name), *(words.number(count) for count in own)] for name, own in found.splits.items()),
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
                [words(name), words.number(count)]
                for name, count in zip(names, (*found.documents, *found.groups), strict=True)
            ),
        ],
        1,
        False,
    )
    if found.lengths:
        columns = ("side", "shortest", "median", "95 %", "longest read", "cut")
        rows = [
            [words(side), *(words.number(value) for value in own.quantiles), words.number(own.cut, ".1%")]
            for side, own in found.lengths.items()
        ]
        yield words("Length in tokens"), [[*map(words, columns)], *rows], 1, False
    scripts = list(dict.fromkeys(name for own in found.languages.values() for name in own))
    rows = [
        [words(side), *(words.number(own.get(name, 0), ".1%") for name in scripts)]
        for side, own in found.languages.items()
    ]
    yield words("Languages"), [["", *map(words, scripts)], *rows], 1, False
    rows = [
        [words(leak.kind), leak.example[:100], leak.other[:100], words.number(leak.queries)] for leak in found.leaks
    ]
    yield words("Leaks across splits"), [[*map(words, ("shared", "such as", "and", "queries"))], *rows], 3, True
    rows = [[reason, words.number(count)] for reason, count in found.rejected.items()]
    yield words("Rows left out"), [[*map(words, ("reason", "rows"))], *rows], 1, False
    rows = [[kind, words.number(count)] for kind, count in found.masked.items()]
    yield words("Masked personal data"), [[*map(words, ("kind", "pieces"))], *rows], 1, False
    if found.masks:
        yield "", [[*map(words, ("kind", "before", "after"))], *map(list, found.masks)], 3, True
    if found.boilerplate:
        rows = [[text, words.number(count)] for text, count in found.boilerplate]
        yield words("Sentences left out of many documents"), [[*map(words, ("such as", "documents"))], *rows], 1, True
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
        paragraphs([words("Source: {0}", found.source)]),
        f"<h2>{escape(words('Before you train'))}</h2>",
        f'<ul class="remarks">{items}</ul>' if said else paragraphs([words("Nothing to say against it.")]),
    ]
    for heading, rows, texts, long in sections(found, words):
        if heading:
            parts.append(f"<h2>{escape(heading)}</h2>")
        parts.append(_table(rows, texts, long) if len(rows) > 1 else paragraphs([words("None.")]))
    return document(words("Data set {0}", found.name), parts, language=words.language, style=_STYLE)


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
