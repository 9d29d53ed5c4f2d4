"""What one split of a prepared data set is measured on: its queries, the documents ranked for them, and relevance."""

from dataclasses import dataclass

import numpy as np
import torch

from hr_retrieval.data.arrays import Offsets, Rows
from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.grades import Grades
from hr_retrieval.data.guard import Guard
from hr_retrieval.data.tables import SPLITS, Split
from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.relevance import Relevance

# Queries looked at together.
_BLOCK = 1 << 18


@dataclass(frozen=True)
class EvaluationSet:
    """What one split is measured on.

    Ties are broken by the place in it, so queries and documents stand in the order of their lots:
    whatever scores all alike measures what chance gives.

    Attributes:
        split: its name.
        query_rows: rows of its `Q` queries in the query table.
        document_rows: rows of the `N` documents that are ranked for each.
        relevance: which of these documents are relevant to which query, and which take no part in
            its ranking.
        corpus_size: how many documents the whole corpus has.
    """

    split: Split
    query_rows: Rows
    document_rows: Rows
    relevance: Relevance
    corpus_size: int

    @property
    def corpus(self) -> str:
        """What is ranked for each query, in words."""
        if len(self.document_rows) == self.corpus_size:
            return f"the whole corpus of {self.corpus_size:,} documents"
        return f"{len(self.document_rows):,} of {self.corpus_size:,} documents: those of the {self.split} split and of none"


def evaluation_set(
    dataset: PreparedDataset,
    guard: Guard,
    split: Split,
    corpus: str = "all",
    queries: int | None = None,
) -> EvaluationSet:
    """Queries, documents and relevance of a split.

    Args:
        corpus: `all` ranks every document, as everybody else does; `split` is cheaper and easier:
            it leaves out the documents that answer queries of other splits only.
        queries: at most so many queries, over the same documents, the first by lot; `None` for all.
            Runs of several seeds must share them, or their spread measures the draw.

    Raises:
        UserError: the split has no queries or none with a relevant document, or `corpus` is
            neither.
    """
    check_corpus(corpus, "corpus")
    rows = np.flatnonzero(dataset.query_split == SPLITS[split])
    if len(rows) == 0:
        raise dataset.empty_split(split)
    documents: Rows = np.arange(dataset.document_count)
    if corpus == "split":
        documents = _of_split(dataset, guard, rows, documents)
    rows = rows[np.argsort(dataset.query_lots[rows])][:queries]
    documents = documents[np.argsort(dataset.document_lots[documents])]
    left_out = _relevance(guard.own_text(rows, documents))
    relevant = guard.relevant(rows, documents)
    relevance = _relevance(relevant, left_out, guard.grades(rows, documents, relevant))
    if not len(relevance.documents):
        raise UserError(
            f"a relevant document for at least one query of the {split} split",
            f"none in {dataset.folder / 'qrels.parquet'}",
            "Add judgements with relevance 1 (a document of the query's own text is none), or measure another split.",
        )
    return EvaluationSet(split, rows, documents, relevance, dataset.document_count)


def check_corpus(corpus: str, key: str) -> None:
    """Raise `UserError`, naming the key, unless `corpus` is `split` or `all`."""
    if corpus not in ("split", "all"):
        raise UserError(
            f"{key} to be 'split' or 'all'", repr(corpus), "all is what others measure; split is cheaper and easier."
        )


def _relevance(
    lists: tuple[Offsets, Rows], left_out: Relevance | None = None, grades: Grades | None = None
) -> Relevance:
    stated = None if grades is None else torch.from_numpy(grades.astype(np.int64))
    return Relevance(torch.from_numpy(lists[0]), torch.from_numpy(lists[1]), left_out, stated)


def _of_split(dataset: PreparedDataset, guard: Guard, rows: Rows, documents: Rows) -> Rows:
    """All documents but those that are relevant to queries of other splits only."""
    own, others = np.zeros(len(documents), bool), np.zeros(len(documents), bool)
    elsewhere = np.flatnonzero(dataset.query_split != dataset.query_split[rows[0]])
    for marks, chosen in ((own, rows), (others, elsewhere)):
        for begin in range(0, len(chosen), _BLOCK):
            marks[guard.relevant(chosen[begin : begin + _BLOCK], documents)[1]] = True
    return documents[own | ~others]
