"""The pairs of a source's training split as batches."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from hr_retrieval.data.arrays import Codes, Offsets, Places, Rows
from hr_retrieval.data.batch import Batch
from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.guard import Guard
from hr_retrieval.data.sampler import check_batch_fits
from hr_retrieval.data.source import Source
from hr_retrieval.data.tables import SPLITS
from hr_retrieval.data.tokens import TokenTable
from hr_retrieval.encoder.ragged import Ragged
from hr_retrieval.errors import UserError

# Queries or pairs looked at together: of ten million, several copies at once would be hundreds of
# megabytes.
_BLOCK = 1 << 20


class TrainingPairs:
    """The pairs of a source's training split, and the batches that they make.

    Args:
        number: of the source.
        source: whose rows count from 0 here, and in batches among those of all sources.
        guard: of all sources.
        left_out: places in `positive_documents` that are no training pairs.
    """

    def __init__(
        self,
        number: int,
        source: Source,
        guard: Guard,
        query_tokens: TokenTable,
        document_tokens: TokenTable,
        positives_per_anchor: int,
        negatives_per_anchor: int,
        mined_per_anchor: int,
        seed: int,
        left_out: Places,
    ) -> None:
        self.number, self.dataset = number, source.dataset
        self.first_query, self.first_document = source.first_query, source.first_document
        self.guard, self.seed = guard, seed
        self.query_tokens, self.document_tokens = query_tokens, document_tokens
        self.positives_per_anchor, self.negatives_per_anchor = positives_per_anchor, negatives_per_anchor
        self.mined_per_anchor = mined_per_anchor
        texts = source.texts()
        # Only where it is needed: what a batch is made of goes to the loader's workers.
        self.anew = (texts, source.parts, source.tokeniser) if texts is not None and source.parts is not None else None
        # By the query rows; a loader's workers get it at the beginning of each pass.
        self.mined: tuple[Offsets, Rows] | None = None
        self.places = training_places(self.dataset, guard, left_out)

    def __len__(self) -> int:
        return len(self.places)

    def lengths(self) -> npt.NDArray[np.int32]:
        """Tokens of each pair's two texts."""
        found = np.empty(len(self), np.int32)
        for part in _slices(len(self)):
            queries, documents = self._pair(np.arange(part.start, part.stop))
            found[part] = self.query_tokens.lengths(queries) + self.document_tokens.lengths(documents)
        return found

    def texts(self) -> Codes:
        """`[2, P]`: numbers of each pair's query and document text; equal and nearly equal texts have one number."""
        found = np.empty((2, len(self)), np.int64)
        for part in _slices(len(self)):
            queries, documents = self._pair(np.arange(part.start, part.stop))
            found[:, part] = self.dataset.query_text[queries], self.dataset.document_duplicate[documents]
        return found

    def batch(self, number: int, pairs: Places) -> Batch:
        """The batch of this number, of these pairs."""
        queries, own = self._pair(pairs)
        # Drawn by the batch's number, so that any number of workers and any resumed run draw the
        # same.
        generator = np.random.default_rng((self.seed, number))
        draws = [
            (self.dataset.positive_offsets, self.dataset.positive_documents, self.positives_per_anchor - 1),
            (self.dataset.negative_offsets, self.dataset.negative_documents, self.negatives_per_anchor),
            # Last, so that the others are the same with and without it.
            *([(*self.mined, self.mined_per_anchor)] if self.mined else []),
        ]
        extra = [pair for offsets, rows, count in draws for pair in _draw(offsets, rows, queries, count, generator)]
        anchors, further = np.asarray(extra, np.int64).reshape(-1, 2).T
        documents = np.concatenate([own, np.setdiff1d(further, own)])
        drawn = np.eye(len(own), len(documents), dtype=bool)
        order = np.argsort(documents, kind="stable")
        drawn[anchors, order[np.searchsorted(documents[order], further)]] = True
        query_rows, document_rows = queries + self.first_query, documents + self.first_document
        relevance, negative = self.guard.judge(query_rows, document_rows)
        weights = self.guard.weights(query_rows, document_rows)
        return Batch(
            anchors=self.query_tokens.take(queries),
            documents=self._documents(documents, number),
            relevance=torch.from_numpy(relevance),
            negative=torch.from_numpy(negative),
            drawn=torch.from_numpy(drawn),
            query_rows=torch.from_numpy(query_rows),
            document_rows=torch.from_numpy(document_rows),
            source=self.number,
            weights=None if weights is None else torch.from_numpy(weights),
        )

    def _documents(self, rows: Rows, number: int) -> Ragged:
        if self.anew is None:
            return self.document_tokens.take(rows)
        texts, parts, tokeniser = self.anew
        return tokeniser.tokenise(parts.drawn(texts.take(rows), rows, number, self.seed), "document")[0]

    def _pair(self, pairs: Places) -> tuple[Rows, Rows]:
        return pair_rows(self.dataset, self.places[pairs])


