"""A prepared data set as batches: anchors, documents and relevance for training, texts to rank for evaluation."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from hr_retrieval.data.batch import Batch, EvaluationBatch
from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.evaluation_set import SPLITS, EvaluationSet, Split, check_corpus, evaluation_set
from hr_retrieval.data.guard import Guard
from hr_retrieval.data.guidance import Guide, guidance
from hr_retrieval.data.negatives import MinedNegatives
from hr_retrieval.data.sampler import PairSampler, check_batch_fits
from hr_retrieval.data.tokens import Tokeniser, TokenTable, token_table
from hr_retrieval.errors import UserError

Rows = npt.NDArray[np.int64]

# Queries or pairs looked at together: of ten million, several copies at once would be hundreds of megabytes.
_BLOCK = 1 << 20


class RetrievalDataModule(pl.LightningDataModule):
    """Batches of a prepared data set.

    Args:
        folder: the prepared data set.
        tokeniser: gives token ids; in practice the encoder. Each text is tokenised once, into a cache on disk.
        batch_size: anchors a batch on each process.
        positives_per_anchor: documents relevant to an anchor in a batch, where it has as many; the first is the pair's own.
        negatives_per_anchor: stated negatives of each anchor in a batch, where it has as many.
        mined_per_anchor: likewise negatives mined while training; needs `callbacks=mining`.
        bucket_batches: see `PairSampler`.
        repeats: whether a text may stand in a training batch twice.
        identical_text: `ignore` or `count` a document with the query's own text (see `Guard`).
        validation_corpus: what is ranked after each epoch: `split` leaves out the documents that answer queries of other
            splits only, which is cheaper and easier; `all` ranks every document of the corpus.
        test_corpus: likewise for the test split.
        evaluation_queries: measure at most so many queries of a split, the same for any seed; `None` measures all.
        evaluation_tokens: tokens an evaluation batch may hold.
        guide: a frozen encoder: what it finds as close to an anchor as a stated positive is no negative (see `Guard`). All
            texts are embedded once, into the cache.
        guide_margin: cosine by which a document may lie below the positive and still be no negative, in [0, 2).
        workers: loader processes; the batches are the same for any number.
        cache: where token tables and the guide's embeddings go; by default `<folder>/tokens`.
        seed: of the order of the pairs and of which extra positives and negatives are drawn.

    Attributes:
        negatives_name: the file of the mined negatives in force, `None` before the first; part of a checkpoint.

    Raises:
        UserError: a batch is larger than the training data, all anchors are in one group, or a value is out of range.
    """

    def __init__(
        self,
        folder: str | Path,
        tokeniser: Tokeniser,
        batch_size: int = 32,
        positives_per_anchor: int = 1,
        negatives_per_anchor: int = 1,
        mined_per_anchor: int = 0,
        bucket_batches: int = 1,
        repeats: bool = True,
        identical_text: str = "ignore",
        validation_corpus: str = "split",
        test_corpus: str = "all",
        evaluation_queries: int | None = None,
        evaluation_tokens: int = 8192,
        guide: Guide | None = None,
        guide_margin: float = 0.0,
        workers: int = 0,
        cache: str | None = None,
        seed: int = 1,
    ) -> None:
        super().__init__()
        self.corpora = {"validation": validation_corpus, "test": test_corpus}
        for split, corpus in self.corpora.items():
            check_corpus(corpus, f"datamodule.{split}_corpus")
        if positives_per_anchor < 1 or min(negatives_per_anchor, mined_per_anchor) < 0:
            raise UserError(
                "positives_per_anchor of at least 1, negatives_per_anchor and mined_per_anchor of at least 0",
                f"{positives_per_anchor}, {negatives_per_anchor} and {mined_per_anchor}",
                "Mend these keys of datamodule.",
            )
        _check_guide_margin(guide, guide_margin)
        self.dataset = PreparedDataset.open(Path(folder))
        self.guard = Guard(self.dataset, identical_text=identical_text)
        self.tokeniser, self.guide, self.guide_margin = tokeniser, guide, guide_margin
        self.batch_size, self.bucket_batches, self.workers, self.seed = batch_size, bucket_batches, workers, seed
        self.positives_per_anchor, self.negatives_per_anchor = positives_per_anchor, negatives_per_anchor
        self.mined_per_anchor, self.repeats = mined_per_anchor, repeats
        self.negatives_name: str | None = None
        self.evaluation_queries, self.evaluation_tokens = evaluation_queries, evaluation_tokens
        self.cache = Path(cache) if cache else Path(folder) / "tokens"
        self._check_training_data()

    def prepare_data(self) -> None:
        """Tokenise both tables, and have the guide embed them, if no cache holds them (Lightning calls this on one process)."""
        self._tables()
        self._guarded()

    def setup(self, stage: str | None = None) -> None:
        """Map the tokens and list the training pairs (Lightning calls this on every process)."""
        self.query_tokens, self.document_tokens = self._tables()
        self.guard = self._guarded()
        process, processes = 0, 1
        if self.trainer is not None:
            process, processes = self.trainer.global_rank, self.trainer.world_size
        self.process, self.processes = process, processes
        self._evaluation: dict[Split, EvaluationSet] = {}
        if stage in (None, "fit"):
            self.pairs = TrainingPairs(
                self.dataset,
                self.guard,
                self.query_tokens,
                self.document_tokens,
                self.positives_per_anchor,
                self.negatives_per_anchor,
                self.mined_per_anchor,
                self.seed,
            )
            self._train_loader = ResumableLoader(
                self.pairs,
                PairSampler(
                    self.pairs.lengths(),
                    self.batch_size,
                    self.seed,
                    self.bucket_batches,
                    process,
                    processes,
                    None if self.repeats else self.pairs.texts(),
                ),
                self.workers,
            )

    def train_dataloader(self) -> "ResumableLoader":
        """The stream of training batches."""
        return self._train_loader

    def val_dataloader(self) -> "DataLoader[EvaluationBatch]":
        """The texts of the validation split."""
        return self._evaluation_loader("validation")

    def test_dataloader(self) -> "DataLoader[EvaluationBatch]":
        """The texts of the test split."""
        return self._evaluation_loader("test")

    def state_dict(self) -> dict[str, Any]:
        """Where the stream of training batches stands, and which mined negatives are in force.

        Lightning keeps the loader's own state too, but reads it back only if nobody has asked for the number of steps before.
        """
        state: dict[str, Any] = self._train_loader.state_dict()
        return state if self.negatives_name is None else {**state, "negatives": self.negatives_name}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on behind the batches consumed; whoever mines negatives then brings those in force (`use_negatives`)."""
        self._train_loader.load_state_dict(state_dict)
        self.negatives_name = state_dict.get("negatives")

    def use_negatives(self, name: str, negatives: MinedNegatives) -> None:
        """Draw from these mined negatives from the next pass of the loader on; `name` is the file's."""
        self.negatives_name = name
        self.pairs.mined = negatives.offsets(self.dataset.query_count), negatives.document_rows

    def evaluation_set(self, split: Split) -> EvaluationSet:
        """Queries, documents and relevance of a split.

        Raises:
            UserError: the split has no queries.
        """
        if split not in self._evaluation:
            self._evaluation[split] = evaluation_set(
                self.dataset, self.guard, split, self.corpora.get(split, "all"), self.evaluation_queries
            )
        return self._evaluation[split]

    def cut_texts(self) -> dict[str, int]:
        """How many texts the encoder does not read to the end, and how many there are."""
        return {
            "queries": len(self.query_tokens),
            "queries_cut": self.query_tokens.cut,
            "documents": len(self.document_tokens),
            "documents_cut": self.document_tokens.cut,
        }

    def _tables(self) -> tuple[TokenTable, TokenTable]:
        data, cache, tokeniser = self.dataset, self.cache, self.tokeniser
        return (
            token_table(cache, "queries", data.texts("queries"), data.query_count, tokeniser, "query"),
            token_table(cache, "corpus", data.texts("corpus"), data.document_count, tokeniser, "document"),
        )

    def _guarded(self) -> Guard:
        if self.guide is None:
            return self.guard
        return replace(self.guard, guidance=guidance(self.cache, self.dataset, self.guide, self.guide_margin))

    def _check_training_data(self) -> None:
        data, anchors = self.dataset, 0
        pairs = sum(len(places) for places in _training_places(data, self.guard))
        # Of the training anchors; queries of other splits may be of any.
        groups: set[int] = set()
        for part in _slices(data.query_count):
            in_train = data.query_split[part] == SPLITS["train"]
            anchors += int(in_train.sum())
            if len(groups) < 2:
                groups |= set(np.unique(data.query_group[part][in_train])[:2].tolist())
        if anchors == 0:
            raise data.empty_split("train")
        check_batch_fits(self.batch_size, pairs)
        if len(groups) == 1:
            raise UserError(
                "anchors of at least two groups, so that one has negatives",
                f"{anchors} training anchors, all in one group",
                "Map data.columns.group to a column that tells the documents apart, or leave it out.",
            )

    def _evaluation_loader(self, split: Split) -> "DataLoader[EvaluationBatch]":
        texts = EvaluationTexts(
            self.evaluation_set(split), self.query_tokens, self.document_tokens, self.evaluation_tokens, self.processes
        )
        mine = range(self.process, len(texts), self.processes)
        return DataLoader(texts, batch_size=None, sampler=mine, num_workers=self.workers)


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
        # As CSR over the query rows; a loader's workers get it at the beginning of each pass.
        self.mined: tuple[Rows, npt.NDArray[np.int32]] | None = None
        # Where the training pairs stand in `positive_documents`; int32 keeps ten million pairs at 40 MB.
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

    def texts(self) -> npt.NDArray[np.int64]:
        """`[2, P]`: numbers of each pair's query and document text; equal and nearly equal texts have one number."""
        found = np.empty((2, len(self)), np.int64)
        for part in _slices(len(self)):
            queries, documents = self._pair(np.arange(part.start, part.stop))
            found[:, part] = self.dataset.query_text[queries], self.dataset.document_duplicate[documents]
        return found

    def __getitem__(self, item: tuple[int, Rows]) -> Batch:
        number, pairs = item
        queries, own = self._pair(pairs)
        # Drawn by the batch's number, so that any number of workers and any resumed run draw the same.
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

    def _pair(self, pairs: Rows) -> tuple[Rows, Rows]:
        places = self.places[pairs]
        queries = np.searchsorted(self.dataset.positive_offsets, places, side="right") - 1
        return queries.astype(np.int64), self.dataset.positive_documents[places].astype(np.int64)

    @staticmethod
    def _draw(
        offsets: npt.NDArray[np.int64],
        documents: npt.NDArray[np.int32],
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
        super().__init__(
            pairs, batch_size=None, sampler=sampler, num_workers=workers, pin_memory=torch.cuda.is_available()
        )

    def __iter__(self) -> Any:
        for batch in super().__iter__():
            # Counted when the batch is handed over, not when a worker fetched it ahead.
            self.pair_sampler.position += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The number of batches consumed since the beginning of training, and how many pairs one has over all processes."""
        return {"position": self.pair_sampler.position, "global_batch": self.pair_sampler.global_batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on behind the pairs consumed, also where a batch had another size then."""
        self.pair_sampler.go_on(state["position"], state["global_batch"])


class EvaluationTexts(Dataset[EvaluationBatch]):
    """The texts of an evaluation set in batches of similar length and about `tokens` tokens each.

    There are at least `processes` batches, since Lightning leaves the validation out on a process that has none.

    Raises:
        UserError: there are more processes than texts.
    """

    def __init__(
        self,
        evaluation: EvaluationSet,
        query_tokens: TokenTable,
        document_tokens: TokenTable,
        tokens: int,
        processes: int = 1,
    ) -> None:
        self.evaluation = evaluation
        self.tables = {"query": query_tokens, "document": document_tokens}
        self.rows = {"query": evaluation.query_rows, "document": evaluation.document_rows}
        self.batches: list[tuple[Literal["query", "document"], Rows]] = []
        kinds: tuple[Literal["query", "document"], ...] = ("query", "document")
        for kind in kinds:
            lengths = self.tables[kind].lengths(self.rows[kind])
            order = np.argsort(lengths, kind="stable")
            number = np.cumsum(lengths[order]) // tokens
            cuts = np.flatnonzero(np.diff(number)) + 1
            self.batches += [(kind, part) for part in np.split(order, cuts) if len(part)]
        while len(self.batches) < processes:
            largest = max(range(len(self.batches)), key=lambda number: len(self.batches[number][1]))
            kind, part = self.batches[largest]
            if len(part) < 2:
                raise UserError(
                    f"at most {len(self.batches)} processes, as many as the {evaluation.split} split has texts",
                    str(processes),
                    "Lower trainer.devices or trainer.num_nodes.",
                )
            self.batches[largest : largest + 1] = [(kind, half) for half in np.array_split(part, 2)]

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> EvaluationBatch:
        kind, positions = self.batches[number]
        tokens = self.tables[kind].take(self.rows[kind][positions])
        return EvaluationBatch(kind, torch.from_numpy(positions), tokens)


def _training_places(dataset: PreparedDataset, guard: Guard) -> Iterator[npt.NDArray[np.int32]]:
    """Where the training pairs stand in `positive_documents`, block by block: all but those of a query and its own text."""
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


def _check_guide_margin(guide: Guide | None, margin: float) -> None:
    if not 0 <= margin < 2:
        raise UserError("a guide_margin of at least 0 and below 2", str(margin), "Mend datamodule.guide_margin.")
    if margin > 0 and guide is None:
        raise UserError(
            "a guide for the guide_margin",
            f"guide_margin {margin} and no guide",
            "Set datamodule.guide too, or neither.",
        )
