"""An opened index: queries in, ranked documents out."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hr_retrieval.encoder.embedder import Embedder
from hr_retrieval.encoder.session import GRAPH, GraphEncoder
from hr_retrieval.encoder.wording import Kind
from hr_retrieval.errors import UserError
from hr_retrieval.extras import check_extra
from hr_retrieval.ranking.passages import Passages
from hr_retrieval.store.approximate import ApproximateSearch
from hr_retrieval.store.exact import MOST, ExactSearch
from hr_retrieval.store.filters import Condition, conditions, sql
from hr_retrieval.store.found import Found, Hit
from hr_retrieval.store.fusion import by_rank, by_score
from hr_retrieval.store.manifest import Manifest
from hr_retrieval.store.marks import nearest_sentence, shared_words
from hr_retrieval.store.reranker import Reranker
from hr_retrieval.store.scan import best_by_scan
from hr_retrieval.store.table import PassageTable
from hr_retrieval.text import normalise

log = logging.getLogger(__name__)

# Letters of a query or a résumé; hits of one search; documents that are fused or re-ranked.
LONGEST, MOST_HITS, _CANDIDATES = 50_000, 1000, 100
# Values of a column that are offered to choose from.
_VALUES = 100
# Words of a long query that are looked up.
_WORDS = 100


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How a query is answered.

    Attributes:
        k: documents.
        filters: a value, a list of values, or `{from, to}`, by metadata column.
        passages: whether a document scores by its best passage (`max`) or all of them (`mean`).
        hybrid: how words count too: `rank` or `score` fusion; `None` for meaning alone.
        weight: of words in `score` fusion.
        explain: whether to mark what is nearest to the query.
    """

    k: int = 10
    filters: Mapping[str, Any] = field(default_factory=dict)
    passages: str = "max"
    hybrid: str | None = None
    weight: float = 0.3
    explain: bool = False

    def __post_init__(self) -> None:
        for name, right, expected in (
            ("k", 1 <= self.k <= MOST_HITS, f"from 1 to {MOST_HITS}"),
            ("passages", self.passages in ("max", "mean"), "max or mean"),
            ("hybrid", self.hybrid in (None, "rank", "score"), "rank, score or null"),
            ("weight", 0 <= self.weight <= 1, "from 0 to 1"),
        ):
            if not right:
                raise UserError(f"{name} to be {expected}", repr(getattr(self, name)), f"Set {name} so.")


