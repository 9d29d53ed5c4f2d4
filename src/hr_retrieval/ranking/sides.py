"""Queries and documents in numbers, with what a mixing needs beside their embeddings."""

from collections.abc import Callable, Sequence
from typing import Any

from jaxtyping import Float
from scipy.sparse import csr_array
from torch import Tensor
from torch.nn import functional as F

from hr_retrieval.baselines.systems import character_vectorizer
from hr_retrieval.encoder.encoder import Encoder
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
        encoder: Encoder,
        texts: Texts,
        embeddings: Float[Tensor, "N d"],
        bank: Bank | None = None,
    ) -> None:
        self._mixing, self._encoder = mixing, encoder
        self._vectorizer: Any = character_vectorizer().fit(texts()) if "ngrams" in mixing.needs else None
        self.corpus = Corpus(self._side(texts, embeddings, "document"), bank)

    def queries(self, texts: Texts, embeddings: Float[Tensor, "Q d"]) -> Side:
        """Some queries."""
        return self._side(texts, embeddings, "query")

    def _side(self, texts: Texts, embeddings: Float[Tensor, "n d"], kind: Kind) -> Side:
        ngrams = csr_array(self._vectorizer.transform(texts())) if self._vectorizer is not None else None
        return Side(embeddings, ngrams, self._views(texts, kind, embeddings))

    def _views(self, texts: Texts, kind: Kind, like: Float[Tensor, "n d"]) -> Float[Tensor, "n d"] | None:
        views = self._mixing.views
        if views is None:
            return None
        return mean_of_wordings(
            self._encoder, texts(), kind, views.query_templates if kind == "query" else views.document_templates
        ).to(like)


def mean_of_wordings(encoder: Encoder, texts: list[str], kind: Kind, templates: Sequence[str]) -> Float[Tensor, "n d"]:
    """The unit mean of each text's embeddings in the templates."""
    total = sum(encoder.encode([template.replace(PLACE, text) for text in texts], kind) for template in templates)
    assert isinstance(total, Tensor), "there is a template"
    return F.normalize(total, dim=1)
