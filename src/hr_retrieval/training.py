"""One training run from a resolved config to its summary."""

import copy
import logging
import re
import shutil
import signal
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import Tensor

from hr_retrieval.callbacks import (
    BatchSize,
    MineNegatives,
    StayStopped,
    TerminationCheckpoint,
    TrialReport,
    check_mining,
)
from hr_retrieval.checkpoints import CheckedCheckpointIO
from hr_retrieval.config import build
from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.data.preparation import prepared_dataset
from hr_retrieval.errors import UserError
from hr_retrieval.files import read_json, whole_file, write_json
from hr_retrieval.memory import keep_freed_memory
from hr_retrieval.model.encoder import Encoder
from hr_retrieval.model.guide import EncoderGuide
from hr_retrieval.model.module import RetrievalModule
from hr_retrieval.model.sharding import ShardedStrategy
from hr_retrieval.process_group import first_process_first, further_processes
from hr_retrieval.run_report import log_final, report
from hr_retrieval.runs import Run, check_new, encoder_weights
from hr_retrieval.trial import trial_of_this_job

log = logging.getLogger(__name__)

# DeepSpeed, and FSDP as Lightning has it, cut parameters into flat pieces: clipping by the norm of all gradients and the
# best weights put back at the end would go wrong, the first in silence.
STRATEGIES = re.compile(
    r"auto|ddp|ddp_find_unused_parameters_(true|false)|pytorch_lightning\.strategies\.(DDP|SingleDevice)Strategy"
    r"|hr_retrieval\.model\.sharding\.ShardedStrategy"
)


def run(config: DictConfig) -> float | None:
    """Train by the config, or go on with `config.resume`.

    Returns:
        The best value of `callbacks.best.monitor`; `None` in the further processes of a pruned run.

    Raises:
        optuna.TrialPruned: the run is a trial of a sweep, and was given up.
    """
    begun = time.monotonic()
    folder = Path(HydraConfig.get().runtime.output_dir)
    resumed = config.resume is not None
    changes: list[str] = []
    if resumed:
        changes = [change for change in HydraConfig.get().overrides.task if not change.startswith("resume=")]
        config = _resumed_config(folder, changes)
    pl.seed_everything(config.seed, workers=True, verbose=False)
    # Lightning 2.6 calls what torch 2.13 deprecates: nothing that a user could mend.
    warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
    # Every process holds the same gathered figures: there is nothing to synchronise.
    warnings.filterwarnings("ignore", message=".*sync_dist=True", category=UserWarning)
    # Before the processes find each other: transformers writes no file from a further process, and `tiny` is made as files.
    encoder = build(config.model.encoder)
    guide = EncoderGuide(config.datamodule.guide) if config.datamodule.guide else None
    size, termination = BatchSize(), TerminationCheckpoint(folder)
    # Whoever gives other values beside `resume=` wants to train on.
    stay = [StayStopped()] if resumed and not changes else []
    trial = _trial_report(config)
    trainer = _trainer(config, size, termination, *stay, *trial)
    with first_process_first(trainer):
        begins = not resumed and trainer.is_global_zero
        if begins:
            check_new(folder)
        prepared_dataset(config.data, config.split_seed)
        module, datamodule = _build(config, encoder, guide)
        check_mining(cast(Any, trainer).callbacks, datamodule.mined_per_anchor)
        datamodule.prepare_data()
        # Everything that bad input can break stands now: the run begins.
        this_run = Run.create(folder, config) if begins else Run(folder, config)
        if resumed and trainer.is_global_zero:
            _remove_partials(this_run)
    try:
        with further_processes(folder, changes, trainer):
            zero_shot = _zero_shot(this_run, trainer, module, datamodule)
            newest = this_run.newest_checkpoint() if resumed else None
            fit_begun = time.monotonic()
            _fit(trainer, module, datamodule, newest)
            training_seconds = time.monotonic() - fit_begun
            pruned = any(report.pruned for report in trial)
            if not pruned:
                # The earlier part of a resumed run was not timed.
                timed = None if resumed else (begun, training_seconds)
                summary = _summarise(this_run, trainer, module, datamodule, zero_shot, timed)
    except SIGTERMException:
        _end_terminated(trainer, folder)
    except (MemoryError, RuntimeError) as error:
        explained = size.explain(error, module.mini_batch, datamodule.batch_size)
        if explained is None:
            raise
        raise explained from error
    if pruned:
        _end_pruned(trainer, folder)
        return None
    if trainer.is_global_zero:
        report(this_run, summary, time.monotonic() - begun)
    return _best_value(config, trainer)


