"""Several strategies after each other, and what is ranked by them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from jaxtyping import Float
from scipy.sparse import csr_array
from torch import Tensor

from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.index import ExactIndex
from hr_retrieval.retrieval.mixing.base import Need, RankingMixing
from hr_retrieval.retrieval.mixing.corpus import Corpus, Side
from hr_retrieval.retrieval.mixing.documents import DocumentMixing
from hr_retrieval.retrieval.mixing.hubs import HubCorrection
from hr_retrieval.retrieval.mixing.lexical import LexicalMixing
from hr_retrieval.retrieval.mixing.queries import QueryMixing
from hr_retrieval.retrieval.mixing.views import ViewMixing
from hr_retrieval.retrieval.ranking import Ranking, exact_ranking, ranking_by_scores
from hr_retrieval.retrieval.relevance import Relevance

# In the order in which they are applied.
PARTS: dict[str, type[RankingMixing]] = {
    part.name: part for part in (ViewMixing, DocumentMixing, QueryMixing, HubCorrection, LexicalMixing)
}


@dataclass(frozen=True)
class Mixed:
    """What is ranked: embeddings whose inner products are the scores, and what n-grams add to these.

    Attributes:
        queries: `[Q, e]`.
        documents: `[N, e]`.
        ngrams: sparse rows of the queries and of the documents, whose product is added.
    """

    queries: Float[Tensor, "Q e"]
    documents: Float[Tensor, "N e"]
    ngrams: tuple[csr_array, csr_array] | None = None

    def ranking(self, relevance: Relevance, k: int) -> Ranking:
        """Exact ranks and the best `k` documents, as of `exact_ranking`."""
        if self.ngrams is None:
            return exact_ranking(self.queries, self.documents, relevance, k)
        queries, documents = self.ngrams[0], self.ngrams[1].T.tocsr()

        def scores(rows: Tensor) -> Tensor:
            sparse = torch.from_numpy((queries[rows.cpu().numpy()] @ documents).toarray()).to(self.queries)
            return torch.addmm(sparse, self.queries[rows], self.documents.T)

        return ranking_by_scores(scores, relevance, len(self.documents), k)


@dataclass(frozen=True, kw_only=True)
class Composition:
    """Strategies, each after the ones before it: `views`, `documents`, `queries`, `hubs`,
    `lexical`; of none it is no mixing.

    Queries look for their nearest documents among the mixed ones. A document's nearest documents
    are those of its plain embedding, searched once for all parts: one pass over the corpus, in
    blocks.
    """

    views: ViewMixing | None = None
    documents: DocumentMixing | None = None
    queries: QueryMixing | None = None
    hubs: HubCorrection | None = None
    lexical: LexicalMixing | None = None

    @classmethod
    def of(cls, *parts: RankingMixing) -> "Composition":
        """These strategies, each of another kind."""
        return Composition(**{part.name: part for part in parts})  # type: ignore[arg-type]  # by its own name

    @property
    def parts(self) -> tuple[RankingMixing, ...]:
        """Those that there are, in the order in which they are applied."""
        found = [getattr(self, name) for name in PARTS]
        return tuple(part for part in found if part is not None)

    @property
    def needs(self) -> frozenset[Need]:
        """What they must be given beside the embeddings."""
        return frozenset[Need]().union(*(part.needs for part in self.parts))

    def check(self, document_count: int) -> None:
        """Raise `UserError` unless a corpus of so many documents is large enough for every part."""
        for part in self.parts:
            if part.least > document_count:
                raise UserError(
                    f"at least {part.least:,} documents for ranking/mixing={part.name} ({part})",
                    f"{document_count:,}",
                    "Set ranking/mixing=none." if document_count < 3 else "Lower its k, or set ranking/mixing=none.",
                )

    def fitting(self, document_count: int) -> "Composition":
        """The parts that a corpus of so many documents is large enough for."""
        return Composition.of(*(part for part in self.parts if part.least <= document_count))

    def mix_documents(self, corpus: Corpus) -> Float[Tensor, "N e"]:
        """What is ranked in the place of the documents; done once, when a corpus is embedded.

        Raises:
            UserError: the corpus is too small for a part, or lacks what it needs.
        """
        self.check(len(corpus))
        mixed = corpus.side.embeddings
        if self.lexical is not None and corpus.side.ngrams is None:
            raise UserError("n-grams of the documents", "none", "Rank with the texts at hand, or without lexical.")
        for part in self.parts:
            mixed = part.documents(mixed, corpus)
        return mixed

    def mix_queries(self, queries: Side, documents: ExactIndex | None) -> Float[Tensor, "Q e"]:
        """What is compared with the mixed documents in the place of the queries.

        Args:
            documents: what `searched` gives, made once for many calls.
        """
        mixed = queries.embeddings
        for part in self.parts:
            mixed = part.queries(mixed, documents, queries)
        return mixed if self.lexical is None else (1 - self.lexical.weight) * mixed

    def searched(self, documents: Float[Tensor, "N e"], dimension: int) -> ExactIndex | None:
        """Where queries of this dimension look for their nearest among mixed documents; `None` if no part looks."""
        return ExactIndex(documents[:, :dimension]) if any(part.looks for part in self.parts) else None

    def __call__(self, queries: Side, corpus: Corpus) -> Mixed:
        """Both sides."""
        documents = self.mix_documents(corpus)
        index = self.searched(documents, queries.embeddings.shape[1])
        return Mixed(self.mix_queries(queries, index), documents, self._ngrams(queries, corpus.side))

    def to_json(self) -> dict[str, dict[str, Any]]:
        """Each part's options by its name; `from_json` reads it."""
        return {part.name: asdict(part) for part in self.parts}

    @classmethod
    def from_json(cls, content: object, where: str) -> "Composition":
        """What `to_json` gave.

        Raises:
            UserError: `where` names a part or an option that there is not, or with a value that
                cannot be.
        """
        if not isinstance(content, Mapping):
            raise UserError(f"strategies of mixing in {where}", type(content).__name__, "Export the encoder anew.")
        return Composition.of(*(_part(name, options, where) for name, options in content.items()))

    def _ngrams(self, queries: Side, documents: Side) -> tuple[csr_array, csr_array] | None:
        if self.lexical is None:
            return None
        assert queries.ngrams is not None, "asked for by `needs`"
        assert documents.ngrams is not None, "asked for by `needs`"
        return queries.ngrams * self.lexical.weight, documents.ngrams

    def __str__(self) -> str:
        return "; ".join(map(str, self.parts)) or "no mixing"


@dataclass(frozen=True, kw_only=True)
class AutoMixing(Composition):
    """The composition whose strengths validation chooses; who ranks later takes the strengths that it has chosen."""


def _part(name: object, options: object, where: str) -> RankingMixing:
    if name not in PARTS:
        raise UserError(
            f"strategies of mixing in {where}: {', '.join(PARTS)}",
            repr(name),
            "Export the encoder anew with this version.",
        )
    kind = PARTS[str(name)]
    known = {field.name for field in fields(kind)}
    if not isinstance(options, Mapping) or set(options) - known:
        got = ", ".join(map(str, options)) if isinstance(options, Mapping) else type(options).__name__
        raise UserError(
            f"options of {name} in {where}: {', '.join(sorted(known))}",
            got,
            "Export the encoder anew with this version.",
        )
    try:
        return kind(**options)
    except TypeError:
        raise UserError(f"numbers as the options of {name} in {where}", str(dict(options)), "Export it anew.") from None
