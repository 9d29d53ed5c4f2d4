"""Each document with its nearest documents: database-side augmentation."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from hr_retrieval.retrieval.mixing.base import RankingMixing, check
from hr_retrieval.retrieval.mixing.corpus import Corpus

# Documents moved at a time: with each go its neighbours.
_BLOCK = 4096


@dataclass(frozen=True, kw_only=True)
class DocumentMixing(RankingMixing):
    """Each document is moved to the weighted mean of its nearest documents; nothing is paid at search.

    `d' = normalise((1 - w) d + w sum_j p_j n_j)`, `p = softmax(cos(d, n_j) / t)` over its `k`
    nearest other documents `n_j` in the whole corpus (so it is transductive, see `Corpus`).
    Documents that are right for the same queries come to lie together: that gains where a query has
    several of them, and costs where it has one.

    Database-side feature augmentation: Turcot and Lowe, Better matching with fewer features, ICCV
    workshops 2009; on embeddings Arandjelović and Zisserman, Three things everyone should know to
    improve object retrieval, CVPR 2012.

    Args:
        k: neighbours.
        weight: `w`, from 0 up to 1.
        temperature: `t`; the smaller, the more the nearest neighbour weighs.
    """

    name: ClassVar[str] = "documents"
    k: int = 10
    weight: float = 0.6
    temperature: float = 0.05

    def __post_init__(self) -> None:
        check(self.k >= 1, self.name, "k", "of at least 1", self.k, "Ask for one or more neighbours.")
        check(0 <= self.weight <= 1, self.name, "weight", "from 0 to 1", self.weight, "0 leaves documents as they are.")
        check(self.temperature > 0, self.name, "temperature", "above 0", self.temperature, "0.05 is the default.")

    def scaled(self, share: float) -> "DocumentMixing":
        return replace(self, weight=self.weight * share)

    @property
    def least(self) -> int:
        return self.k + 1

    def documents(self, documents: Float[Tensor, "N d"], corpus: Corpus) -> Float[Tensor, "N d"]:
        cosines, rows = corpus.nearest(self.k)
        mixed = torch.empty_like(documents)
        for block in torch.split(torch.arange(len(documents), device=documents.device), _BLOCK):
            shares = torch.softmax(cosines[block] / self.temperature, dim=1)
            means = torch.bmm(shares.unsqueeze(1), documents[rows[block]]).squeeze(1)
            mixed[block] = F.normalize((1 - self.weight) * documents[block] + self.weight * means, dim=1)
        return mixed

    def __str__(self) -> str:
        return f"each document moved by {self.weight:g} to its {self.k} nearest documents"
