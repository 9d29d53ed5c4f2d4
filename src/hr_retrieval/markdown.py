"""Tables in GitHub's Markdown."""

from collections.abc import Collection, Sequence

# The first row is the header.
Rows = Sequence[Sequence[str]]


def number(value: float | None, form: str) -> str:
    """The number in this format, and `-` for none."""
    return "-" if value is None else format(value, form)


def markdown_table(rows: Rows, text: Collection[int] = (0,)) -> str:
    """A table of plain text.

    Args:
        rows: the header, then the body.
        text: numbers of the columns that stand to the left; figures stand to the right.
    """
    header, *body = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows]
    rule = ["---" if number in text else "---:" for number in range(len(header))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, rule, *body))
