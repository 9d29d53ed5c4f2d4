"""Less for documents that are near to everything: a correction for hubs."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from hr_retrieval.retrieval.index import ExactIndex
from hr_retrieval.retrieval.mixing.base import Need, RankingMixing, check
from hr_retrieval.retrieval.mixing.corpus import Corpus, Side


@dataclass(frozen=True, kw_only=True)
class HubCorrection(RankingMixing):
    """A document's score is lowered by what it is near to without being an answer: `s(q, d) = q.d - a h(d)`.

    `h(d)` is the mean cosine of `d` to its `k` nearest of a bank: the other documents, or training
    queries without those that `d` or a duplicate of it answers. It is one more dimension, `[d, -a
    h(d)]` and `[q, 1]`, so that any index for inner products serves it, and nothing is paid at
    search.

    Hubs: Radovanović, Nanopoulos and Ivanović, Hubs in space, JMLR 2010. The correction: Conneau et
    al., Word translation without parallel data, ICLR 2018 (CSLS, of which the query's own term
    changes no ranking); with a bank of queries Chowdhury et al., Nearest neighbor normalization
    improves multimodal retrieval, EMNLP 2024.

    Args:
        k: nearest of the bank.
        alpha: `a`, at least 0.
        bank: documents or anchors.
    """

    name: ClassVar[str] = "hubs"
    k: int = 32
    alpha: float = 0.5
    bank: Literal["documents", "anchors"] = "documents"

    def __post_init__(self) -> None:
        check(self.k >= 1, self.name, "k", "of at least 1", self.k, "Ask for one or more.")
        check(self.alpha >= 0, self.name, "alpha", "of at least 0", self.alpha, "0 leaves scores as they are.")
        known = self.bank in ("documents", "anchors")
        check(known, self.name, "bank", "to be documents or anchors", self.bank, "Choose one of them.")

    def scaled(self, share: float) -> "HubCorrection":
        return replace(self, alpha=self.alpha * share)

    @property
    def least(self) -> int:
        return self.k + 1 if self.bank == "documents" else 1

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset[Need]({"anchors"} if self.bank == "anchors" else ())

    def documents(self, documents: Float[Tensor, "N d"], corpus: Corpus) -> Float[Tensor, "N e"]:
        nearest = corpus.nearest if self.bank == "documents" else corpus.nearest_anchors
        height = nearest(self.k)[0].mean(dim=1, keepdim=True)
        return torch.cat([documents, -self.alpha * height], dim=1)

    def queries(self, queries: Float[Tensor, "Q d"], documents: ExactIndex | None, texts: Side) -> Float[Tensor, "Q e"]:
        return torch.cat([queries, torch.ones_like(queries[:, :1])], dim=1)

    def __str__(self) -> str:
        bank = "documents" if self.bank == "documents" else "training queries"
        return f"{self.alpha:g} of a document's mean cosine to its {self.k} nearest {bank} taken from its score"
