"""A cross-encoder behind the encoder: what the best documents are worth in its order, and what it costs."""

import logging
import time
from collections.abc import Mapping
from typing import Any

from hr_retrieval.errors import UserError
from hr_retrieval.evaluate.summary import Texts
from hr_retrieval.ranking.second_stage import ordered_anew
from hr_retrieval.retrieval.ranking import Ranking
from hr_retrieval.store.reranker import Reranker

log = logging.getLogger(__name__)


def open_second_stage(rerank: str | None, depth: int, most: int) -> Reranker | None:
    """The cross-encoder in this folder, if one is named.

    Raises:
        UserError: it is none, or `depth` is not from 2 to `most`.
    """
    if rerank is None:
        return None
    if not 2 <= depth <= most:
        raise UserError(f"depth from 2 to {most}", str(depth), "So many documents of each query are ordered anew.")
    return Reranker(rerank)


def told(cost: Mapping[str, Any]) -> str:
    """What it took, in words."""
    return (
        f"The best {cost['depth']} documents of each query in the order of {cost['folder']}: {cost['pairs']:,} pairs, "
        f"{1000 * cost['seconds_a_query']:.0f} ms a query."
    )


def reranked(reranker: Reranker, ranking: Ranking, texts: Texts, depth: int) -> tuple[Ranking, dict[str, Any]]:
    """The first stage's ranking with the best `depth` of each measured query ordered anew; pairs and seconds."""
    depth, measured = min(depth, ranking.rows.shape[1]), int((texts.relevance.counts > 0).sum())
    log.info("ordering the best %d documents of %d queries anew", depth, measured)
    begun = time.monotonic()
    ranks, pairs = ordered_anew(reranker.scores, ranking, texts.relevance, texts.queries, texts.documents, depth)
    seconds = time.monotonic() - begun
    cost = {
        "depth": depth,
        "pairs": pairs,
        "seconds": round(seconds, 2),
        "seconds_a_query": seconds / max(measured, 1),
    }
    return Ranking(ranks, ranking.scores, ranking.rows), cost
