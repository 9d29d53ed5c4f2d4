"""A training from top to bottom: what is asked for, encoder, trainer, data, module, zero-shot, fit, measure, export."""

import logging
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint, ProgressBar
from pytorch_lightning.utilities.exceptions import SIGTERMException

from hr_retrieval.config.build import build
from hr_retrieval.config.sources import data_nodes
from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.encoder.cross_encoder import CrossEncoder
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.wording import check_prompts
from hr_retrieval.errors import UserError
from hr_retrieval.files import write_json
from hr_retrieval.runs.directory import Run
from hr_retrieval.runs.place import check_new
from hr_retrieval.train.bar import Bar
from hr_retrieval.train.check import (
    check_callbacks,
    check_export,
    check_negatives,
    check_sweep,
    check_trainer,
    check_weights,
)
from hr_retrieval.train.checkpoint_io import CheckedCheckpointIO
from hr_retrieval.train.corpus import check_corpus
from hr_retrieval.train.cross_encoder import CrossEncoderModule, check_lists
from hr_retrieval.train.distributed import check_processes, first_process_first, process_group
from hr_retrieval.train.frozen import Frozen
from hr_retrieval.train.measurement import Before, measure_before, measure_trained
from hr_retrieval.train.memory import BatchSize, keep_freed_memory
from hr_retrieval.train.mining import check_mining
from hr_retrieval.train.module import RetrievalModule
from hr_retrieval.train.opening import say_cross_encoder, say_data, say_model, say_training
from hr_retrieval.train.page import write_page
from hr_retrieval.train.ranker import Ranker
from hr_retrieval.train.ranking import check_ranking
from hr_retrieval.train.report import log_final, places, report
from hr_retrieval.train.resume import clear_for, resumed_run
from hr_retrieval.train.stopping import StayStopped, end_pruned, say_done, trial_report, why_stopped
from hr_retrieval.train.termination import TerminationCheckpoint, end_terminated
from hr_retrieval.train.verdict import headline_intervals, verdict

log = logging.getLogger(__name__)


def run(config: DictConfig) -> float | None:
    """Train by the config, or go on with `config.resume`.

    Returns:
        The best value of `callbacks.best.monitor`; `None` where nothing was validated.

    Raises:
        optuna.TrialPruned: the run is a trial of a sweep, and was given up.
    """
    folder = Path(HydraConfig.get().runtime.output_dir)
    termination = TerminationCheckpoint(folder)
    try:
        with termination:
            return _run(config, folder, termination)
    except SIGTERMException:
        end_terminated(termination, folder)
    except MisconfigurationException as error:
        raise _explained(error) from error


