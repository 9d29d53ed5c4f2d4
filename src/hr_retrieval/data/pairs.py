"""The pairs of the training split as batches."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset

from hr_retrieval.data.arrays import Codes, Offsets, Places, Rows
from hr_retrieval.data.batch import Batch
from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.guard import Guard
from hr_retrieval.data.sampler import PairSampler, check_batch_fits
from hr_retrieval.data.tables import SPLITS
from hr_retrieval.data.tokens import TokenTable
from hr_retrieval.errors import UserError

# Queries or pairs looked at together: of ten million, several copies at once would be hundreds of
# megabytes.
_BLOCK = 1 << 20


class TrainingPairs(Dataset[Batch]):
    """The pairs of the training split; an item is a whole batch, asked for by its number and its pairs."""

    def __init__(
        self,
        dataset: PreparedDataset,
        guard: Guard,
        query_tokens: TokenTable,
        document_tokens: TokenTable,
        positives_per_anchor: int,
        negatives_per_anchor: int,
        mined_per_anchor: int,
        seed: int,
    ) -> None:
        self.dataset, self.guard, self.seed = dataset, guard, seed
        self.query_tokens, self.document_tokens = query_tokens, document_tokens
        self.positives_per_anchor, self.negatives_per_anchor = positives_per_anchor, negatives_per_anchor
        self.mined_per_anchor = mined_per_anchor
        # By the query rows; a loader's workers get it at the beginning of each pass.
        self.mined: tuple[Offsets, Rows] | None = None
        # Where the training pairs stand in `positive_documents`; int32 keeps ten million pairs at
        # 40 MB.
        self.places = np.concatenate([np.empty(0, np.int32), *_training_places(dataset, guard)])

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

    def __getitem__(self, item: tuple[int, Places]) -> Batch:
        number, pairs = item
        queries, own = self._pair(pairs)
        # Drawn by the batch's number, so that any number of workers and any resumed run draw the
        # same.
        generator = np.random.default_rng((self.seed, number))
        extra = [
            *self._draw(
                self.dataset.positive_offsets,
                self.dataset.positive_documents,
                queries,
                self.positives_per_anchor - 1,
                generator,
            ),
            *self._draw(
                self.dataset.negative_offsets,
                self.dataset.negative_documents,
                queries,
                self.negatives_per_anchor,
                generator,
            ),
            # Last, so that the others are the same with and without it.
            *(self._draw(*self.mined, queries, self.mined_per_anchor, generator) if self.mined else ()),
        ]
        added = np.setdiff1d(np.asarray(extra, np.int64), own)
        documents = np.concatenate([own, added])
        relevance, negative = self.guard.judge(queries, documents)
        return Batch(
            anchors=self.query_tokens.take(queries),
            documents=self.document_tokens.take(documents),
            relevance=torch.from_numpy(relevance),
            negative=torch.from_numpy(negative),
            query_rows=torch.from_numpy(queries),
            document_rows=torch.from_numpy(documents),
        )

    def _pair(self, pairs: Places) -> tuple[Rows, Rows]:
        places = self.places[pairs]
        queries = np.searchsorted(self.dataset.positive_offsets, places, side="right") - 1
        return queries.astype(np.int64), self.dataset.positive_documents[places].astype(np.int64)

    @staticmethod
    def _draw(
        offsets: Offsets,
        documents: Rows,
        queries: Rows,
        count: int,
        generator: np.random.Generator,
    ) -> Iterator[int]:
        if count == 0:
            return
        for begin, end in zip(offsets[queries], offsets[queries + 1], strict=True):
            choices = documents[begin:end]
            yield from generator.choice(choices, min(count, len(choices)), replace=False).tolist()


class ResumableLoader(DataLoader[Batch]):
    """A loader that knows how many batches were consumed; Lightning keeps that number in checkpoints."""

    def __init__(self, pairs: TrainingPairs, sampler: PairSampler, workers: int) -> None:
        self.pair_sampler = sampler
        super().__init__(pairs, batch_size=None, sampler=sampler, num_workers=workers)

    def __iter__(self) -> Any:
        for batch in super().__iter__():
            # Counted when the batch is handed over, not when a worker fetched it ahead.
            self.pair_sampler.position += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The number of batches consumed since the beginning of training, and how many pairs one
        has over all processes.
        """
        return {"position": self.pair_sampler.position, "global_batch": self.pair_sampler.global_batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on behind the pairs consumed, also where a batch had another size then."""
        self.pair_sampler.go_on(state["position"], state["global_batch"])


def check_training_data(dataset: PreparedDataset, guard: Guard, batch_size: int) -> None:
    """Raise `UserError` unless the training split has a batch of pairs, and anchors of two groups."""
    anchors = 0
    pairs = sum(len(places) for places in _training_places(dataset, guard))
    # Of the training anchors; queries of other splits may be of any.
    groups: set[int] = set()
    for part in _slices(dataset.query_count):
        in_train = dataset.query_split[part] == SPLITS["train"]
        anchors += int(in_train.sum())
        if len(groups) < 2:
            groups |= set(np.unique(dataset.query_group[part][in_train])[:2].tolist())
    if anchors == 0:
        raise dataset.empty_split("train")
    check_batch_fits(batch_size, pairs)
    if len(groups) == 1:
        raise UserError(
            "anchors of at least two groups, so that one has negatives",
            f"{anchors} training anchors, all in one group",
            "Map data.columns.group to a column that tells the documents apart, or leave it out.",
        )


def _training_places(dataset: PreparedDataset, guard: Guard) -> Iterator[npt.NDArray[np.int32]]:
    """Where the training pairs stand in `positive_documents`, block by block: all but those of a
    query and its own text.
    """
    for part in _slices(dataset.query_count):
        offsets = dataset.positive_offsets[part.start : part.stop + 1]
        trained = np.repeat(dataset.query_split[part] == SPLITS["train"], np.diff(offsets))
        if guard.identical_text == "ignore":
            texts = np.repeat(dataset.query_text[part], np.diff(offsets))
            trained &= dataset.document_text[dataset.positive_documents[offsets[0] : offsets[-1]]] != texts
        yield (offsets[0] + np.flatnonzero(trained)).astype(np.int32)


def _slices(count: int) -> Iterator[slice]:
    """Slices that make up `count` queries or pairs."""
    return (slice(begin, min(begin + _BLOCK, count)) for begin in range(0, count, _BLOCK))
