"""What mixing at ranking time is given: both sides of a search in numbers, and who is near whom."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from torch import Tensor

from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.index import ExactIndex
from hr_retrieval.retrieval.relevance import Relevance

# Neighbours found at least, where there are as many: one search serves all strategies.
_LEAST = 32
# Rows searched at a time: with them go the lists of what was found for them.
_BLOCK = 4096


@dataclass(frozen=True)
class Side:
    """The queries, or the documents: unit embeddings, and what some strategies need beside them.

    Attributes:
        embeddings: `[n, d]`.
        ngrams: unit rows of counted pieces of the same texts; only `LexicalMixing` reads them.
        views: unit means of the embeddings of several wordings of the same texts; only `ViewMixing`
            reads them.
    """

    embeddings: Float[Tensor, "n d"]
    ngrams: csr_array | None = None
    views: Float[Tensor, "n d"] | None = None


@dataclass(frozen=True)
class Bank:
    """Queries of the training split, to whom a document may be near by habit.

    Attributes:
        embeddings: `[B, d]`.
        left_out: of each document, the rows of the bank that it answers, or that a duplicate of it
            does.
    """

    embeddings: Float[Tensor, "B d"]
    left_out: Relevance


@dataclass
class Corpus:
    """The documents that are ranked, all of them: who is near whom is found once and remembered.

    Its documents may answer queries of the test split: a corpus is known when it is ranked, and so
    is what its documents are near to (transductive, as the published methods are). Relevance is not
    looked at.

    Attributes:
        side: the documents.
        bank: `None` where no training queries are at hand.

    Raises:
        UserError: a value is not finite, or there is no document.
    """

    side: Side
    bank: Bank | None = None
    _found: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._index = ExactIndex(self.side.embeddings)

    def __len__(self) -> int:
        return len(self._index)

    def nearest(self, k: int) -> tuple[Float[Tensor, "N k"], Int[Tensor, "N k"]]:
        """Cosines and rows of the `k` nearest other documents of each document, nearest first, equal ones by row.

        The corpus has so many others (see `Composition.check`).
        """
        count = len(self)
        assert k < count, "checked by the composition"
        each = torch.arange(count + 1)
        return self._remembered("documents", max(k, min(_LEAST, count - 1)), self._index, Relevance(each, each[:-1]), k)

    def nearest_anchors(self, k: int) -> tuple[Float[Tensor, "N k"], Int[Tensor, "N k"]]:
        """Likewise of the queries of the bank, without those that the document or a duplicate of it answers.

        Raises:
            UserError: there is no bank, or less is left of it than `k` for a document.
        """
        if self.bank is None:
            raise UserError(
                "training queries, to which bank=anchors compares each document",
                "none",
                "Name a data set with a training split, or set bank=documents.",
            )
        left = len(self.bank.embeddings) - (int(self.bank.left_out.counts.max()) if len(self) else 0)
        if k > left:
            raise UserError(
                f"at least {k:,} training queries that a document does not answer",
                f"{max(left, 0):,}",
                f"Lower k to {left:,} or less, or set bank=documents." if left > 0 else "Set bank=documents.",
            )
        return self._remembered("anchors", k, ExactIndex(self.bank.embeddings), self.bank.left_out, k)

    def _remembered(
        self, kind: str, searched: int, index: ExactIndex, left_out: Relevance, k: int
    ) -> tuple[Tensor, Tensor]:
        if kind not in self._found or self._found[kind][0].shape[1] < k:
            self._found[kind] = nearest_allowed(self.side.embeddings, index, searched, left_out)
        scores, rows = self._found[kind]
        return scores[:, :k], rows[:, :k]


def nearest_allowed(
    embeddings: Float[Tensor, "n d"], index: ExactIndex, k: int, left_out: Relevance
) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    """Cosines and rows of the `k` nearest of an index, without those left out; at least `k` are allowed for each.

    Memory beyond the arguments and the result is that of the search, and does not grow with `n`.
    """
    more = int(left_out.counts.max())
    scores = embeddings.new_empty((len(embeddings), k), dtype=torch.float32)
    rows = torch.empty((len(embeddings), k), dtype=torch.long, device=embeddings.device)
    for block in torch.split(torch.arange(len(embeddings)), _BLOCK):
        begin, end = int(block[0]), int(block[-1]) + 1
        best, found = index.search(embeddings[begin:end], k + more)
        owners, out = left_out.pairs(block.to(left_out.offsets.device))
        own = torch.arange(end - begin, device=found.device).unsqueeze(1) * len(index) + found
        barred = torch.isin(own, (owners * len(index) + out).to(found.device))
        # A stable sort of truths: what is allowed first, each in its order.
        order = barred.to(torch.uint8).sort(dim=1, stable=True).indices[:, :k]
        scores[begin:end], rows[begin:end] = best.gather(1, order), found.gather(1, order)
    return scores, rows