def _run(config: DictConfig, folder: Path, termination: TerminationCheckpoint) -> float | None:
    begun = time.monotonic()

    # What is asked for: a new run, or one that goes on.
    check_sweep(config)
    resumed = config.resume is not None
    this_run, newest = Run(folder, config), None
    if resumed:
        this_run, newest, ended = resumed_run(folder)
        config = this_run.config
        if ended:
            log.info("the run has ended, and holds weights alone, from which no training goes on")
            report(this_run, this_run.summary(), time.monotonic() - begun)
            return None
        check_export(this_run)
    check_trainer(config)
    pl.seed_everything(config.seed, workers=True, verbose=False)
    _silence()

    # The trainer, with what watches it.
    size, trial = BatchSize(), trial_report(config)
    stay = StayStopped(this_run.parts[-1].from_step if this_run.parts else 0)
    trainer = _trainer(config, size, termination, stay, *trial)

    # The encoder, the guide and the teachers. Before the processes find each other: transformers writes no file
    # from a further process, and `tiny` is made as files.
    encoder = build(config.model.encoder)
    if config.export:
        check_prompts(encoder.suffixes)
    frozen = Frozen(config.datamodule)
    made_from = {"encoder": encoder.embedding_fingerprint(), **frozen.made_from}

    with process_group(trainer):
        # The data and the module.
        with first_process_first(trainer):
            if not resumed and trainer.is_global_zero:
                check_new(folder)
            _prepare(config)
            datamodule = build(config.datamodule, tokeniser=encoder, **frozen.given)
            module = _module(config, encoder)
            made_from["data set"] = datamodule.fingerprint
            if resumed:
                this_run.check_made_from(made_from)
            check_mining(cast(Any, trainer).callbacks, datamodule.mined_per_anchor, bool(datamodule.teacher))
            if isinstance(module, RetrievalModule):
                check_corpus(cast(Any, trainer).callbacks, module)
                check_negatives(module, datamodule, trainer)
                check_weights(module, datamodule)
                check_ranking(config, datamodule)
            else:
                check_lists(config, cast(Any, trainer).callbacks, datamodule)
            datamodule.prepare_data()
            # Everything that bad input can break stands now: the run begins.
            this_run = replace(this_run, made_from=made_from)
            if trainer.is_global_zero:
                if resumed:
                    clear_for(this_run, newest)
                this_run.write()

        # Zero-shot, fit, measure, export.
        with size.explained(module.mini_batch, datamodule.batch_size):
            datamodule.setup("fit")
            if trainer.is_global_zero:
                say_model(encoder, trainer.strategy.root_device.type, trainer.precision)
                if isinstance(module, CrossEncoderModule):
                    say_cross_encoder(module.cross_encoder, module.depth)
                say_data(datamodule, encoder)
            before = measure_before(this_run, trainer, module, datamodule)
            if trainer.is_global_zero:
                say_training(trainer, module, datamodule, before.seconds_a_token)
            fit_begun = time.monotonic()
            _fit(trainer, module, datamodule, newest[0] if newest else None)
            training_seconds = time.monotonic() - fit_begun
            if newest and trainer.global_step == newest[1]:
                say_done(trainer, stay)
            if any(one.pruned for one in trial):
                end_pruned(trainer, folder)
            stopped = why_stopped(trainer, stay)
            if trainer.is_global_zero:
                log.info("%s", stopped)
            trained = measure_trained(this_run, trainer, module, datamodule)
            # The earlier part of a resumed run was not timed.
            seconds = (None, None) if resumed else (time.monotonic() - begun, training_seconds)
            summary = _summary(this_run, module.trained, datamodule, before, trained, stopped, *seconds)
            if trainer.is_global_zero:
                if summary["trained"]:
                    summary |= {"intervals": headline_intervals(folder, summary), "verdict": verdict(folder, summary)}
                _finish(this_run, trainer, summary)

    # The report.
    if trainer.is_global_zero:
        elapsed = time.monotonic() - begun
        write_page(this_run, summary, places(this_run, summary, elapsed))
        report(this_run, summary, elapsed)
    return _best_value(config, trainer)


def _prepare(config: DictConfig) -> None:
    """Prepare what is trained on, where it is missing; a folder that `datamodule.folder` names by itself is there."""
    wanted = config.datamodule.folder
    wanted = [wanted] if isinstance(wanted, str) else list(wanted)
    for node in data_nodes(config.data):
        if node.folder in wanted:
            build(node, _convert_="all").open_or_run(config.split_seed)


def _silence() -> None:
    # Lightning 2.6 calls what torch 2.13 deprecates: nothing that a user could mend.
    warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
    # Every process holds the same gathered figures: there is nothing to synchronise.
    warnings.filterwarnings("ignore", message=".*sync_dist=True", category=UserWarning)
    # Callbacks that were taken out beside `resume=`.
    warnings.filterwarnings("ignore", message="Be aware that when using `ckpt_path`", category=UserWarning)
    # Of a short run and of one that goes on, which ours say in their own words.
    warnings.filterwarnings("ignore", message="The number of training batches", category=UserWarning)
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists", category=UserWarning)
    warnings.filterwarnings("ignore", message="The '.*_dataloader' does not have many workers", category=UserWarning)