class Searcher:
    """An index folder with the encoder that made it, ready to answer.

    Args:
        folder: of the index.
        encoder: where its encoder lies now, or that one's ONNX graph; `None` for where it lay then.
        reranker: a cross-encoder's folder, which scores the best hundred once more.
        device: of the encoder; a graph runs on the CPU.

    Raises:
        UserError: the folder is no whole index, or the encoder is another one.
    """

    def __init__(
        self, folder: Path, encoder: str | None = None, reranker: str | None = None, device: str | None = None
    ) -> None:
        self.folder = folder
        self.manifest = Manifest.read(folder)
        if self.manifest.table is None:
            raise UserError(
                f"a whole index in {folder}",
                "one whose making was stopped",
                "Run the command that made it once more: it goes on where it was.",
            )
        self.encoder = _opened(encoder or self.manifest.encoder, device)
        self.manifest.check_encoder(self.encoder.embedding_fingerprint(), folder, encoder or self.manifest.encoder)
        self._reranker = Reranker(reranker) if reranker else None
        few = self.manifest.passages <= MOST
        self._search: ExactSearch | ApproximateSearch = (
            ExactSearch(self.manifest, self.encoder, folder) if few else ApproximateSearch(self.manifest, self.table)
        )

    @cached_property
    def table(self) -> PassageTable:
        """All passages on disk, as the manifest has them; a small index opens it for hybrid search alone."""
        return PassageTable(self.manifest.table_place(self.folder), version=self.manifest.table)

    @property
    def exact(self) -> bool:
        """Whether all passages are compared with a query."""
        return self._search.exact

    @property
    def _query_kind(self) -> Kind:
        return "query" if self.manifest.side == "document" else "document"

    def embed(self, texts: Sequence[str], kind: Kind | None = None) -> Float[Tensor, "n d"]:
        """Unit embeddings; of a long text the unit mean over its passages, where the index has passages.

        Args:
            kind: as what they are read; `None` for what is not indexed, the queries.
        """
        kind = kind or self._query_kind
        if self.manifest.overlap is None:
            return self.encoder.encode(list(texts), kind).cpu()
        return Passages.of(self.encoder, texts, kind, self.manifest.overlap).unit_means()

    def search(self, queries: Sequence[str], asked: Asked) -> list[list[Hit]]:
        """The best documents for each query, best first.

        Raises:
            UserError: a query is empty or too long, or a filter does not fit the index.
        """
        for query in queries:
            check_query(query)
        wanted = conditions(asked.filters, self.manifest.metadata)
        return self._answer(queries, self.embed(queries), asked, wanted)

    def search_each(self, asked: Sequence[tuple[str, Asked]]) -> list[list[Hit]]:
        """As `search`, each query in its own way; all are encoded together, and those of one way ranked together."""
        if not asked:
            return []
        embeddings = self.embed([query for query, _ in asked])
        ways: list[tuple[Asked, list[int]]] = []
        for place, (_, way) in enumerate(asked):
            same = next((places for other, places in ways if other == way), None)
            if same is None:
                ways.append((way, [place]))
            else:
                same.append(place)
        answers: list[list[Hit]] = [[]] * len(asked)
        for way, places in ways:
            wanted = conditions(way.filters, self.manifest.metadata)
            found = self._answer([asked[place][0] for place in places], embeddings[places], way, wanted)
            for place, hits in zip(places, found, strict=True):
                answers[place] = hits
        return answers

    def columns(self) -> list[dict[str, Any]]:
        """Name and kind of each metadata column, and the values of a text column that has few."""
        found = []
        for name, kind in self.manifest.metadata.items():
            own = self._search.values(name, _VALUES) if kind == "text" else []
            found.append({"name": name, "kind": kind, "values": own})
        return found

    def similar(self, document: str, asked: Asked) -> list[Hit]:
        """The documents nearest to one of the index.

        Raises:
            UserError: there is no such document.
        """
        wanted = conditions(asked.filters, self.manifest.metadata)
        embedding, content = self._search.embedding_of(document), self._search.contents([document])
        if embedding is None:
            raise UserError("the id of a document of the index", repr(document), "Take an id that a search has shown.")
        more = replace(asked, k=min(asked.k + 1, MOST_HITS))
        hits = self._answer([content[document][0]], embedding, more, wanted)[0]
        return [hit for hit in hits if hit.document != document][: asked.k]

    def recall(self, queries: Sequence[str], asked: Asked) -> float:
        """The share of the exactly best `k` documents by meaning that `search` finds; all passages are read once."""
        wanted = conditions(asked.filters, self.manifest.metadata)
        embeddings = self.embed(queries)
        found = self._search.find(embeddings, queries, asked.k, asked.passages, wanted)
        if self.exact:
            return 1.0
        vectors = self.table.vectors(sql(wanted))
        best = best_by_scan(vectors, embeddings, self.manifest.documents, asked.k, asked.passages)
        hits = [
            len(right & {hit.document for hit in own}) / max(1, len(right))
            for own, right in zip(found, best, strict=True)
        ]
        return sum(hits) / len(hits)

    def _answer(
        self, queries: Sequence[str], embeddings: Tensor, asked: Asked, wanted: tuple[Condition, ...]
    ) -> list[list[Hit]]:
        plain = asked.hybrid is None and self._reranker is None
        count = asked.k if plain else max(asked.k, _CANDIDATES)
        ranked = self._search.find(embeddings, queries, count, asked.passages, wanted)
        answers = []
        for query, embedding, found in zip(queries, embeddings, ranked, strict=True):
            scored = [(hit, {"meaning": hit.score}, hit.score) for hit in found]
            if asked.hybrid is not None:
                scored = self._with_words(query, embedding, found, asked, wanted, count)
            contents = {hit.document: hit.content for hit, _, _ in scored if hit.content is not None}
            contents |= self._search.contents([hit.document for hit, _, _ in scored if hit.document not in contents])
            if self._reranker is not None:
                scored = self._reranked(query, scored, contents)
            answers.append(self._hits(query, embedding, scored[: asked.k], contents, asked))
        return answers

    def _with_words(
        self, query: str, embedding: Tensor, found: list[Found], asked: Asked, wanted: tuple[Condition, ...], count: int
    ) -> list[tuple[Found, dict[str, float], float]]:
        distinct = " ".join([*dict.fromkeys(normalise(query).split())][:_WORDS])
        words = dict(self.table.lexical(distinct, count, sql(wanted))) if distinct else {}
        others = [own for own in words if own not in {hit.document for hit in found}]
        # By words alone: their own scores by meaning, and their best passages.
        everything = found + (self._search.among(embedding[None], query, others, asked.passages) if others else [])
        meaning = {hit.document: hit.score for hit in everything}
        fused = (
            by_rank([[hit.document for hit in found], [*words]])
            if asked.hybrid == "rank"
            else by_score(meaning, words, asked.weight)
        )
        ordered = sorted(everything, key=lambda hit: (-fused[hit.document], hit.document))
        return [
            (hit, {"meaning": hit.score, "words": words.get(hit.document, 0.0)}, fused[hit.document]) for hit in ordered
        ]

    def _reranked(
        self,
        query: str,
        scored: list[tuple[Found, dict[str, float], float]],
        contents: Mapping[str, tuple[str, Mapping[str, object]]],
    ) -> list[tuple[Found, dict[str, float], float]]:
        assert self._reranker is not None
        first, rest = scored[:_CANDIDATES], scored[_CANDIDATES:]
        scores = self._reranker.scores(query, [contents[hit.document][0][hit.begin : hit.end] for hit, _, _ in first])
        again = [(hit, {**parts, "rerank": score}, score) for (hit, parts, _), score in zip(first, scores, strict=True)]
        return sorted(again, key=lambda one: -one[2]) + rest

    def _hits(
        self,
        query: str,
        embedding: Tensor,
        scored: Sequence[tuple[Found, dict[str, float], float]],
        contents: Mapping[str, tuple[str, Mapping[str, object]]],
        asked: Asked,
    ) -> list[Hit]:
        vectors = self._search.sentences([found for found, _, _ in scored]) if asked.explain else [None] * len(scored)
        hits = []
        for (found, parts, score), own in zip(scored, vectors, strict=True):
            text, metadata = contents[found.document]
            hit = Hit(found.document, score, parts, text, found.begin, found.end, metadata=metadata)
            if asked.explain:
                marks = nearest_sentence(embedding, query, text, found, own)
                hit = replace(hit, marks=marks, words=shared_words(query, hit.passage))
            hits.append(hit)
        return hits


def _opened(name: str, device: str | None) -> Embedder:
    if (Path(name) / GRAPH).is_file():
        check_extra("onnx", "onnxruntime")
        return GraphEncoder(Path(name))
    # Where a graph will do, none of the libraries of an encoder is loaded.
    from hr_retrieval.runs.directory import open_encoder

    encoder, _ = open_encoder(name)
    return encoder.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def check_query(query: str) -> None:
    """Raise `UserError` unless a text can be searched with."""
    if not normalise(query):
        raise UserError("a query with a word", repr(query[:50]), "Type what you look for, such as a job title.")
    if len(query) > LONGEST:
        raise UserError(
            f"a query of at most {LONGEST:,} letters", f"{len(query):,}", "Leave out what says little of the need."
        )
