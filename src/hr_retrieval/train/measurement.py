"""What a run measures: the test split with the encoder as it came, and with the best checkpoint."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytorch_lightning as pl
import torch
from torch import Tensor

from hr_retrieval.baselines.figures import lexical_values
from hr_retrieval.baselines.systems import BASELINES
from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.data.evaluation_set import EvaluationSet
from hr_retrieval.data.source import corpora, ids_at, mean_of
from hr_retrieval.data.tables import Split
from hr_retrieval.files import read_json, whole_file, write_json
from hr_retrieval.retrieval import HEADLINE
from hr_retrieval.retrieval.metrics import Embedded
from hr_retrieval.runs.checkpoints import progress
from hr_retrieval.runs.directory import Run, weights_of
from hr_retrieval.train.ranker import Ranker
from hr_retrieval.train.ranking import choose_ranking
from hr_retrieval.train.shown import shown_texts
from hr_retrieval.train.verdict import lexical_file

log = logging.getLogger(__name__)


# Documents above which words are not counted for a baseline unasked: `evaluate` does it.
_LEXICAL_DOCUMENTS = 200_000
# Tokens below which starting up takes more time than encoding.
_TELLING = 50_000


@dataclass(frozen=True)
class Before:
    """What there is before training.

    Attributes:
        zero_shot: test figures of the encoder as it came; `None` where they were not asked for.
        lexical: likewise of each of `BASELINES`, by name; empty where they were not measured.
        seconds_a_token: of the first measurement; `None` where none was made just now.
    """

    zero_shot: dict[str, float] | None
    lexical: dict[str, dict[str, float]]
    seconds_a_token: float | None = None


def measure_before(this_run: Run, trainer: pl.Trainer, module: Ranker, datamodule: RetrievalDataModule) -> Before:
    """The encoder as it came, and rankings by shared words; a resumed run reads what it measured when it began."""
    path = this_run.folder / "zero_shot.json"
    if path.exists():
        content = read_json(path)
        # A run of an older version measured no words.
        return Before(content, read_json(_lexical_path(this_run)) if _lexical_path(this_run).exists() else {})
    if not this_run.config.zero_shot:
        return Before(None, {})
    begun = time.monotonic()
    trainer.validate(module, datamodule, verbose=False)
    tokens = _tokens(datamodule, "validation")
    if not this_run.config.test:
        return Before(None, {}, _speed(begun, tokens))
    figures, values, _ = _test(trainer, module, datamodule)
    speed = _speed(begun, tokens + _tokens(datamodule, "test"))
    lexical: dict[str, dict[str, float]] = {}
    if trainer.is_global_zero:
        lexical = _measure_lexical(this_run, datamodule) if this_run.config.lexical else {}
        _write_query_values(this_run.folder / "per_query_zero_shot.parquet", values, datamodule)
        write_json(_lexical_path(this_run), lexical)
        write_json(path, figures)
        log.info("Before training, on the test queries: %s", _told({"the encoder as it came": figures, **lexical}))
    return Before(figures, lexical, speed)


def _speed(begun: float, tokens: int) -> float | None:
    """Seconds a token since then; `None` where so few say nothing."""
    return (time.monotonic() - begun) / tokens if tokens >= _TELLING else None


def _lexical_path(this_run: Run) -> Path:
    return this_run.folder / "lexical.json"


def _measure_lexical(this_run: Run, datamodule: RetrievalDataModule) -> dict[str, dict[str, float]]:
    """Rankings by shared words of the same queries and documents; their values by query go to a file of their own."""
    evaluations = datamodule.evaluation_sets("test")
    documents = sum(len(one.document_rows) for one in evaluations)
    if documents > _LEXICAL_DOCUMENTS:
        log.info("BM25 and character n-grams are not measured over %d documents; evaluate measures them", documents)
        return {}
    begun = time.monotonic()
    sources = datamodule.sources
    found = [lexical_values(source.dataset, one) for source, one in zip(sources, evaluations, strict=True)]
    result = {}
    for name in BASELINES:
        own = [{metric: float(values.mean()) for metric, values in one[name].items()} for one in found]
        result[name] = mean_of(sources, own)
        values = [{metric: torch.from_numpy(one) for metric, one in each[name].items()} for each in found]
        _write_query_values(this_run.folder / lexical_file(name), values, datamodule)
    log.debug("words were counted in %.1f s", time.monotonic() - begun)
    return result


def _told(figures: Mapping[str, Mapping[str, float]]) -> str:
    return "; ".join(
        f"{name} {', '.join(f'{metric} {own[metric]:.4f}' for metric in HEADLINE)}" for name, own in figures.items()
    )


def _tokens(datamodule: RetrievalDataModule, split: Split) -> int:
    """Tokens that a measurement encodes."""
    return sum(
        int(table.lengths(rows).sum())
        for sides, one in zip(datamodule.tokens, datamodule.evaluation_sets(split), strict=True)
        for table, rows in zip(sides, (one.query_rows, one.document_rows), strict=True)
    )


def measure_trained(
    this_run: Run, trainer: pl.Trainer, module: Ranker, datamodule: RetrievalDataModule
) -> dict[str, Any]:
    """Bring the best checkpoint into what the module trains, and measure it.

    Returns:
        `checkpoint`, what was measured; `ranking`, the mixing that validation has chosen for it
        (see `choose_ranking`); `trained`, its figures with this mixing, `None` with `test=false`,
        and `without_mixing`, those without, `None` where there is none; with them `split`,
        `queries`, `documents` and `corpus`, what they were measured on, and `texts`, what a model
        card shows of it, nothing of a cross-encoder. The first process alone mixes. Of several
        sources these are of all together, and `sources` says by name what each is.
    """
    measured = _measured_checkpoint(this_run, trainer)
    module.trained.load_state_dict(weights_of(measured, module.learner))
    checkpoint = f"the {measured.stem} checkpoint, of step {progress(measured)[0]}"
    figures, values, tested = _test(trainer, module, datamodule) if this_run.config.test else ({}, [], [])
    ranking, mixed = None, None
    if trainer.is_global_zero and module.learner == "encoder":
        ranking, mixed = choose_ranking(this_run, trainer, module, datamodule, tested)
    if not this_run.config.test:
        return {"trained": None, "without_mixing": None, "ranking": ranking, "checkpoint": checkpoint}
    if trainer.is_global_zero:
        _write_query_values(this_run.folder / "per_query.parquet", mixed.values if mixed else values, datamodule)
        if mixed:
            _write_query_values(this_run.folder / "per_query_without_mixing.parquet", values, datamodule)
    evaluations = datamodule.evaluation_sets("test")
    texts = shown_texts(datamodule.sources[0], evaluations[0], tested[0], module.encoder) if tested else {}
    return {
        "trained": figures | (mixed.figures if mixed else {}),
        "without_mixing": figures if mixed else None,
        "ranking": ranking,
        "split": "test",
        "queries": sum(len(one.query_rows) for one in evaluations),
        "documents": sum(len(one.document_rows) for one in evaluations),
        "corpus": corpora(datamodule.sources, evaluations),
        "checkpoint": checkpoint,
        "texts": texts,
        **({"sources": _sources(datamodule, evaluations)} if len(evaluations) > 1 else {}),
    }


def _sources(datamodule: RetrievalDataModule, evaluations: Sequence[EvaluationSet]) -> dict[str, Any]:
    """What each source is: its share, its data, what it was measured on, and what was left out of its training."""
    return {
        source.name: {
            "share": source.share,
            "data": source.dataset.fingerprint,
            "queries": len(one.query_rows),
            "documents": len(one.document_rows),
            "left_out": [str(leak) for leak in datamodule.leaks if leak.source == source.name],
        }
        for source, one in zip(datamodule.sources, evaluations, strict=True)
    }


def _test(
    trainer: pl.Trainer, module: Ranker, datamodule: RetrievalDataModule
) -> tuple[dict[str, float], list[dict[str, Tensor]], list[Embedded]]:
    """The figures of the test split; and of each source those of each of its queries, and what was ranked."""
    (figures,) = trainer.test(module, datamodule, verbose=False)
    tested, module.embedded = module.embedded, []
    named = {name.removeprefix("test/"): float(value) for name, value in figures.items()}
    return named, module.query_values, tested


def _write_query_values(path: Path, query_values: list[dict[str, Tensor]], datamodule: RetrievalDataModule) -> None:
    """A row for each measured test query: its id, the rank of its first relevant document, and its
    metrics; of several sources also its weight in the mean of all (the mean weight is 1).
    """
    sources, tables = datamodule.sources, []
    for source, evaluation, own in zip(sources, datamodule.evaluation_sets("test"), query_values, strict=True):
        rows = evaluation.query_rows[evaluation.relevance.counts.numpy() > 0]
        values = {name: value.numpy() for name, value in own.items()}
        ranks = np.rint(1.0 / values["mrr"]).astype(np.int64)
        columns = {"query_id": ids_at(sources, "queries", source, rows), "rank": ranks, **values}
        if len(sources) > 1:
            measured = sum(len(other["mrr"]) for other in query_values)
            columns["weight"] = np.full(len(rows), source.share * measured / len(rows))
        tables.append(pa.table(columns))
    with whole_file(path) as partial:
        pq.write_table(pa.concat_tables(tables), partial)


def _measured_checkpoint(this_run: Run, trainer: pl.Trainer) -> Path:
    """What the run is measured and exported by; where it validated nothing, its last weights, which is said."""
    if (this_run.checkpoints / "best.ckpt").exists():
        return this_run.measured_checkpoint()
    last = this_run.checkpoints / "last.ckpt"
    if not trainer.strategy.broadcast(last.exists()):
        # Neither a validation nor callbacks.last has kept any.
        trainer.save_checkpoint(last, weights_only=True)
    if trainer.is_global_zero:
        log.warning(
            "No validation was made, so that there is no best checkpoint: the last weights are measured and kept. For "
            "validations set trainer.limit_val_batches=1.0 and lower trainer.val_check_interval (batches, or a share of an "
            "epoch) or trainer.check_val_every_n_epoch."
        )
    return this_run.measured_checkpoint()
