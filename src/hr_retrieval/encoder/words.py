"""A vector for each token from a table, whatever stands beside it."""

from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from hr_retrieval.encoder.ragged import Ragged


class WordVectors:
    """The rows of a static embedding, with what `TokenVectors` has of a transformer.

    Args:
        module: a `StaticEmbedding` of the library, which stays its owner's to register.
    """

    packed, reason, dropout = True, "a table of words has nothing to pad", 0.0

    def __init__(self, module: Any) -> None:
        self.table = Table(module)

    def __call__(self, tokens: Ragged, lengths: list[int]) -> Float[Tensor, "N h"]:
        """Vectors of all tokens."""
        return self.table(tokens.ids)

    def from_words(self, words: Float[Tensor, "N h"], lengths: list[int]) -> Float[Tensor, "N h"]:
        """The rows themselves."""
        return words

    def padded(self, ids: Int[Tensor, "B L"], mask: Int[Tensor, "B L"]) -> Float[Tensor, "B L h"]:
        """Vectors of padded texts."""
        return self.table(ids)


class Table:
    """A table that is looked up by id."""

    def __init__(self, module: Any) -> None:
        self._module = module

    @property
    def weight(self) -> nn.Parameter:
        """Its rows."""
        weight: nn.Parameter = self._module.embedding.weight
        return weight

    def __call__(self, ids: Int[Tensor, "..."]) -> Float[Tensor, "... h"]:
        return F.embedding(ids, self.weight)
