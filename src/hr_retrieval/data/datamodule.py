"""Prepared data sets as batches: anchors, documents and relevance for training, texts to rank for evaluation."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import DataLoader

from hr_retrieval.data.arrays import Places, Rows
from hr_retrieval.data.batch import EvaluationBatch
from hr_retrieval.data.curriculum import check_curriculum, hardness
from hr_retrieval.data.evaluation_set import EvaluationSet, check_corpus, evaluation_set
from hr_retrieval.data.evaluation_texts import EvaluationTexts
from hr_retrieval.data.guard import Guard
from hr_retrieval.data.guidance import Ensemble, Guidance, Guide, check_teacher_mixing, guidance
from hr_retrieval.data.joined import joined
from hr_retrieval.data.leaks import check_overlap, leaks
from hr_retrieval.data.negatives import MinedNegatives
from hr_retrieval.data.pairs import TrainingPairs, check_training_data
from hr_retrieval.data.sampler import PairSampler
from hr_retrieval.data.scored import ScoredPairs
from hr_retrieval.data.source import Source, fingerprint_of_all, open_sources, source_of
from hr_retrieval.data.stream import ResumableLoader, SourcePairs, SourceSampler
from hr_retrieval.data.tables import Split
from hr_retrieval.data.tokens import Rewordable
from hr_retrieval.errors import UserError

Teaching = Ensemble | ScoredPairs
log = logging.getLogger(__name__)


class RetrievalDataModule(pl.LightningDataModule):
    """Batches of one prepared data set, or of several: each batch is of one of them.

    Args:
        folder: the prepared data set, or a list of several: the sources, each named by the last part
            of its folder.
        tokeniser: gives token ids; in practice the encoder. Each text is tokenised once, into a
            cache on disk.
        batch_size: anchors a batch on each process.
        positives_per_anchor: documents relevant to an anchor in a batch, where it has as many; the
            first is the pair's own.
        negatives_per_anchor: stated negatives of each anchor in a batch, where it has as many.
        mined_per_anchor: likewise negatives mined while training; needs `callbacks=mining`.
        bucket_batches: see `PairSampler`.
        repeats: whether a text may stand in a training batch twice.
        curriculum: `length` takes short pairs first, `weight` those of the highest grade times
            weight, in the first pass over each source (see `PairSampler`).
        identical_text: `ignore` or `count` a document with the query's own text (see `Guard`).
        validation_corpus: what is ranked after each epoch: `split` leaves out the documents that
            answer queries of other splits only, which is cheaper and easier; `all` ranks every
            document of the corpus.
        test_corpus: likewise for the test split.
        evaluation_queries: measure at most so many queries of a split, the same for any seed;
            `None` measures all.
        evaluation_tokens: tokens an evaluation batch may hold.
        guide: a frozen encoder: what it finds as close to an anchor as a stated positive is no
            negative (see `Guard`). All texts are embedded once, into the cache.
        guide_margin: cosine by which a document may lie below the positive and still be no
            negative, in [0, 2).
        teacher: frozen encoders, the mean of whose scores of the batch is distilled; likewise embedded once.
        teacher_mixing: `auto` takes a teacher's scores with its own mixing at ranking time, `none` its cosines.
        workers: loader processes; the batches are the same for any number.
        cache: where token tables and the guide's embeddings go; by default `<folder>/tokens`.
        seed: of the order of the pairs and of which extra positives and negatives are drawn.
        sources: `SourceOptions` of some of several sources, by their names.
        overlap: `drop` leaves training pairs out that would show a validation or test query of
            another source, `refuse` takes them for an error.
        shared_groups: whether equal group ids of several sources mean the same group.
        weighted: whether a pair weighs in the loss by its grade, 1 to 3, times its stated weight.

    Attributes:
        negatives_name: the file of the mined negatives in force, `None` before the first; part of a
            checkpoint.
        sources: the data sets, in the order of their folders.
        guard: what all of them say together; each by itself has its own.
        leaks: what was left out of the training of one source, since it would show measured queries
            of another one.

    Raises:
        UserError: a batch is larger than the training data, all anchors are in one group, or a
            value is out of range.
    """

    def __init__(
        self,
        folder: str | Path | Sequence[str | Path],
        tokeniser: Rewordable,
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
        teacher: Sequence[Guide] = (),
        teacher_mixing: str = "none",
        workers: int = 0,
        cache: str | None = None,
        seed: int = 1,
        sources: Mapping[str, Mapping[str, Any]] | None = None,
        overlap: str = "drop",
        shared_groups: bool = True,
        weighted: bool = True,
        curriculum: str | None = None,
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
        check_teacher_mixing(teacher_mixing, len(teacher))
        self.sources = open_sources(folder, sources, tokeniser, identical_text, Path(cache) if cache else None)
        tables = joined([source.dataset for source in self.sources], shared_groups)
        self.guard = Guard(tables, identical_text=identical_text, weighted=weighted)
        self.guide, self.guide_margin = guide, guide_margin
        self.teacher, self.teacher_mixing = list(teacher), teacher_mixing
        self.taught: Teaching | None = None
        self.batch_size, self.bucket_batches, self.workers, self.seed = batch_size, bucket_batches, workers, seed
        self.positives_per_anchor, self.negatives_per_anchor = positives_per_anchor, negatives_per_anchor
        self.mined_per_anchor, self.repeats, self.curriculum = mined_per_anchor, repeats, curriculum
        self.negatives_name: str | None = None
        self.evaluation_queries, self.evaluation_tokens = evaluation_queries, evaluation_tokens
        self.leaks = leaks(self.sources, tables)
        check_overlap(overlap, self.leaks)
        for leak in self.leaks:
            log.warning("Left out of training: %s", leak)
        check_curriculum(curriculum, tables)
        for source in self.sources:
            if source.share:
                check_training_data(source, batch_size, self._left_out(source), self._said(source))

    def prepare_data(self) -> None:
        """Tokenise all tables, and have guide and teacher embed them, if no cache holds them (Lightning
        calls this on one process).
        """
        for source in self.sources:
            source.tokens()
            source.texts()
        self._guarded()
        self._taught()

    def setup(self, stage: str | None = None) -> None:
        """Map the tokens and list the training pairs (Lightning calls this on every process)."""
        self.tokens = [source.tokens() for source in self.sources]
        self.guard, self.taught = self._guarded(), self._taught() or self.taught
        process, processes = 0, 1
        if self.trainer is not None:
            process, processes = self.trainer.global_rank, self.trainer.world_size
        self.process, self.processes = process, processes
        self._evaluations: dict[Split, list[EvaluationSet]] = {}
        if stage in (None, "fit"):
            self.pairs = [
                TrainingPairs(
                    number,
                    source,
                    self.guard,
                    *self.tokens[number],
                    self.positives_per_anchor,
                    self.negatives_per_anchor,
                    self.mined_per_anchor,
                    self.seed,
                    self._left_out(source),
                )
                for number, source in enumerate(self.sources)
            ]
            samplers = [self._sampler(source, pairs) for source, pairs in zip(self.sources, self.pairs, strict=True)]
            turns = SourceSampler(samplers, [source.share for source in self.sources])
            self._train_loader = ResumableLoader(SourcePairs(self.pairs), turns, self.workers)

    def train_dataloader(self) -> ResumableLoader:
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

        Lightning keeps the loader's own state too, but reads it back only if nobody has asked for
        the number of steps before.
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
        offsets = negatives.offsets(sum(source.dataset.query_count for source in self.sources))
        for source, pairs in zip(self.sources, self.pairs, strict=True):
            own = slice(source.first_query, source.first_query + source.dataset.query_count + 1)
            pairs.mined = offsets[own], negatives.document_rows - source.first_document

    def teacher_scores(
        self, query_rows: Int[Tensor, " B"], document_rows: Int[Tensor, " D"]
    ) -> Float[Tensor, "B D"] | None:
        """What the teacher scores each document for each query, NaN where it does not; `None` without one."""
        if self.taught is None:
            return None
        return torch.from_numpy(self.taught.scores(query_rows.numpy(), document_rows.numpy()))

    def use_teacher(self, scored: ScoredPairs) -> None:
        """Distil these scores from the next step on."""
        self.taught = scored

    def evaluation_sets(self, split: Split) -> list[EvaluationSet]:
        """Queries, documents and relevance of a split of each source, by its own judgements.

        Raises:
            UserError: the split of a source has no queries.
        """
        if split not in self._evaluations:
            corpus = self.corpora.get(split, "all")
            self._evaluations[split] = [
                evaluation_set(source.dataset, source.guard, split, corpus, self.evaluation_queries)
                for source in self.sources
            ]
        return self._evaluations[split]

    def query_ids(self, rows: Rows) -> list[str]:
        """The ids of queries of one batch, by their rows among those of all sources."""
        source = source_of(self.sources, int(rows[0]))
        return source.dataset.ids_at("queries", rows - source.first_query)

    @property
    def fingerprint(self) -> str:
        """That of the data set; of several, one of all of theirs."""
        return fingerprint_of_all(self.sources)

    def _left_out(self, source: Source) -> Places:
        return np.concatenate(
            [np.empty(0, np.int64), *(leak.places for leak in self.leaks if leak.source == source.name)]
        )

    def _said(self, source: Source) -> str:
        """What a message names a source by, where there are several."""
        return source.name if len(self.sources) > 1 else ""

    def _sampler(self, source: Source, pairs: TrainingPairs) -> PairSampler | None:
        if not source.share:
            return None
        return PairSampler(
            pairs.lengths(),
            self.batch_size,
            self.seed,
            self.bucket_batches,
            self.process,
            self.processes,
            None if self.repeats else pairs.texts(),
            hardness(self.curriculum, pairs),
            self._said(source),
        )

    def _guarded(self) -> Guard:
        if self.guide is None:
            return self.guard
        return replace(self.guard, guidance=self._embedded(self.guide, self.guide_margin))

    def _taught(self) -> Ensemble | None:
        if not self.teacher:
            return None
        return Ensemble([self._embedded(one, mixed=self.teacher_mixing == "auto") for one in self.teacher])

    def _embedded(self, guide: Guide, margin: float = 0.0, mixed: bool = False) -> Guidance:
        return guidance([(source.cache, source.dataset) for source in self.sources], guide, margin, mixed)

    def _evaluation_loader(self, split: Split) -> "DataLoader[EvaluationBatch]":
        texts = EvaluationTexts(self.evaluation_sets(split), self.tokens, self.evaluation_tokens, self.processes)
        mine = range(self.process, len(texts), self.processes)
        return DataLoader(texts, batch_size=None, sampler=mine, num_workers=self.workers)


def _check_guide_margin(guide: Guide | None, margin: float) -> None:
    if not 0 <= margin < 2:
        raise UserError("a guide_margin of at least 0 and below 2", str(margin), "Mend datamodule.guide_margin.")
    if margin > 0 and guide is None:
        raise UserError(
            "a guide for the guide_margin",
            f"guide_margin {margin} and no guide",
            "Set datamodule.guide too, or neither.",
        )
