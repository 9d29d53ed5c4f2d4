"""Which documents are relevant to which queries, and which are negatives: the one guard against false negatives."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from hr_retrieval.data.arrays import Codes, Mask, Offsets, PairNumbers, Places, Rows
from hr_retrieval.data.grades import GradedTables, Grades, Weights, grades, weighted, weights
from hr_retrieval.data.guidance import Guidance
from hr_retrieval.data.joins import Pairs, joined, lists, through
from hr_retrieval.errors import UserError

IDENTICAL_TEXT = ("ignore", "count")

# The guide's float16 embeddings of one text differ by rounding, and must not make a twin of the
# positive a negative.
_ROUNDING = 1e-4
# A document of many groups (a skill that a thousand occupations share) does not say which of them
# are alike.
_TELLING_GROUPS = 8


@runtime_checkable
class JudgedTables(GradedTables, Protocol):
    """The arrays of a prepared data set that relevance follows from; see `PreparedDataset`."""

    @property
    def document_text(self) -> Codes: ...

    @property
    def group_offsets(self) -> Offsets: ...

    @property
    def document_groups(self) -> Codes: ...

    @property
    def query_group(self) -> Codes: ...

    @property
    def negative_offsets(self) -> Offsets: ...

    @property
    def negative_documents(self) -> Rows: ...


@dataclass(frozen=True)
class Guard:
    """What a data set says of a query and a document, by these rules in this order. Queries of
    equal normalised text are one query here: what is stated of one is stated of its twins.

    1. A document with the query's own text counts for nothing: it is neither, and takes no part in
      the ranking.
    2. A pair that is judged is what the judgement says.
    3. A stated negative of a twin, or a duplicate of a stated negative, is a negative.
    4. A stated positive of a twin, a duplicate of a stated positive, and a document of the query's
       own group are relevant. A document is of every group that it is stated for, and of the group
       of every query that it is a stated positive of.
    5. What is only likely is neither relevant nor a negative: a document that shares a group with a
       stated positive, and what the guide finds as close to the query as a stated positive.
    6. Everything else is a negative.

    Evaluation knows the first four: what is merely likely is a plain document there. The rules hold
    alike in the loss, the queue, the mined negatives and the mixing, and no rule depends on the
    order of rows.

    The guide: document `j` is likely if `cos_g(q, d_j) >= max over the stated positives p of
    cos_g(q, p) - margin`. By the best of all stated positives, not by the pair's own, it depends on
    rows alone: the same document is judged alike in the batch, from another process and in the
    queue. Sources: Solatorio 2024 (GISTEmbed, arXiv 2402.16829); Moreira et al. 2024 (NV-Retriever,
    positive-aware mining, arXiv 2407.15831).

    Args:
        tables: what relevance follows from.
        guidance: the guide's opinion of all texts; `None` leaves it out.
        identical_text: `ignore` is the first rule; `count` leaves it out.
        weighted: whether grades and stated weights of positives weigh in the loss.

    Raises:
        UserError: `identical_text` is neither.
    """

    tables: JudgedTables
    guidance: Guidance | None = None
    identical_text: str = "ignore"
    weighted: bool = True

    def __post_init__(self) -> None:
        if self.identical_text not in IDENTICAL_TEXT:
            raise UserError(
                f"identical_text to be {' or '.join(IDENTICAL_TEXT)}",
                repr(self.identical_text),
                "ignore leaves a document with the query's own text out of everything, as BEIR and MTEB do.",
            )

    def judge(self, query_rows: Rows, document_rows: Rows) -> tuple[Mask, Mask]:
        """Which of the given documents are relevant to the given queries `[B, D]`, and which are negatives `[B, D]`."""
        shape = (len(query_rows), len(document_rows))
        pairs = self._pairs(query_rows, document_rows)
        relevance, stated, own = (_as_mask(part, shape) for part in (pairs.relevant, pairs.negative, pairs.own_text))
        likely = _as_mask(self._likely(pairs.stated, document_rows), shape)
        if self.guidance is not None:
            best = _best_positive(self.guidance, query_rows, pairs.stated)
            threshold = best - self.guidance.margin - _ROUNDING
            likely |= self.guidance.scores(query_rows, document_rows) >= threshold[:, None]
        return relevance, (stated | ~(relevance | likely)) & ~own

    def relevant(self, query_rows: Rows, document_rows: Rows) -> tuple[Offsets, Places]:
        """The relevant documents of large sets, as CSR: offsets `[Q + 1]` and, ascending in each
        query, positions in `document_rows`.
        """
        return _as_lists(self._pairs(query_rows, document_rows).relevant, len(query_rows))

    def own_text(self, query_rows: Rows, document_rows: Rows) -> tuple[Offsets, Places]:
        """The documents that take no part in a query's ranking, since they are its own text; in the
        form of `relevant`.
        """
        return _as_lists(self._own_text(query_rows, document_rows), len(query_rows))

    def grades(self, query_rows: Rows, document_rows: Rows, relevant: tuple[Offsets, Places]) -> Grades | None:
        """The grade of each of the `relevant` documents, as that gave them; `None` where all have 1."""
        return grades(self.tables, query_rows, document_rows, relevant)

    @cached_property
    def weighs(self) -> bool:
        """Whether relevant documents weigh differently in the loss."""
        return self.weighted and weighted(self.tables)

    def weights(self, query_rows: Rows, document_rows: Rows) -> Weights | None:
        """What each of the relevant documents weighs in the loss, `[B, D]`; `None` where all weigh 1."""
        return weights(self.tables, query_rows, document_rows) if self.weighs else None

    def identities(self, document_rows: Rows) -> Codes:
        """A code for each document, equal for duplicates."""
        return np.asarray(self.tables.document_duplicate[document_rows], np.int64)

    def _pairs(self, query_rows: Rows, document_rows: Rows) -> "_Judged":
        """Rules 1 to 4 as pairs of places in `query_rows` and `document_rows`."""
        tables, width = self.tables, len(document_rows)
        duplicate = self.identities(document_rows)
        # All queries of the same text, the query itself among them.
        twins, twin_rows = lists(tables.text_offsets, tables.text_queries, tables.query_text[query_rows])
        positive, negative = (
            through(twins, lists(offsets, documents, twin_rows))
            for offsets, documents in (
                (tables.positive_offsets, tables.positive_documents),
                (tables.negative_offsets, tables.negative_documents),
            )
        )
        everyone = np.arange(width)
        groups = lists(tables.group_offsets, tables.document_groups, document_rows)
        same_positive, same_negative = (
            joined((owners, tables.document_duplicate[documents]), (everyone, duplicate))
            for owners, documents in (positive, negative)
        )
        of_group = joined((twins, tables.query_group[twin_rows]), groups)
        # Twins aside: what is said of this very query.
        judged_positive, judged_negative = (
            _keys(joined(lists(offsets, documents, query_rows), (everyone, document_rows)), width)
            for offsets, documents in (
                (tables.positive_offsets, tables.positive_documents),
                (tables.negative_offsets, tables.negative_documents),
            )
        )
        own_text = self._own_text(query_rows, document_rows)
        ignored = _keys(own_text, width)
        against = _without(_keys(same_negative, width), judged_positive)
        against = _without(np.union1d(against, judged_negative), ignored)
        found = np.union1d(_keys(same_positive, width), _keys(of_group, width))
        found = _without(_without(np.union1d(found, judged_positive), against), ignored)
        return _Judged(_unkeyed(found, width), _unkeyed(against, width), own_text, positive)

    def _own_text(self, query_rows: Rows, document_rows: Rows) -> Pairs:
        if self.identical_text == "count":
            nothing = np.empty(0, np.int64)
            return nothing, nothing
        texts = np.asarray(self.tables.document_text[document_rows], np.int64)
        some = np.flatnonzero(texts >= 0)
        wanted = np.asarray(self.tables.query_text[query_rows], np.int64)
        return joined((np.arange(len(query_rows)), wanted), (some, texts[some]))

    def _likely(self, stated: Pairs, document_rows: Rows) -> Pairs:
        """Documents that share a group with a stated positive, where that positive is of few groups."""
        tables, (owners, positives) = self.tables, stated
        few = tables.group_offsets[positives + 1] - tables.group_offsets[positives] <= _TELLING_GROUPS
        owners, positives = owners[few], positives[few]
        groups = through(owners, lists(tables.group_offsets, tables.document_groups, positives))
        return joined(_distinct(groups), lists(tables.group_offsets, tables.document_groups, document_rows))


@dataclass(frozen=True)
class _Judged:
    """Pairs of places: relevant, stated to be no answer, and of the query's own text; no pair is in two of them.
    And the stated positives of each query and its twins, as rows in the corpus.
    """

    relevant: Pairs
    negative: Pairs
    own_text: Pairs
    stated: Pairs


def _best_positive(guidance: Guidance, query_rows: Rows, stated: Pairs) -> npt.NDArray[np.float32]:
    """The guide's highest score of each query's stated positives; infinite where there is none."""
    owners, positives = stated
    best = np.full(len(query_rows), -np.inf, np.float32)
    np.maximum.at(best, owners, guidance.pair_scores(query_rows[owners], positives))
    return np.where(np.isneginf(best), np.float32(np.inf), best)


def _keys(pairs: Pairs, width: int) -> PairNumbers:
    """`left * width + right` of each pair, once and ascending."""
    return np.unique(pairs[0] * width + pairs[1])


def _unkeyed(keys: PairNumbers, width: int) -> Pairs:
    left, right = np.divmod(keys, max(width, 1))
    return left, right


def _without(keys: PairNumbers, others: PairNumbers) -> PairNumbers:
    return np.setdiff1d(keys, others, assume_unique=True) if len(others) else keys


def _distinct(pairs: Pairs) -> Pairs:
    found = np.unique(np.stack(pairs, axis=1), axis=0)
    return found[:, 0], found[:, 1]


def _as_mask(pairs: Pairs, shape: tuple[int, int]) -> Mask:
    mask = np.zeros(shape, dtype=bool)
    mask[pairs] = True
    return mask


def _as_lists(pairs: Pairs, count: int) -> tuple[Offsets, Places]:
    """Pairs as CSR, ascending within each of `count` left places."""
    order = np.lexsort((pairs[1], pairs[0]))
    offsets = np.searchsorted(pairs[0][order], np.arange(count + 1))
    return offsets.astype(np.int64), pairs[1][order]
