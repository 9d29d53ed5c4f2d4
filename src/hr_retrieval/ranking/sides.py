"""Queries and documents in numbers, with what a mixing needs beside their embeddings."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from jaxtyping import Float
from scipy.sparse import csr_array
from torch import Tensor
from torch.nn import functional as F

from hr_retrieval.encoder.embedder import Embedder
from hr_retrieval.encoder.wording import Kind
from hr_retrieval.retrieval.mixing import Bank, Composition, Corpus, Side
from hr_retrieval.retrieval.mixing.views import PLACE

# The texts themselves are read only where a strategy needs them.
Texts = Callable[[], list[str]]


class Sides:
    """The corpus, and queries to it.

    Args:
        mixing: whose needs are met.
        encoder: of the embeddings; other wordings are encoded with it.
        texts: of the documents.
        embeddings: of the documents.
        bank: training queries, where the mixing needs them.
    """

    def __init__(
        self,
        mixing: Composition,
        encoder: Embedder,
        texts: Texts,
        embeddings: Float[Tensor, "N d"],
        bank: Bank | None = None,
    ) -> None:
        self._mixing, self._encoder = mixing, encoder
        self._texts, self._embeddings, self._bank = texts, embeddings, bank
        self._vectorizer: Any = None
        if "ngrams" in mixing.needs:
            # scikit-learn takes a second to import.
            from hr_retrieval.baselines.systems import character_vectorizer

            self._vectorizer = character_vectorizer().fit(texts())

    @cached_property
    def corpus(self) -> Corpus:
        """The documents, with all that the mixing needs of them."""
        return Corpus(
            Side(self._embeddings, self.ngrams, self._views(self._texts, "document", self._embeddings)), self._bank
        )

    @cached_property
    def ngrams(self) -> csr_array | None:
        """Unit rows of counted pieces of the documents' words; `None` where the mixing needs none."""
        return self._counted(self._texts)

    def queries(self, texts: Texts, embeddings: Float[Tensor, "Q d"]) -> Side:
        """Some queries."""
        return Side(embeddings, self._counted(texts), self._views(texts, "query", embeddings))

    def _counted(self, texts: Texts) -> csr_array | None:
        return None if self._vectorizer is None else csr_array(self._vectorizer.transform(texts()))

    def _views(self, texts: Texts, kind: Kind, like: Float[Tensor, "n d"]) -> Float[Tensor, "n d"] | None:
        views = self._mixing.views
        if views is None:
            return None
        return mean_of_wordings(
            self._encoder, texts(), kind, views.query_templates if kind == "query" else views.document_templates
        ).to(like)


def mean_of_wordings(encoder: Embedder, texts: list[str], kind: Kind, templates: Sequence[str]) -> Float[Tensor, "n d"]:
    """The unit mean of each text's embeddings in the templates."""
    total = sum(encoder.encode([template.replace(PLACE, text) for text in texts], kind) for template in templates)
    assert isinstance(total, Tensor), "there is a template"
    return F.normalize(total, dim=1)
