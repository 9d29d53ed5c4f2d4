"""Two rankings made one: by meaning and by words."""

from collections.abc import Mapping, Sequence

# How little a place counts further down.
_RANK = 60


def by_rank(rankings: Sequence[Sequence[str]]) -> dict[str, float]:
    """Reciprocal rank fusion: the sum of `1 / (60 + rank)` over the rankings that have the document.

    Cormack, Clarke and Büttcher, Reciprocal rank fusion outperforms Condorcet and individual rank
    learning methods, SIGIR 2009.
    """
    scores: dict[str, float] = {}
    for ranking in rankings:
        for place, document in enumerate(ranking):
            scores[document] = scores.get(document, 0.0) + 1 / (_RANK + place + 1)
    return scores


def by_score(meaning: Mapping[str, float], words: Mapping[str, float], weight: float) -> dict[str, float]:
    """`(1 - w) m + w v`, `m` the score by meaning, at least 0, and `v` that by words as a share of the best one.

    A document without words in common has a `v` of 0. Bruch, Gai and Ingber, An analysis of fusion
    functions for hybrid retrieval, TOIS 2023 (convex combination, with the least possible score of
    each side for its zero).
    """
    top = max(words.values(), default=0.0) or 1.0
    return {
        document: (1 - weight) * max(0.0, score) + weight * words.get(document, 0.0) / top
        for document, score in meaning.items()
    }