def _trainer(config: DictConfig, *added: pl.Callback) -> pl.Trainer:
    callbacks = [build(callback) for callback in config.callbacks.values() if callback]
    check_callbacks(callbacks)
    if config.trainer.get("enable_progress_bar", True) and not any(isinstance(one, ProgressBar) for one in callbacks):
        callbacks.append(Bar())
    loggers = [build(logger) for logger in config.logger.values() if logger]
    if not loggers:
        # Lightning refuses this one where nothing would take down what it says.
        callbacks = [callback for callback in callbacks if not isinstance(callback, LearningRateMonitor)]
    try:
        trainer: pl.Trainer = build(
            config.trainer, callbacks=[*callbacks, *added], logger=loggers or False, plugins=[CheckedCheckpointIO()]
        )
    except TypeError as error:
        # What Lightning says of a value of the wrong kind, where it names no argument.
        raise _explained(error) from error
    check_processes(trainer)
    return trainer


def _explained(error: Exception) -> UserError:
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return UserError(
        "settings of trainer, callbacks and logger that Lightning can work with",
        f"what it refuses: {first_line}",
        "See https://lightning.ai/docs/pytorch/stable/common/trainer.html for what each key takes.",
    )


def _module(config: DictConfig, encoder: Encoder) -> Ranker:
    module: Ranker = build(config.model, encoder=encoder, optimizer=config.optimizer, scheduler=config.scheduler)
    return module


def _fit(trainer: pl.Trainer, module: Ranker, datamodule: RetrievalDataModule, checkpoint: Path | None) -> None:
    datamodule.setup("validate")
    if trainer.limit_val_batches:
        for source, ranked in zip(datamodule.sources, datamodule.evaluation_sets("validation"), strict=True):
            name = f" of {source.name}" if len(datamodule.sources) > 1 else ""
            log.info("Validation%s: %d queries, each ranked over %s", name, len(ranked.query_rows), ranked.corpus)
    # Behind all that prepares the data, whose blocks need not be kept.
    keep_freed_memory()
    trainer.fit(module, datamodule=datamodule, ckpt_path=checkpoint, weights_only=True)


def _summary(
    this_run: Run,
    learner: Encoder | CrossEncoder,
    datamodule: RetrievalDataModule,
    before: Before,
    trained: dict[str, Any],
    stopped: str,
    seconds: float | None,
    training_seconds: float | None,
) -> dict[str, Any]:
    """What `summary.json` holds: figures, where they come from, and how long it took (rounded to 0.1 s)."""
    return {
        "zero_shot": before.zero_shot,
        "lexical": before.lexical,
        **trained,
        "stopped": stopped,
        "parameters": learner.describe()["parameters"],
        "trained_parameters": learner.describe()["trained_parameters"],
        "encoder": str(this_run.exported) if this_run.config.export else None,
        "data": datamodule.fingerprint,
        "parts": [str(part) for part in this_run.parts],
        "seconds": None if seconds is None else round(seconds, 1),
        "training_seconds": None if training_seconds is None else round(training_seconds, 1),
    }


def _finish(this_run: Run, trainer: pl.Trainer, summary: dict[str, Any]) -> None:
    """Write the summary, export the encoder, and tell the loggers."""
    write_json(this_run.folder / "summary.json", summary)
    if this_run.config.export:
        # Anew also where it stands: it may be that of an earlier part.
        this_run.export(this_run.exported, replace=True)
    for logger in trainer.loggers:
        log_final(logger, this_run.config, summary, HydraConfig.get().overrides.task)


def _best_value(config: DictConfig, trainer: pl.Trainer) -> float | None:
    best = config.callbacks.get("best")
    scores = [
        one.best_model_score
        for one in trainer.checkpoint_callbacks
        if best and isinstance(one, ModelCheckpoint) and one.monitor == best.monitor
    ]
    return next((float(score) for score in scores if score is not None), None)
