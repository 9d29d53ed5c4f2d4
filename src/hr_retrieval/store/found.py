"""What a search finds."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Found:
    """A document and its best passage.

    Attributes:
        document: its id.
        score: of the document; higher is better.
        begin: the place of the passage's first letter in the document's text.
        end: the place behind its last one.
        content: the document's text and metadata, where the search has read them.
    """

    document: str
    score: float
    begin: int
    end: int
    content: tuple[str, Mapping[str, object]] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Hit:
    """A document as it is shown.

    Attributes:
        document: its id.
        score: what it is ranked by.
        scores: what that was made of, by name: `meaning`, `words`, `rerank`.
        text: the whole document.
        begin: of the best passage in it.
        end: likewise.
        marks: places in the text that are nearest to the query, within the passage.
        words: of the query that the passage has too.
        metadata: by column.
    """

    document: str
    score: float
    scores: Mapping[str, float]
    text: str
    begin: int
    end: int
    marks: tuple[tuple[int, int], ...] = ()
    words: tuple[str, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)

    @property
    def passage(self) -> str:
        """The best passage."""
        return self.text[self.begin : self.end]
