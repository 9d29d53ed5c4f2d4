"""Each query with what it finds first, and away from what it finds later: pseudo-relevance feedback."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from hr_retrieval.retrieval.index import ExactIndex
from hr_retrieval.retrieval.mixing.base import RankingMixing, check
from hr_retrieval.retrieval.mixing.corpus import Side

# Queries moved at a time: with each go the documents that it found.
_BLOCK = 1024


@dataclass(frozen=True, kw_only=True)
class QueryMixing(RankingMixing):
    """Each query is moved to its nearest documents, taken for right, and away from later ones, taken for wrong.

    With the documents `d_1, d_2, ...` in the order of their cosines `c_i` with the query `q`,

        q' = normalise(q + w (sum_{i <= k} v_i d_i / sum_{i <= k} v_i - b mean(d_first .. d_last)))
        v_i = max(0, c_i - floor)^power

    A second search with `q'` follows: it costs a search what it cost before, once more. A query
    whose first `k` cosines lie further apart than `gate` stays as it is: one document stands out,
    and there are hardly several right ones. So does a query that finds nothing above the floor.

    Vector feedback: Rocchio 1971, on dense embeddings Li et al., Pseudo relevance feedback with
    deep language models and dense retrievers, TOIS 2023; powers of cosines as weights: Radenović,
    Tolias and Chum, Fine-tuning CNN image retrieval with no human annotation, TPAMI 2019 (alpha
    query expansion).

    Args:
        k: documents that are taken for right.
        weight: `w`, at least 0.
        power: of the cosines above the floor; 0 weighs the documents alike.
        floor: cosine up to which a document has no weight.
        negative_weight: `b`, at least 0.
        first: place of the first document that is taken for wrong, from 1; with `b` of 0 there are
            none.
        last: place of the last one.
        gate: largest difference between the first and the `k`-th cosine of a query that is moved;
            `None` moves all.
    """

    name: ClassVar[str] = "queries"
    k: int = 10
    weight: float = 0.5
    power: float = 3.0
    floor: float = 0.0
    negative_weight: float = 0.6
    first: int = 50
    last: int = 100
    gate: float | None = None

    def __post_init__(self) -> None:
        check(self.k >= 1, self.name, "k", "of at least 1", self.k, "Ask for one or more documents.")
        check(self.weight >= 0, self.name, "weight", "of at least 0", self.weight, "0 leaves queries as they are.")
        check(self.power >= 0, self.name, "power", "of at least 0", self.power, "3 is the default.")
        check(
            self.negative_weight >= 0, self.name, "negative_weight", "of at least 0", self.negative_weight,
            "0 leaves the later documents out.",
        )  # fmt: skip
        check(
            self.k < self.first <= self.last, self.name, "first and last", "with k < first <= last",
            f"k={self.k}, first={self.first}, last={self.last}", "The documents taken for wrong come later.",
        )  # fmt: skip
        gate = self.gate
        check(gate is None or gate >= 0, self.name, "gate", "of at least 0, or null", gate, "null moves every query.")

    def scaled(self, share: float) -> "QueryMixing":
        return replace(self, weight=self.weight * share)

    @property
    def least(self) -> int:
        return self.last if self.negative_weight else self.k

    @property
    def looks(self) -> bool:
        return True

    def queries(self, queries: Float[Tensor, "Q d"], documents: ExactIndex | None, texts: Side) -> Float[Tensor, "Q d"]:
        assert documents is not None, "asked for by `looks`"
        plain, mixed = documents.documents, torch.empty_like(queries)
        for block in torch.split(torch.arange(len(queries), device=queries.device), _BLOCK):
            cosines, rows = documents.search(queries[block], self.least)
            values = (cosines[:, : self.k] - self.floor).clamp(min=0) ** self.power
            moved = (cosines[:, : self.k] > self.floor).any(dim=1)
            if self.gate is not None:
                moved &= cosines[:, 0] - cosines[:, self.k - 1] <= self.gate
            shares = values / values.sum(dim=1, keepdim=True).clamp(min=torch.finfo(values.dtype).tiny)
            step = torch.bmm(shares.unsqueeze(1), plain[rows[:, : self.k]]).squeeze(1)
            if self.negative_weight:
                step -= self.negative_weight * plain[rows[:, self.first - 1 : self.last]].mean(dim=1)
            mixed[block] = F.normalize(queries[block] + self.weight * moved.unsqueeze(1) * step, dim=1)
        return mixed

    def __str__(self) -> str:
        away = f", away from those {self.first} to {self.last}" if self.negative_weight else ""
        where = "" if self.gate is None else f", where its first cosines lie within {self.gate:g}"
        return f"each query moved by {self.weight:g} to its {self.k} nearest documents{away}{where}"