def _resumed_config(folder: Path, changes: Sequence[str]) -> DictConfig:
    """The run's config with the plain values that were given beside `resume=`."""
    this_run = Run.open(folder)
    groups = [change for change in changes if "." not in change.split("=")[0]]
    if groups:
        raise UserError(
            "plain values beside resume=, such as trainer.max_epochs=20",
            ", ".join(groups),
            "A resumed run keeps its model, data and project; start a new run to change them.",
        )
    merged = OmegaConf.merge(this_run.config, OmegaConf.from_dotlist(list(changes)))
    assert isinstance(merged, DictConfig)
    return merged


def _end_terminated(trainer: pl.Trainer, folder: Path) -> NoReturn:
    """End the process that SIGTERM stopped, with status 143 (128 + 15) as a shell reports it."""
    if not trainer.is_global_zero:
        # Lightning would take any other status of a further process for a crash, and kill the first one.
        raise SystemExit(0)
    log.warning(
        "Stopped by SIGTERM at step %d. Go on with: python -m hr_retrieval.train resume=%s", trainer.global_step, folder
    )
    raise SystemExit(128 + signal.SIGTERM)


def _trial_report(config: DictConfig) -> list[TrialReport]:
    """What tells the sweep of each validation; nothing where this run is no trial of a sweep."""
    trial, best = trial_of_this_job(), config.callbacks.get("best")
    return [TrialReport(best.monitor, trial)] if trial and best else []


def _best_value(config: DictConfig, trainer: pl.Trainer) -> float | None:
    monitor = config.callbacks.best.monitor
    best = next(
        one for one in trainer.checkpoint_callbacks if isinstance(one, ModelCheckpoint) and one.monitor == monitor
    )
    return None if best.best_model_score is None else float(best.best_model_score)


def _end_pruned(trainer: pl.Trainer, folder: Path) -> None:
    """Tell the sweep; the further processes end as if nothing had happened, or Lightning would take it for a crash."""
    if not trainer.is_global_zero:
        return
    import optuna

    message = (
        f"Given up at step {trainer.global_step}: other trials were better by then. "
        f"To train on all the same: python -m hr_retrieval.train resume={folder}"
    )
    log.warning(message)
    raise optuna.TrialPruned(message)


def _remove_partials(this_run: Run) -> None:
    """Remove what a killed process had begun to write."""
    for folder in (this_run.folder, this_run.checkpoints, this_run.folder / "negatives"):
        for partial in folder.glob(".*.partial"):
            if partial.is_dir():
                shutil.rmtree(partial)
            else:
                partial.unlink()


def _check_strategy(strategy: Any) -> None:
    name = strategy._target_ if isinstance(strategy, DictConfig) else strategy
    if not STRATEGIES.fullmatch(str(name)):
        raise UserError(
            "trainer.strategy=auto or ddp, or trainer=fsdp",
            str(name),
            "Use trainer=ddp; if memory is short, set model.mini_batch and trainer.precision=bf16-mixed.",
        )


def _check_sharding(trainer: pl.Trainer) -> None:
    if trainer.world_size < 2:
        raise UserError(
            "several devices with trainer=fsdp, which share the weights out",
            f"trainer.devices={trainer.num_devices}",
            "Use trainer=default.",
        )
    if any(isinstance(callback, MineNegatives) for callback in cast(Any, trainer).callbacks):
        raise UserError(
            "trainer=ddp or trainer=default with callbacks=mining",
            "trainer=fsdp",
            "One process mines, and cannot encode with a share of the weights.",
        )


def _build(
    config: DictConfig, encoder: Encoder, guide: EncoderGuide | None
) -> tuple[RetrievalModule, RetrievalDataModule]:
    datamodule: RetrievalDataModule = build(config.datamodule, tokeniser=encoder, guide=guide)
    module: RetrievalModule = build(
        config.model, encoder=encoder, optimizer=config.optimizer, scheduler=config.scheduler
    )
    log.info("encoder: %s", ", ".join(f"{name} {value}" for name, value in encoder.describe().items() if value != ""))
    return module, datamodule


def _trainer(config: DictConfig, *added: pl.Callback) -> pl.Trainer:
    _check_strategy(config.trainer.strategy)
    callbacks = [build(callback) for callback in config.callbacks.values() if callback]
    loggers = [build(logger) for logger in config.logger.values() if logger]
    if not loggers:
        # Lightning refuses this one where nothing would take down what it says.
        callbacks = [callback for callback in callbacks if not isinstance(callback, LearningRateMonitor)]
    trainer: pl.Trainer = build(
        config.trainer, callbacks=[*callbacks, *added], logger=loggers or False, plugins=[CheckedCheckpointIO()]
    )
    if isinstance(trainer.strategy, ShardedStrategy):
        _check_sharding(trainer)
    return trainer


