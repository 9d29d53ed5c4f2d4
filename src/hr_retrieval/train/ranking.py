"""The mixing at ranking time that validation chooses for the best checkpoint, and what it is worth
on the test split.
"""

import logging
from dataclasses import asdict, dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from hr_retrieval.data.arrays import Rows
from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.data.evaluation_set import EvaluationSet, evaluation_set
from hr_retrieval.ranking.bank import check_anchors, training_bank
from hr_retrieval.ranking.options import offered_mixing
from hr_retrieval.ranking.sides import Sides
from hr_retrieval.retrieval.metrics import Embedded, per_query
from hr_retrieval.retrieval.mixing import AutoMixing, Composition
from hr_retrieval.retrieval.mixing.choice import Choice, choose, measured, worth
from hr_retrieval.retrieval.relevance import Relevance
from hr_retrieval.runs.directory import Run
from hr_retrieval.runs.ranking import RankingChoice
from hr_retrieval.train.module import RetrievalModule

log = logging.getLogger(__name__)

# Validation queries that choose, the first by lot.
_QUERIES = 2000


@dataclass(frozen=True)
class TestRanking:
    """The test split ranked with the chosen mixing.

    Attributes:
        figures: mean of each metric over the queries that have a relevant document.
        values: each metric of each of them.
    """

    figures: dict[str, float]
    values: dict[str, Tensor]


def check_ranking(config: DictConfig, datamodule: RetrievalDataModule) -> None:
    """Raise `UserError` unless the data set is large enough for what the config asks for, and has what that needs."""
    offered = offered_mixing(OmegaConf.select(config, "ranking.mixing"))
    if not isinstance(offered, AutoMixing):
        offered.check(datamodule.dataset.document_count)
    check_anchors(offered, datamodule.dataset)


def choose_ranking(
    this_run: Run,
    trainer: pl.Trainer,
    module: RetrievalModule,
    datamodule: RetrievalDataModule,
    tested: Embedded | None,
) -> tuple[dict[str, Any] | None, TestRanking | None]:
    """Have validation choose, write `ranking.json`, and rank the test split anew where something was chosen.

    The whole corpus is ranked for the validation queries, whatever `datamodule.validation_corpus`
    says: neighbours are those of the whole corpus, and it has been embedded for the test anyway.

    Args:
        tested: what the test has embedded; `None` without a test.

    Returns:
        What `summary.json` says of it, `None` where nothing was offered or validated; and the test
        figures with the mixing, `None` where they are those without.
    """
    offered, dataset, guard = (
        offered_mixing(OmegaConf.select(this_run.config, "ranking.mixing")),
        datamodule.dataset,
        datamodule.guard,
    )
    if isinstance(offered, AutoMixing):
        offered = offered.fitting(dataset.document_count)
    if not offered.parts:
        return None, None
    if not trainer.limit_val_batches:
        log.info("no validation, which would choose a mixing at ranking time: there is none")
        return None, None
    limit = min(datamodule.evaluation_queries or _QUERIES, _QUERIES)
    validation = evaluation_set(dataset, guard, "validation", "all", limit)
    found = (len(validation.query_rows), validation.corpus)
    log.info("choosing a mixing at ranking time: %d validation queries over %s", *found)
    encoder = module.encoder.to(trainer.strategy.root_device)
    whole = tested is not None and len(tested.documents) == dataset.document_count
    documents = (
        tested.documents
        if tested is not None and whole
        else encoder.encode(dataset.texts_at("corpus", validation.document_rows), "document")
    )

    def sides_of(mixing: Composition, embedded: Tensor, rows: Rows) -> Sides:
        bank = training_bank(mixing, dataset, guard, encoder, rows)
        return Sides(mixing, encoder, lambda: dataset.texts_at("corpus", rows), embedded, bank)

    sides = sides_of(offered, documents, validation.document_rows)
    texts = dataset.texts_at("queries", validation.query_rows)
    queries = sides.queries(lambda: texts, encoder.encode(texts, "query"))
    choice = choose(offered, queries, sides.corpus, validation.relevance.to(documents.device), _metric(this_run.config))
    log.info("mixing at ranking time: %s", choice.mixing)
    summary = _summary(choice, validation)
    evidence = {name: summary[name] for name in ("tried", "corpus", "validation")}
    RankingChoice(encoder.embedding_fingerprint(), choice.mixing, evidence).write(this_run.folder)
    if tested is None or not choice.mixing.parts:
        return summary, None
    evaluation = datamodule.evaluation_set("test")
    if not whole:
        sides = sides_of(choice.mixing, tested.documents, evaluation.document_rows)
    test_queries = sides.queries(lambda: dataset.texts_at("queries", evaluation.query_rows), tested.queries)
    plain, mixed = (
        measured(mixing(test_queries, sides.corpus), tested.relevance) for mixing in (Composition(), choice.mixing)
    )
    summary["test"] = asdict(worth(plain, mixed, choice.worth.metric))
    figures = {name: float(value.mean()) for name, value in mixed.values.items()}
    return summary, TestRanking(figures, {name: torch.from_numpy(value) for name, value in mixed.values.items()})


def _metric(config: DictConfig) -> str:
    """The metric that the run monitors, as far as it is one of the ranking of documents; else `mrr`."""
    monitor = str(OmegaConf.select(config, "callbacks.best.monitor")).removeprefix("validation/")
    known = per_query(torch.tensor([1]), Relevance.from_lists([[0]]))
    return monitor if monitor in known else "mrr"


def _summary(choice: Choice, validation: EvaluationSet) -> dict[str, Any]:
    return {
        "mixing": str(choice.mixing),
        "parts": choice.mixing.to_json(),
        "tried": choice.tried,
        "corpus": validation.corpus,
        "validation": asdict(choice.worth),
        "test": None,
    }