def check_training_data(source: Source, batch_size: int, left_out: Places, name: str = "") -> None:
    """Raise `UserError` unless the training split has a batch of pairs, and anchors of two groups; it
    names the source, where a name is given.
    """
    dataset = source.dataset
    anchors = 0
    pairs = len(training_places(dataset, source.guard, left_out))
    # Of the training anchors; queries of other splits may be of any.
    groups: set[int] = set()
    for part in _slices(dataset.query_count):
        in_train = dataset.query_split[part] == SPLITS["train"]
        anchors += int(in_train.sum())
        if len(groups) < 2:
            groups |= set(np.unique(dataset.query_group[part][in_train])[:2].tolist())
    if anchors == 0:
        raise dataset.empty_split("train")
    lost = f" ({len(left_out):,} are left out: datamodule.overlap)" if len(left_out) else ""
    check_batch_fits(batch_size, pairs, source=f"{name}{lost}")
    if len(groups) == 1:
        raise UserError(
            "anchors of at least two groups, so that one has negatives",
            f"{anchors} training anchors{name and f' of {name}'}, all in one group",
            "Map data.columns.group to a column that tells the documents apart, or leave it out.",
        )


def training_places(dataset: PreparedDataset, guard: Guard, left_out: Places | None = None) -> npt.NDArray[np.int32]:
    """Where the training pairs stand in `positive_documents`: all but those of a query and its own
    text, and those that are left out.
    """
    # int32 keeps ten million pairs at 40 MB.
    places = np.concatenate([np.empty(0, np.int32), *_training_places(dataset, guard)])
    return places if left_out is None or not len(left_out) else np.setdiff1d(places, left_out).astype(np.int32)


def pair_rows(dataset: PreparedDataset, places: npt.NDArray[np.integer]) -> tuple[Rows, Rows]:
    """The query and the document of each of these places in `positive_documents`."""
    queries = np.searchsorted(dataset.positive_offsets, places, side="right") - 1
    return queries.astype(np.int64), dataset.positive_documents[places].astype(np.int64)


def _training_places(dataset: PreparedDataset, guard: Guard) -> Iterator[npt.NDArray[np.int32]]:
    """`training_places` block by block."""
    for part in _slices(dataset.query_count):
        offsets = dataset.positive_offsets[part.start : part.stop + 1]
        trained = np.repeat(dataset.query_split[part] == SPLITS["train"], np.diff(offsets))
        if guard.identical_text == "ignore":
            texts = np.repeat(dataset.query_text[part], np.diff(offsets))
            trained &= dataset.document_text[dataset.positive_documents[offsets[0] : offsets[-1]]] != texts
        yield (offsets[0] + np.flatnonzero(trained)).astype(np.int32)


def _draw(
    offsets: Offsets, documents: Rows, queries: Rows, count: int, generator: np.random.Generator
) -> Iterator[tuple[int, int]]:
    """At most `count` of the documents of each query, with its place among the queries."""
    if count == 0:
        return
    for place, (begin, end) in enumerate(zip(offsets[queries], offsets[queries + 1], strict=True)):
        choices = documents[begin:end]
        for document in generator.choice(choices, min(count, len(choices)), replace=False).tolist():
            yield place, document


def _slices(count: int) -> Iterator[slice]:
    """Slices that make up `count` queries or pairs."""
    return (slice(begin, min(begin + _BLOCK, count)) for begin in range(0, count, _BLOCK))
