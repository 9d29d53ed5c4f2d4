"""Meaning with spelling: scores mixed with those of pieces of words."""

from dataclasses import dataclass, replace
from typing import ClassVar

from hr_retrieval.retrieval.mixing.base import Need, RankingMixing, check


@dataclass(frozen=True, kw_only=True)
class LexicalMixing(RankingMixing):
    """Scores are mixed with the cosine of TF-IDF vectors over character n-grams: `s(q, d) = (1 - w) q.d + w t_q.t_d`.

    Equal to the product of the concatenated vectors `[sqrt(1 - w) q, sqrt(w) t_q]` and `[sqrt(1 -
    w) d, sqrt(w) t_d]`: mixing of embeddings with sparse ones. `Mixed.ranking` adds the sparse
    part.

    Bruch, Gai and Ingber, An analysis of fusion functions for hybrid retrieval, TOIS 2023 (convex
    combination).

    Args:
        weight: `w`, from 0 to below 1.
    """

    name: ClassVar[str] = "lexical"
    weight: float = 0.2

    def __post_init__(self) -> None:
        check(0 <= self.weight < 1, self.name, "weight", "from 0 to below 1", self.weight, "0 leaves n-grams out.")

    def scaled(self, share: float) -> "LexicalMixing":
        return replace(self, weight=self.weight * share)

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset[Need]({"ngrams"})

    def __str__(self) -> str:
        return f"scores mixed by {self.weight:g} with those of character n-grams"
