"""An evaluation that ranks long texts by their passages, as an index does."""

import logging

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.errors import UserError
from hr_retrieval.evaluate.summary import Texts
from hr_retrieval.ranking.passages import Passages, passage_ranking
from hr_retrieval.retrieval.mixing import Composition
from hr_retrieval.retrieval.passages import check_pooled
from hr_retrieval.retrieval.ranking import Ranking

log = logging.getLogger(__name__)


def by_passages(encoder: Encoder, texts: Texts, pooled: str, overlap: int, depth: int) -> Ranking:
    """The ranking of the documents by their passages, with the best `depth` of each query."""
    documents = Passages.of(encoder, texts.documents, "document", overlap)
    log.info("ranked by %d passages of %d documents", len(documents.embeddings), len(texts.documents))
    queries = Passages.of(encoder, texts.queries, "query", overlap).unit_means()
    return passage_ranking(queries, documents, texts.relevance, pooled, depth)


def check_passages(passages: str | None, overlap: int, mixing: Composition, encoder: Encoder) -> None:
    """Raise `UserError` where texts cannot be ranked by passages as asked."""
    if passages is None:
        return
    check_pooled(passages)
    encoder.passages(["a"], "document", overlap)
    if mixing.parts:
        raise UserError(
            f"passages or mixing at ranking time ({mixing}), which was chosen on documents of one passage each",
            f"both, passages={passages}",
            "Leave out the mixing: ranking/mixing=none.",
        )
