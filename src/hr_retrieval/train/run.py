"""One training run from a resolved config to its summary."""

import logging
import shutil
import signal
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import InstantiationException
from hydra.types import RunMode
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import Tensor

from hr_retrieval.config.schema import build
from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.guide import EncoderGuide
from hr_retrieval.errors import UserError
from hr_retrieval.files import read_json, whole_file, write_json
from hr_retrieval.prepare.preparation import prepared_dataset
from hr_retrieval.runs.checkpoints import CheckedCheckpointIO, progress
from hr_retrieval.runs.directory import Run, check_new, encoder_weights
from hr_retrieval.runs.resuming import changed
from hr_retrieval.sweep.trial import trial_of_this_job
from hr_retrieval.train.callbacks import (
    BatchSize,
    StayStopped,
    TerminationCheckpoint,
    TrialReport,
    check_mining,
)
from hr_retrieval.train.distributed import check_processes, first_process_first, process_group
from hr_retrieval.train.malloc import keep_freed_memory
from hr_retrieval.train.module import RetrievalModule
from hr_retrieval.train.report import log_final, report
from hr_retrieval.train.trainer_keys import check_callbacks, check_trainer

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
        _end_terminated(termination, folder)
    except MisconfigurationException as error:
        raise _explained(error) from error


def _run(config: DictConfig, folder: Path, termination: TerminationCheckpoint) -> float | None:
    begun = time.monotonic()
    resumed = config.resume is not None
    _check_sweep(config)
    this_run, newest = Run(folder, config), None
    if resumed:
        before = Run.open(folder)
        newest = before.newest_checkpoint()
        this_run = changed(before, _changes(), HydraConfig.get().runtime.choices, newest[1] if newest else 0)
        config = this_run.config
        if newest is None and this_run == before and (folder / "summary.json").exists():
            log.info("the run has ended, and holds weights alone, from which no training goes on")
            report(this_run, this_run.summary(), time.monotonic() - begun)
            return None
        _check_export(this_run)
    check_trainer(config)
    pl.seed_everything(config.seed, workers=True, verbose=False)
    # Lightning 2.6 calls what torch 2.13 deprecates: nothing that a user could mend.
    warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
    # Every process holds the same gathered figures: there is nothing to synchronise.
    warnings.filterwarnings("ignore", message=".*sync_dist=True", category=UserWarning)
    # Callbacks that were taken out beside `resume=`.
    warnings.filterwarnings("ignore", message="Be aware that when using `ckpt_path`", category=UserWarning)
    size = BatchSize()
    stay = StayStopped(this_run.parts[-1].from_step if this_run.parts else 0)
    trial = _trial_report(config)
    trainer = _trainer(config, size, termination, stay, *trial)
    # Before the processes find each other: transformers writes no file from a further process, and `tiny` is made as files.
    encoder = build(config.model.encoder)
    guide = EncoderGuide(config.datamodule.guide) if config.datamodule.guide else None
    made_from = {"encoder": encoder.embedding_fingerprint()} | ({"guide": guide.fingerprint} if guide else {})
    with process_group(trainer):
        with first_process_first(trainer):
            if not resumed and trainer.is_global_zero:
                check_new(folder)
            prepared_dataset(config.data, config.split_seed)
            module, datamodule = _build(config, encoder, guide)
            made_from["data set"] = datamodule.dataset.fingerprint
            if resumed:
                this_run.check_made_from(made_from)
            check_mining(cast(Any, trainer).callbacks, datamodule.mined_per_anchor)
            _check_negatives(module, datamodule, trainer)
            datamodule.prepare_data()
            # Everything that bad input can break stands now: the run begins.
            this_run = replace(this_run, made_from=made_from)
            if trainer.is_global_zero:
                _begin(this_run, newest, resumed)
        try:
            zero_shot = _zero_shot(this_run, trainer, module, datamodule)
            fit_begun = time.monotonic()
            _fit(trainer, module, datamodule, newest[0] if newest else None)
            training_seconds = time.monotonic() - fit_begun
            if newest and trainer.global_step == newest[1]:
                _say_done(trainer, stay)
            if any(report.pruned for report in trial):
                _end_pruned(trainer, folder)
            # The earlier part of a resumed run was not timed.
            timed = None if resumed else (begun, training_seconds)
            summary = _summarise(this_run, trainer, module, datamodule, zero_shot, timed)
        except (MemoryError, RuntimeError) as error:
            explained = size.explain(error, module.mini_batch, datamodule.batch_size)
            if explained is None:
                raise
            raise explained from error
    if trainer.is_global_zero:
        report(this_run, summary, time.monotonic() - begun)
    return _best_value(config, trainer)


