"""A strategy of mixing at ranking time: other embeddings, which are then ranked as ever."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.index import ExactIndex
from hr_retrieval.retrieval.mixing.corpus import Corpus, Side

Need = Literal["anchors", "ngrams", "views"]


@dataclass(frozen=True, kw_only=True)
class RankingMixing(ABC):
    """One strategy with its strength; a part of a `Composition`.

    Attributes:
        name: of the strategy, as in `ranking/mixing=`.
    """

    name: ClassVar[str]

    @abstractmethod
    def scaled(self, share: float) -> "RankingMixing":
        """The same with this share of its strength, from 0, which changes no ranking, to 1."""

    @property
    def least(self) -> int:
        """Documents that a corpus must have."""
        return 1

    @property
    def looks(self) -> bool:
        """Whether queries look for their nearest documents."""
        return False

    @property
    def needs(self) -> frozenset[Need]:
        """What it must be given beside the embeddings."""
        return frozenset()

    def documents(self, documents: Float[Tensor, "N d"], corpus: Corpus) -> Float[Tensor, "N f"]:
        """What is ranked in the place of the documents; done once, when a corpus is embedded.

        Args:
            documents: what the parts before have made of them.
            corpus: as they came.

        Raises:
            UserError: the corpus is too small, or lacks what is needed.
        """
        return documents

    def queries(self, queries: Float[Tensor, "Q d"], documents: ExactIndex | None, texts: Side) -> Float[Tensor, "Q f"]:
        """What is compared with the documents in the place of the queries.

        Args:
            queries: what the parts before have made of them.
            documents: the first `d` dimensions of what all parts have made of them, which are
                those of the queries; `None` unless the part `looks`.
            texts: the queries as they came.
        """
        return queries

    @abstractmethod
    def __str__(self) -> str:
        """What it does, in words, to stand behind "ranked with"."""


def check(right: bool, name: str, key: str, expected: str, value: object, remedy: str) -> None:
    """Raise `UserError` unless the value of a strategy's option is right."""
    if not right:
        raise UserError(f"{key} of ranking/mixing={name} {expected}", str(value), remedy)
