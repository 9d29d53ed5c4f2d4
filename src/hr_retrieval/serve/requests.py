"""What may be asked, and what is answered: the schema of the API."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hr_retrieval.store.found import Hit
from hr_retrieval.store.searcher import MOST_HITS, Asked


class Options(BaseModel):
    """How a query is answered."""

    model_config = ConfigDict(extra="forbid")

    k: int = Field(10, ge=1, le=MOST_HITS, description="documents")
    filters: dict[str, Any] = Field(
        {}, max_length=50, description="by metadata column a value, a list of values, or {from, to}"
    )
    passages: Literal["max", "mean"] = Field("max", description="a document scores by its best passage, or all")
    hybrid: Literal["rank", "score"] | None = Field(None, description="how words count too; none for meaning alone")
    weight: float = Field(0.3, ge=0, le=1, description="of words in score fusion")
    explain: bool = Field(False, description="whether to mark what is nearest to the query")

    def asked(self) -> Asked:
        """The same for the searcher."""
        return Asked(
            k=self.k,
            filters=self.filters,
            passages=self.passages,
            hybrid=self.hybrid,
            weight=self.weight,
            explain=self.explain,
        )


class SearchRequest(Options):
    """A query."""

    query: str = Field(description="what is looked for: a title, a few words, a whole text")


class SimilarRequest(Options):
    """A document of the index."""

    document: str = Field(max_length=1000, description="its id")


class EmbedRequest(BaseModel):
    """Texts to embed."""

    model_config = ConfigDict(extra="forbid")

    texts: list[str] = Field(min_length=1, max_length=256)
    kind: Literal["query", "document"] = Field("query", description="as what the encoder reads them")


class HitAnswer(BaseModel):
    """A document that was found; places count letters (code points) of `text`."""

    document: str
    score: float
    scores: dict[str, float]
    text: str
    begin: int
    end: int
    marks: list[tuple[int, int]]
    words: list[str]
    metadata: dict[str, Any]

    @classmethod
    def of(cls, hit: Hit) -> "HitAnswer":
        """A hit as JSON has it."""
        return cls(**{name: getattr(hit, name) for name in cls.model_fields})


class SearchAnswer(BaseModel):
    """Documents, best first."""

    hits: list[HitAnswer]
    exact: bool = Field(description="whether all passages were compared")
    read: str | None = Field(default=None, description="the text that was read from a file")


class EmbedAnswer(BaseModel):
    """Unit vectors, in the order of the texts."""

    embeddings: list[list[float]]


class Column(BaseModel):
    """A metadata column that can be filtered by."""

    name: str
    kind: Literal["text", "number", "yes/no"]
    values: list[str] = Field([], description="of a text column, the commonest first; none where there are many")


class Health(BaseModel):
    """That the service lives, and on what."""

    status: Literal["ok"] = "ok"
    documents: int
    passages: int
    exact: bool
    encoder: str = Field(description="fingerprint")
    filters: list[Column]
