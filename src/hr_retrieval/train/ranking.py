"""The mixing at ranking time that validation chooses for the best checkpoint, and what it is worth
on the test split.
"""

import logging
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from hr_retrieval.data.arrays import Rows
from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.data.evaluation_set import EvaluationSet, evaluation_set
from hr_retrieval.data.source import Source, corpora, mean_of
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.ranking.bank import check_anchors, training_bank
from hr_retrieval.ranking.options import offered_mixing
from hr_retrieval.ranking.sides import Sides
from hr_retrieval.retrieval.metrics import Embedded, per_query
from hr_retrieval.retrieval.mixing import AutoMixing, Composition
from hr_retrieval.retrieval.mixing.choice import Choice, Measured, Task, choose, measured, together, worth
from hr_retrieval.retrieval.relevance import Relevance
from hr_retrieval.runs.directory import Run
from hr_retrieval.runs.ranking import RankingChoice
from hr_retrieval.train.ranker import Ranker

log = logging.getLogger(__name__)

# Validation queries that choose, the first by lot.
_QUERIES = 2000


@dataclass(frozen=True)
class TestRanking:
    """The test split ranked with the chosen mixing.

    Attributes:
        figures: mean of each metric over the queries that have a relevant document, as `mean_of`
            has it.
        values: of each source each metric of each of them.
    """

    figures: dict[str, float]
    values: list[dict[str, Tensor]]


def check_ranking(config: DictConfig, datamodule: RetrievalDataModule) -> None:
    """Raise `UserError` unless each data set is large enough for what the config asks for, and has what that needs."""
    offered = offered_mixing(OmegaConf.select(config, "ranking.mixing"))
    for source in datamodule.sources:
        if not isinstance(offered, AutoMixing):
            offered.check(source.dataset.document_count)
        check_anchors(offered, source.dataset)


def choose_ranking(
    this_run: Run,
    trainer: pl.Trainer,
    module: Ranker,
    datamodule: RetrievalDataModule,
    tested: list[Embedded],
) -> tuple[dict[str, Any] | None, TestRanking | None]:
    """Have validation choose, write `ranking.json`, and rank the test split anew where something was chosen.

    The whole corpus is ranked for the validation queries, whatever `datamodule.validation_corpus`
    says: neighbours are those of the whole corpus, and it has been embedded for the test anyway.
    Of several sources one mixing is chosen, by the mean by their shares: the encoder is used on
    corpora that are of no source, so that it has one choice.

    Args:
        tested: what the test has embedded of each source; empty without a test.

    Returns:
        What `summary.json` says of it, `None` where nothing was offered or validated; and the test
        figures with the mixing, `None` where they are those without.
    """
    offered = offered_mixing(OmegaConf.select(this_run.config, "ranking.mixing"))
    if isinstance(offered, AutoMixing):
        for source in datamodule.sources:
            offered = offered.fitting(source.dataset.document_count)
    if not offered.parts:
        return None, None
    if not trainer.limit_val_batches:
        log.info("no validation, which would choose a mixing at ranking time: there is none")
        return None, None
    module.encoder.to(trainer.strategy.root_device)
    kept = [
        _Ranked(source, module.encoder.reworded(**source.wording), test)
        for source, test in zip_longest(datamodule.sources, tested)
    ]
    limit = min(datamodule.evaluation_queries or _QUERIES, _QUERIES)
    validations = [evaluation_set(one.source.dataset, one.source.guard, "validation", "all", limit) for one in kept]
    tasks = []
    for one, validation in zip(kept, validations, strict=True):
        found = (len(validation.query_rows), validation.corpus)
        log.info("choosing a mixing at ranking time: %d validation queries over %s", *found)
        tasks.append(one.task(offered, validation))
    choice = choose(offered, tasks, _metric(this_run.config))
    log.info("mixing at ranking time: %s", choice.mixing)
    summary = _summary(choice, corpora(datamodule.sources, validations))
    evidence = {name: summary[name] for name in ("tried", "corpus", "validation")}
    RankingChoice(module.encoder.embedding_fingerprint(), choice.mixing, evidence).write(this_run.folder)
    if not tested or not choice.mixing.parts:
        return summary, None
    evaluations = datamodule.evaluation_sets("test")
    pairs = [one.tested(choice.mixing, evaluation) for one, evaluation in zip(kept, evaluations, strict=True)]
    shares = [source.share for source in datamodule.sources]
    plain, mixed = (together(side, shares) for side in zip(*pairs, strict=True))
    summary["test"] = asdict(worth(plain, mixed, choice.worth.metric))
    values = [own.values for _, own in pairs]
    figures = [{name: float(value.mean()) for name, value in own.items()} for own in values]
    tensors = [{name: torch.from_numpy(value) for name, value in own.items()} for own in values]
    return summary, TestRanking(mean_of(datamodule.sources, figures), tensors)


class _Ranked:
    """A source, its encoder, and what the test has embedded of it."""

    def __init__(self, source: Source, encoder: Encoder, test: Embedded | None) -> None:
        self.source, self.encoder, self.test = source, encoder, test
        self.whole = test is not None and len(test.documents) == source.dataset.document_count
        self._sides: Sides | None = None

    def task(self, offered: Composition, validation: EvaluationSet) -> Task:
        """The validation queries over the whole corpus."""
        dataset = self.source.dataset
        documents = (
            self.test.documents
            if self.test is not None and self.whole
            else self.encoder.encode(dataset.texts_at("corpus", validation.document_rows), "document")
        )
        self._sides = sides = self._sides_of(offered, documents, validation.document_rows)
        texts = dataset.texts_at("queries", validation.query_rows)
        queries = sides.queries(lambda: texts, self.encoder.encode(texts, "query"))
        return Task(queries, sides.corpus, validation.relevance.to(documents.device), self.source.share)

    def tested(self, mixing: Composition, evaluation: EvaluationSet) -> tuple[Measured, Measured]:
        """The test queries without and with the mixing."""
        assert self.test is not None, "there was a test"
        dataset, test, sides = self.source.dataset, self.test, self._sides
        if not self.whole:
            sides = self._sides_of(mixing, test.documents, evaluation.document_rows)
        assert sides is not None, "the task was made"
        queries = sides.queries(lambda: dataset.texts_at("queries", evaluation.query_rows), test.queries)
        plain, mixed = (measured(one(queries, sides.corpus), test.relevance) for one in (Composition(), mixing))
        return plain, mixed

    def _sides_of(self, mixing: Composition, embedded: Tensor, rows: Rows) -> Sides:
        dataset = self.source.dataset
        bank = training_bank(mixing, dataset, self.source.guard, self.encoder, rows)
        return Sides(mixing, self.encoder, lambda: dataset.texts_at("corpus", rows), embedded, bank)


def _metric(config: DictConfig) -> str:
    """The metric that the run monitors, of whichever source, as far as it is one of the ranking of
    documents; else `mrr`.
    """
    monitor = str(OmegaConf.select(config, "callbacks.best.monitor")).removeprefix("validation/")
    monitor = monitor if monitor.startswith("document_to_query/") else monitor.rpartition("/")[2]
    known = per_query(torch.tensor([1]), Relevance.from_lists([[0]]))
    return monitor if monitor in known else "mrr"


def _summary(choice: Choice, corpus: str) -> dict[str, Any]:
    return {
        "mixing": str(choice.mixing),
        "parts": choice.mixing.to_json(),
        "tried": choice.tried,
        "corpus": corpus,
        "validation": asdict(choice.worth),
        "test": None,
    }
