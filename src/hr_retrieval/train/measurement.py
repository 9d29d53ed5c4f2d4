"""What a run measures: the test split with the encoder as it came, and with the best checkpoint."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytorch_lightning as pl
from torch import Tensor

from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.data.evaluation_set import EvaluationSet
from hr_retrieval.data.source import corpora, ids_at
from hr_retrieval.files import read_json, whole_file, write_json
from hr_retrieval.retrieval.metrics import Embedded
from hr_retrieval.runs.checkpoints import progress
from hr_retrieval.runs.directory import Run, encoder_weights
from hr_retrieval.train.module import RetrievalModule
from hr_retrieval.train.ranking import choose_ranking
from hr_retrieval.train.shown import shown_texts

log = logging.getLogger(__name__)


def measure_zero_shot(
    this_run: Run, trainer: pl.Trainer, module: RetrievalModule, datamodule: RetrievalDataModule
) -> dict[str, float] | None:
    """The encoder's figures before training; a resumed run reads what it measured when it began."""
    path = this_run.folder / "zero_shot.json"
    if path.exists():
        content: dict[str, float] = read_json(path)
        return content
    if not this_run.config.zero_shot:
        return None
    trainer.validate(module, datamodule, verbose=False)
    if not this_run.config.test:
        return None
    figures, values, _ = _test(trainer, module, datamodule)
    if trainer.is_global_zero:
        _write_query_values(this_run.folder / "per_query_zero_shot.parquet", values, datamodule)
        write_json(path, figures)
    return figures


def measure_trained(
    this_run: Run, trainer: pl.Trainer, module: RetrievalModule, datamodule: RetrievalDataModule
) -> dict[str, Any]:
    """Bring the best checkpoint into the module's encoder and measure it.

    Returns:
        `checkpoint`, what was measured; `ranking`, the mixing that validation has chosen for it
        (see `choose_ranking`); `trained`, its figures with this mixing, `None` with `test=false`,
        and `without_mixing`, those without, `None` where there is none; with them `split`,
        `queries`, `documents` and `corpus`, what they were measured on, and `texts`, what a model
        card shows of it. The first process alone mixes. Of several sources these are of all
        together, and `sources` says by name what each is.
    """
    measured = _measured_checkpoint(this_run, trainer)
    module.encoder.load_state_dict(encoder_weights(measured))
    checkpoint = f"the {measured.stem} checkpoint, of step {progress(measured)[0]}"
    figures, values, tested = _test(trainer, module, datamodule) if this_run.config.test else ({}, [], [])
    ranking, mixed = None, None
    if trainer.is_global_zero:
        ranking, mixed = choose_ranking(this_run, trainer, module, datamodule, tested)
    if not tested:
        return {"trained": None, "without_mixing": None, "ranking": ranking, "checkpoint": checkpoint}
    if trainer.is_global_zero:
        _write_query_values(this_run.folder / "per_query.parquet", mixed.values if mixed else values, datamodule)
        if mixed:
            _write_query_values(this_run.folder / "per_query_without_mixing.parquet", values, datamodule)
    evaluations = datamodule.evaluation_sets("test")
    texts = shown_texts(datamodule.sources[0], evaluations[0], tested[0], module.encoder)
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
    trainer: pl.Trainer, module: RetrievalModule, datamodule: RetrievalDataModule
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
