"""What one split of a prepared data set is measured on: its queries, the documents ranked for them, and relevance."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from hr_retrieval.data.relevance import Guard
from hr_retrieval.data.tables import PreparedDataset
from hr_retrieval.errors import UserError

Split = Literal["train", "validation", "test"]
SPLITS: dict[Split, int] = {"train": 0, "validation": 1, "test": 2}
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class EvaluationSet:
    """What one split is measured on.

    Attributes:
        split: its name.
        query_rows: rows of its `Q` queries in the query table.
        document_rows: rows of the `N` documents that are ranked for each.
        offsets: CSR offsets `[Q + 1]` of the relevant documents of each query.
        relevant: positions in `document_rows`, ascending for each query.
    """

    split: Split
    query_rows: Rows
    document_rows: Rows
    offsets: Rows
    relevant: Rows


def evaluation_set(
    dataset: PreparedDataset,
    guard: Guard,
    split: Split,
    corpus: str = "split",
    queries: int | None = None,
) -> EvaluationSet:
    """Queries, documents and relevance of a split.

    Args:
        corpus: `split` ranks the documents that are relevant to some query of the split, `all` every document.
        queries: at most so many queries, over the same documents; `None` for all. Which ones are drawn depends on the data
            alone: runs of several seeds must share them, or their spread measures the draw.

    Raises:
        UserError: the split has no queries or none with a relevant document, or `corpus` is neither.
    """
    check_corpus(corpus, "corpus")
    rows = np.flatnonzero(dataset.query_split == SPLITS[split])
    if len(rows) == 0:
        raise dataset.empty_split(split)
    documents = np.arange(dataset.document_count)
    _, relevant = guard.relevant(rows, documents)
    if len(relevant) == 0:
        raise UserError(
            f"a relevant document for at least one query of the {split} split",
            f"none in {dataset.folder / 'qrels.parquet'}",
            "Add judgements with relevance 1, or measure another split.",
        )
    if corpus == "split":
        documents = np.unique(relevant)
    if queries is not None and queries < len(rows):
        drawn = np.random.default_rng(SPLITS[split]).choice(len(rows), queries, replace=False)
        rows = rows[np.sort(drawn)]
    offsets, relevant = guard.relevant(rows, documents)
    return EvaluationSet(split, rows, documents, offsets, relevant)


def check_corpus(corpus: str, key: str) -> None:
    """Raise `UserError`, naming the key, unless `corpus` is `split` or `all`."""
    if corpus not in ("split", "all"):
        raise UserError(f"{key} to be 'split' or 'all'", repr(corpus), "Choose one of the two.")
