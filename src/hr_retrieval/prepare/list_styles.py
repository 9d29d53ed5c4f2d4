"""Columns whose cells look as if each held several texts, though each is read as one."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from hr_retrieval.config.overrides import word
from hr_retrieval.prepare.clean import bracketed, parts_of
from hr_retrieval.prepare.columns import Columns
from hr_retrieval.program import shell_word

log = logging.getLogger(__name__)

_STYLES = {
    "brackets": "as Python and JSON write them",
    "lines": "one text a line",
    "|": "with | between",
    ";": "with ; between",
    ",": "with commas between",
}


class ListStyles:
    """Whether cells that are read as one text look like several, by the first ones of each column.

    Args:
        counts: what `counts` gave of the rows before.
    """

    # Cells that are looked at; and the share from which a style is the column's: commas stand in
    # titles, too. A cell of more letters is no list of short texts.
    _CELLS, _LETTERS = 5000, 1 << 14
    _SHARES: ClassVar[dict[str, float]] = {"brackets": 0.2, "lines": 0.2, "|": 0.2, ";": 0.5, ",": 0.5}

    def __init__(self, columns: Columns, counts: Mapping[str, Mapping[str, int]]) -> None:
        names = [name for name in columns.text_names() if name not in columns.separators]
        self._counts: dict[str, Counter[str]] = {name: Counter(counts.get(name, {})) for name in names}

    def look_at(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Count the styles of some rows."""
        for name, counts in self._counts.items():
            cells = [row[name] for row in rows[: max(self._CELLS - counts.total(), 0)]]
            counts.update(self._style(cell) for cell in cells if isinstance(cell, str) and cell)

    def _style(self, cell: str) -> str:
        return (list_style(cell) if len(cell) <= self._LETTERS else None) or ""

    def counts(self) -> dict[str, dict[str, int]]:
        """How many cells of each column are of each style."""
        return {name: dict(counts) for name, counts in self._counts.items()}

    def found(self) -> dict[str, str]:
        """The style of each column whose cells look like lists."""
        styles = {}
        for name, counts in self._counts.items():
            likely = [style for style, share in self._SHARES.items() if counts[style] >= max(share * counts.total(), 2)]
            if likely:
                styles[name] = max(likely, key=counts.__getitem__)
        return styles


def list_style(cell: str) -> str | None:
    """How a cell looks like several short texts: `brackets`, `lines`, `;`, `|` or `,`; `None` for one text."""
    if bracketed(cell):
        return "brackets"
    for style, fewest, words in (("lines", 2, 8), ("|", 2, 8), (";", 3, 8), (",", 3, 4)):
        parts = [part.strip() for part in parts_of(cell, style) if part.strip()]
        if len(parts) >= fewest and all(
            len(part.split()) <= words and not part.endswith((".", "!", "?", ":")) for part in parts
        ):
            return style
    return None


def propose_lists(counts: Mapping[str, Mapping[str, int]], columns: Columns) -> None:
    """Say which columns look as if each cell held several texts, by what `ListStyles.counts` gave."""
    for name, style in ListStyles(columns, counts).found().items():
        # Of two columns with two separators each must be said.
        known = columns.separators | {name: "lines" if style == "brackets" else style}
        signs = list(known.values())
        keys = {"lists": list(known), "separator": signs if len(set(signs)) > 1 else signs[0]}
        log.warning(
            "Many cells of the column %r look like lists (%s), and each is read as one text. To read each part as a "
            "text of its own: %s",
            name,
            _STYLES[style],
            " ".join(shell_word(word(f"data.columns.{key}", value)) for key, value in keys.items()),
        )
