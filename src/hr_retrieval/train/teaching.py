"""A cross-encoder's scores of mined negatives and of the positives beside them, each pair read once in a run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hr_retrieval.data.arrays import PairNumbers
from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.data.negatives import MinedNegatives
from hr_retrieval.data.scored import ScoredPairs, Scores
from hr_retrieval.data.source import Source
from hr_retrieval.data.tokens import progress
from hr_retrieval.errors import UserError
from hr_retrieval.store.reranker import Reranker

FILE = "teacher.parquet"
# Pairs scored at a time: enough to sort by length, few enough that the progress bar moves.
_PAIRS = 1024


def score_mined(data: RetrievalDataModule, mined: MinedNegatives, teacher: Reranker, folder: Path) -> None:
    """Score what is not yet in the file of the folder, and write it."""
    path, about = folder / FILE, _about(data, teacher)
    known = ScoredPairs.open(path, _document_count(data), about)
    pairs = known.unknown(mined_pairs(data, mined))
    if len(pairs):
        known.with_pairs(pairs, _scored(data.sources, pairs, teacher, known.document_count)).write(path, about)


def mined_scores(data: RetrievalDataModule, mined: MinedNegatives, teacher: Reranker, folder: Path) -> ScoredPairs:
    """The scores of these negatives and their positives; what the file knows beside would make a
    resumed run another one.

    Raises:
        UserError: the file lacks some.
    """
    pairs = mined_pairs(data, mined)
    known = ScoredPairs.open(folder / FILE, _document_count(data), _about(data, teacher))
    lost = len(known.unknown(pairs))
    if lost:
        raise UserError(
            f"the teacher's scores of {len(pairs):,} pairs in {folder / FILE}",
            f"{lost:,} of them without one",
            "Bring back that file and the teacher of the run, or start a new run.",
        )
    return known.only(pairs)


def mined_pairs(data: RetrievalDataModule, mined: MinedNegatives) -> PairNumbers:
    """The mined negatives, and the stated positives of their queries."""
    tables, count = data.guard.tables, _document_count(data)
    queries = np.unique(mined.query_rows)
    begins, ends = tables.positive_offsets[queries], tables.positive_offsets[queries + 1]
    positives = [tables.positive_documents[begin:end] for begin, end in zip(begins, ends, strict=True)]
    stated = np.repeat(queries, ends - begins) * count + np.concatenate([np.empty(0, np.int64), *positives])
    return np.union1d(stated, mined.query_rows * count + mined.document_rows)


def _scored(sources: Sequence[Source], pairs: PairNumbers, teacher: Reranker, count: int) -> Scores:
    queries, documents = np.divmod(pairs, count)
    found = np.empty(len(pairs), np.float32)
    with progress("teacher: pairs", len(pairs)) as advance:
        for source in sources:
            first, last = source.first_query, source.first_query + source.dataset.query_count
            own = np.flatnonzero((queries >= first) & (queries < last))
            for begin in range(0, len(own), _PAIRS):
                part = own[begin : begin + _PAIRS]
                sides = [
                    _texts(source, table, rows)
                    for table, rows in (
                        ("queries", queries[part] - first),
                        ("corpus", documents[part] - source.first_document),
                    )
                ]
                found[part] = teacher.pair_scores(list(zip(*sides, strict=True)))
                advance(len(part))
    return found


def _texts(source: Source, table: str, rows: PairNumbers) -> list[str]:
    distinct, at = np.unique(rows, return_inverse=True)
    texts = source.dataset.texts_at("queries" if table == "queries" else "corpus", distinct)
    return [texts[place] for place in at]


def _document_count(data: RetrievalDataModule) -> int:
    return sum(source.dataset.document_count for source in data.sources)


def _about(data: RetrievalDataModule, teacher: Reranker) -> dict[str, str]:
    return {"data": data.fingerprint, "teacher": teacher.fingerprint}