def _changes() -> list[str]:
    """What was given beside `resume=`."""
    overrides: list[str] = list(HydraConfig.get().overrides.task)
    parsed = OverridesParser.create().parse_overrides(overrides)
    return [text for text, override in zip(overrides, parsed, strict=True) if override.key_or_group != "resume"]


def _check_sweep(config: DictConfig) -> None:
    for name in ("resume", "output"):
        if config[name] is not None and HydraConfig.get().mode == RunMode.MULTIRUN:
            raise UserError(
                "a sweep whose runs have folders of their own",
                f"{name}={config[name]} with -m",
                "Name the folder of the sweep with hydra.sweep.dir=; go on with one run of it without -m.",
            )


def _check_export(this_run: Run) -> None:
    folder = this_run.folder / "encoder"
    if not this_run.config.export and folder.exists():
        raise UserError(
            f"no encoder of an earlier part with export=false: {folder} would not be that of the run any more",
            "one there",
            "Move that folder away, or leave export=true, which writes it anew.",
        )


def _begin(this_run: Run, newest: tuple[Path, int] | None, resumed: bool) -> None:
    """Write the config; from here to its new summary, what is going on is no finished run."""
    if resumed:
        _remove_partials(this_run)
        if newest:
            log.info("going on from %s, step %d", *newest)
        else:
            _set_weights_aside(this_run)
        (this_run.folder / "summary.json").unlink(missing_ok=True)
    this_run.write()


def _set_weights_aside(this_run: Run) -> None:
    """Where nothing is there that a training could go on from, it begins anew; weights of the one before are no part of it."""
    weights = this_run.checkpoints / "best.ckpt"
    if weights.exists():
        aside = weights.with_name("before.ckpt")
        weights.replace(aside)
        log.warning(
            "%s holds weights alone (callbacks.last is null), from which no training goes on: it begins anew, and the weights "
            "are %s now",
            this_run.checkpoints,
            aside.name,
        )
    else:
        log.info("no checkpoint to go on from: training begins anew")
    (this_run.checkpoints / "last.ckpt").unlink(missing_ok=True)


def _say_done(trainer: pl.Trainer, stay: StayStopped) -> None:
    if not trainer.is_global_zero:
        return
    if stay.reason:
        why, more = f"early stopping ended it ({stay.reason.rstrip('.')})", "callbacks.early_stopping=null"
    elif trainer.global_step == trainer.max_steps:
        why, more = "trainer.max_steps is reached", f"trainer.max_steps={2 * trainer.global_step}"
    else:
        why, more = (
            "trainer.max_epochs or trainer.max_time is reached",
            f"trainer.max_epochs={trainer.current_epoch + 3}",
        )
    log.info("nothing is left to train after step %d: %s. To train on: resume=... %s", trainer.global_step, why, more)


def _end_terminated(termination: TerminationCheckpoint, folder: Path) -> NoReturn:
    """End the process that a signal stopped, with the status that a shell reports: 128 and the signal's number."""
    trainer, number = termination.trainer, termination.received or signal.SIGTERM
    name = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
    if trainer is None:
        log.warning("Stopped by %s before the training began.", name)
    elif trainer.is_global_zero:
        log.warning(
            "Stopped by %s at step %d. Go on with: python -m hr_retrieval.train resume=%s",
            name,
            trainer.global_step,
            folder,
        )
    raise SystemExit(128 + number)


def _explained(error: Exception) -> UserError:
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return UserError(
        "settings of trainer, callbacks and logger that Lightning can work with",
        f"what it refuses: {first_line}",
        "See https://lightning.ai/docs/pytorch/stable/common/trainer.html for what each key takes.",
    )


def _trial_report(config: DictConfig) -> list[TrialReport]:
    """What tells the sweep of each validation; nothing where this run is no trial of a sweep."""
    trial, best = trial_of_this_job(), config.callbacks.get("best")
    return [TrialReport(best.monitor, trial)] if trial and best else []


