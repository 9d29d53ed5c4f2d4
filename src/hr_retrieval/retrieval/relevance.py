"""Which documents are relevant to which queries, and which take no part in a query's ranking."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from hr_retrieval.errors import UserError


@dataclass(frozen=True)
class Relevance:
    """Which documents are relevant to which queries.

    Attributes:
        offsets: `documents[offsets[i] : offsets[i + 1]]` are relevant to query `i`; begins with 0
            and ends with `nnz`.
        documents: document rows, ascending and distinct within each query.
        left_out: in the same form, documents that take no part in a query's ranking, as if the
            corpus were without them; `None` for none. No relevant document is among them.
        grades: of each entry of `documents`, at least 1; `None` for 1 each.

    Raises:
        UserError: the above does not hold.
    """

    offsets: Int[Tensor, " Q_plus_1"]
    documents: Int[Tensor, " nnz"]
    left_out: "Relevance | None" = None
    grades: Int[Tensor, " nnz"] | None = None

    def __post_init__(self) -> None:
        offsets, documents = self.offsets, self.documents
        counts = offsets.diff()
        if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(documents) or bool((counts < 0).any()):
            _refuse_relevance(f"offsets that ascend from 0 to {len(documents)}", "other offsets")
        owners = self.owners
        ascending = (documents[1:] > documents[:-1]) | (owners[1:] != owners[:-1])
        if not bool(ascending.all()) or bool((documents < 0).any()):
            _refuse_relevance("document rows that are distinct and ascend within each query", "other rows")
        if self.grades is not None and (len(self.grades) != len(documents) or bool((self.grades < 1).any())):
            _refuse_relevance(f"{len(documents)} grades of at least 1", "other grades")

    @classmethod
    def from_lists(cls, documents: Sequence[Sequence[int]]) -> "Relevance":
        """The relevant document rows of each query, in any order."""
        counts = torch.tensor([0, *(len(rows) for rows in documents)], dtype=torch.long)
        flat = [row for rows in documents for row in sorted(rows)]
        return cls(counts.cumsum(0), torch.tensor(flat, dtype=torch.long))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def counts(self) -> Int[Tensor, " Q"]:
        """Relevant documents of each query."""
        return self.offsets.diff()

    @property
    def owners(self) -> Int[Tensor, " nnz"]:
        """The query of each entry of `documents`."""
        return torch.arange(len(self), device=self.offsets.device).repeat_interleave(self.counts)

    def check(self, query_count: int, document_count: int) -> None:
        """Raise `UserError` unless this speaks of so many queries and of no document beyond so many."""
        if len(self) != query_count:
            _refuse_relevance(f"relevance for {query_count} queries", f"relevance for {len(self)}")
        if len(self.documents) and int(self.documents.max()) >= document_count:
            _refuse_relevance(f"document rows below {document_count}", f"row {int(self.documents.max())}")
        if self.left_out is not None:
            self.left_out.check(query_count, document_count)

    def transpose(self, document_count: int) -> "Relevance":
        """Which queries are relevant to which documents: the other direction."""
        self.check(len(self), document_count)
        offsets = torch.zeros(document_count + 1, dtype=torch.long, device=self.documents.device)
        torch.cumsum(torch.bincount(self.documents, minlength=document_count), 0, out=offsets[1:])
        left_out = None if self.left_out is None else self.left_out.transpose(document_count)
        order = self.documents.argsort(stable=True)
        return Relevance(offsets, self.owners[order], left_out, None if self.grades is None else self.grades[order])

    def pairs(self, queries: Int[Tensor, " b"]) -> tuple[Int[Tensor, " m"], Int[Tensor, " m"]]:
        """Of some queries: the place among `queries` and the document row of each of their relevant documents."""
        owners, places = self._places(queries)
        return owners, self.documents[places]

    def take(self, queries: Int[Tensor, " b"]) -> "Relevance":
        """The relevance of some queries, in their order."""
        offsets = torch.zeros(len(queries) + 1, dtype=torch.long, device=self.offsets.device)
        torch.cumsum(self.counts[queries], 0, out=offsets[1:])
        left_out = None if self.left_out is None else self.left_out.take(queries)
        _, places = self._places(queries)
        return Relevance(
            offsets, self.documents[places], left_out, None if self.grades is None else self.grades[places]
        )

    def to(self, device: torch.device | str) -> "Relevance":
        """The same on another device."""
        left_out = None if self.left_out is None else self.left_out.to(device)
        grades = None if self.grades is None else self.grades.to(device)
        return Relevance(self.offsets.to(device), self.documents.to(device), left_out, grades)

    def _places(self, queries: Int[Tensor, " b"]) -> tuple[Int[Tensor, " m"], Int[Tensor, " m"]]:
        counts = self.counts[queries]
        owners = torch.arange(len(queries), device=counts.device).repeat_interleave(counts)
        within = torch.arange(len(owners), device=counts.device) - (counts.cumsum(0) - counts)[owners]
        return owners, self.offsets[queries][owners] + within


def _refuse_relevance(expected: str, got: str) -> None:
    raise UserError(expected, got, "Build the relevance from the same queries and documents that are ranked.")