def _zero_shot(
    this_run: Run, trainer: pl.Trainer, module: RetrievalModule, datamodule: RetrievalDataModule
) -> dict[str, float] | None:
    """The encoder's figures before training; a resumed run reads what it measured when it began."""
    path = this_run.folder / "zero_shot.json"
    if path.exists():
        content: dict[str, float] = read_json(path)
        return content
    if not this_run.config.zero_shot:
        return None
    trainer.validate(_to_change(trainer, module), datamodule, verbose=False)
    if not this_run.config.test:
        return None
    figures, values = _test(trainer, module, datamodule)
    if trainer.is_global_zero:
        _write_query_values(this_run.folder / "per_query_zero_shot.parquet", values, datamodule)
        write_json(path, figures)
    return figures


def _fit(
    trainer: pl.Trainer,
    module: RetrievalModule,
    datamodule: RetrievalDataModule,
    checkpoint: Path | None,
) -> None:
    datamodule.setup("validate")
    ranked = datamodule.evaluation_set("validation")
    log.info("validation: %d queries, each ranked over %s", len(ranked.query_rows), ranked.corpus)
    cut = datamodule.cut_texts()
    log.info(
        "%d of %d queries and %d of %d documents are cut at %d tokens",
        cut["queries_cut"],
        cut["queries"],
        cut["documents_cut"],
        cut["documents"],
        module.encoder.max_length,
    )
    # Behind all that prepares the data, whose blocks need not be kept.
    keep_freed_memory()
    trainer.fit(_to_change(trainer, module), datamodule=datamodule, ckpt_path=checkpoint, weights_only=True)


def _to_change(trainer: pl.Trainer, module: RetrievalModule) -> RetrievalModule:
    """What Lightning is given: the module, or a copy where the strategy would leave nothing but pieces of it."""
    return copy.deepcopy(module) if isinstance(trainer.strategy, ShardedStrategy) else module


def _test(
    trainer: pl.Trainer, module: RetrievalModule, datamodule: RetrievalDataModule
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """The figures of the test split, and those of each of its queries."""
    measured = _to_change(trainer, module)
    (figures,) = trainer.test(measured, datamodule, verbose=False)
    return {name.removeprefix("test/"): float(value) for name, value in figures.items()}, measured.query_values


def _write_query_values(path: Path, query_values: dict[str, Tensor], datamodule: RetrievalDataModule) -> None:
    """A row for each measured test query: its id, the rank of its first relevant document, and its metrics."""
    evaluation = datamodule.evaluation_set("test")
    rows = evaluation.query_rows[evaluation.relevance.counts.numpy() > 0]
    values = {name: value.numpy() for name, value in query_values.items()}
    ranks = np.rint(1.0 / values["mrr"]).astype(np.int64)
    with whole_file(path) as partial:
        pq.write_table(
            pa.table({"query_id": datamodule.dataset.ids_at("queries", rows), "rank": ranks, **values}), partial
        )


def _summarise(
    this_run: Run,
    trainer: pl.Trainer,
    module: RetrievalModule,
    datamodule: RetrievalDataModule,
    zero_shot: dict[str, float] | None,
    timed: tuple[float, float] | None,
) -> dict[str, Any]:
    """Measure the best checkpoint, export it and write `summary.json`.

    Args:
        timed: when the run began, by the monotonic clock, and seconds of the training alone; `None` leaves both empty.
    """
    config = this_run.config
    summary: dict[str, Any] = {"zero_shot": zero_shot, "trained": None}
    module.encoder.load_state_dict(encoder_weights(this_run.best_checkpoint()))
    if config.test:
        summary["trained"], values = _test(trainer, module, datamodule)
        evaluation = datamodule.evaluation_set("test")
        summary |= {
            "split": "test",
            "queries": len(evaluation.query_rows),
            "documents": len(evaluation.document_rows),
            "corpus": evaluation.corpus,
        }
    summary["encoder"] = str(this_run.folder / "encoder") if config.export else None
    summary["data"] = datamodule.dataset.fingerprint
    summary["seconds"] = None if timed is None else round(time.monotonic() - timed[0], 1)
    summary["training_seconds"] = None if timed is None else round(timed[1], 1)
    if not trainer.is_global_zero:
        return summary
    if config.test:
        _write_query_values(this_run.folder / "per_query.parquet", values, datamodule)
    write_json(this_run.folder / "summary.json", summary)
    if config.export and not (this_run.folder / "encoder").exists():
        this_run.export(this_run.folder / "encoder")
    for logger in trainer.loggers:
        log_final(logger, config, summary)
    return summary