def _best_value(config: DictConfig, trainer: pl.Trainer) -> float | None:
    best = config.callbacks.get("best")
    scores = [
        one.best_model_score
        for one in trainer.checkpoint_callbacks
        if best and isinstance(one, ModelCheckpoint) and one.monitor == best.monitor
    ]
    return next((float(score) for score in scores if score is not None), None)


def _end_pruned(trainer: pl.Trainer, folder: Path) -> NoReturn:
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
        # Of a folder that was being replaced the old one may be left, too.
        for partial in [*folder.glob(".*.partial"), *folder.glob(".*.old")]:
            if partial.is_dir():
                shutil.rmtree(partial)
            else:
                partial.unlink()


def _check_negatives(module: RetrievalModule, datamodule: RetrievalDataModule, trainer: pl.Trainer) -> None:
    stated = datamodule.negatives_per_anchor > 0 and len(datamodule.dataset.negative_documents) > 0
    if datamodule.batch_size * trainer.world_size == 1 and not (
        stated or datamodule.mined_per_anchor or module.queue_negatives
    ):
        raise UserError(
            "batches of at least two anchors, or stated, mined or queued negatives",
            "datamodule.batch_size=1: an anchor alone has nothing to be told apart from",
            "Set datamodule.batch_size=64; if memory is short, model.mini_batch=1 encodes one text at a time.",
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
    callbacks = [build(callback) for callback in config.callbacks.values() if callback]
    check_callbacks(callbacks)
    loggers = [build(logger) for logger in config.logger.values() if logger]
    if not loggers:
        # Lightning refuses this one where nothing would take down what it says.
        callbacks = [callback for callback in callbacks if not isinstance(callback, LearningRateMonitor)]
    try:
        trainer: pl.Trainer = build(
            config.trainer, callbacks=[*callbacks, *added], logger=loggers or False, plugins=[CheckedCheckpointIO()]
        )
    except InstantiationException as error:
        # It says all that it finds wrong with a key by one of these.
        if isinstance(error.__cause__, MisconfigurationException | TypeError | ValueError):
            raise _explained(error.__cause__) from error
        raise
    check_processes(trainer)
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
    trainer.validate(module, datamodule, verbose=False)
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
    trainer.fit(module, datamodule=datamodule, ckpt_path=checkpoint, weights_only=True)


def _test(
    trainer: pl.Trainer, module: RetrievalModule, datamodule: RetrievalDataModule
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """The figures of the test split, and those of each of its queries."""
    (figures,) = trainer.test(module, datamodule, verbose=False)
    return {name.removeprefix("test/"): float(value) for name, value in figures.items()}, module.query_values


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
    """Measure the best checkpoint, write `summary.json` and export the encoder.

    Args:
        timed: when the run began, by the monotonic clock, and seconds of the training alone; `None` leaves both empty.
    """
    config = this_run.config
    summary: dict[str, Any] = {"zero_shot": zero_shot, "trained": None}
    measured = _measured_checkpoint(this_run, trainer)
    module.encoder.load_state_dict(encoder_weights(measured))
    if config.test:
        summary["trained"], values = _test(trainer, module, datamodule)
        evaluation = datamodule.evaluation_set("test")
        summary |= {
            "split": "test",
            "queries": len(evaluation.query_rows),
            "documents": len(evaluation.document_rows),
            "corpus": evaluation.corpus,
        }
    summary["checkpoint"] = _described(measured)
    summary["encoder"] = str(this_run.folder / "encoder") if config.export else None
    summary["data"] = datamodule.dataset.fingerprint
    summary["parts"] = [str(part) for part in this_run.parts]
    summary["seconds"] = None if timed is None else round(time.monotonic() - timed[0], 1)
    summary["training_seconds"] = None if timed is None else round(timed[1], 1)
    if not trainer.is_global_zero:
        return summary
    if config.test:
        _write_query_values(this_run.folder / "per_query.parquet", values, datamodule)
    write_json(this_run.folder / "summary.json", summary)
    if config.export:
        # Anew also where it stands: it may be that of an earlier part.
        this_run.export(this_run.folder / "encoder", replace=True)
    for logger in trainer.loggers:
        log_final(logger, config, summary)
    return summary


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


def _described(checkpoint: Path) -> str:
    """`the best checkpoint, of step 28`."""
    return f"the {checkpoint.stem} checkpoint, of step {progress(checkpoint)[0]}"
