"""One training run from a resolved config to its summary."""

import copy
import logging
import os
import re
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytorch_lightning as pl
import torch.distributed as dist
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from pytorch_lightning.strategies.launchers import _SubprocessScriptLauncher
from pytorch_lightning.utilities.exceptions import SIGTERMException
from rich.console import Console
from rich.table import Table
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
from hr_retrieval.config import build, leaves
from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.data.preparation import prepared_dataset
from hr_retrieval.errors import UserError
from hr_retrieval.files import read_json, whole_file, write_json
from hr_retrieval.memory import keep_freed_memory
from hr_retrieval.model.encoder import Encoder
from hr_retrieval.model.guide import EncoderGuide
from hr_retrieval.model.module import RetrievalModule
from hr_retrieval.model.sharding import ShardedStrategy
from hr_retrieval.processes import QUIET, outside_place
from hr_retrieval.runs import Run, check_new, encoder_weights
from hr_retrieval.trial import TrialReference

log = logging.getLogger(__name__)

HEADLINE = ("mrr", "pass@1", "recall@10")
# The keys of a config in TensorBoard's table of runs.
SHOWN_KEYS = re.compile(
    r"seed|split_seed|data\.name|(optimizer|scheduler)(\..+)?|model\.(?!encoder).+"
    r"|model\.encoder\.(name_or_path|pooling|max_length|dimensions|dropout)"
    r"|datamodule\.(batch_size|positives_per_anchor|negatives_per_anchor)"
    r"|trainer\.(precision|max_\w+|limit_train_batches|gradient_clip_val|accumulate_grad_batches|devices)"
)

# DeepSpeed, and FSDP as Lightning has it, cut parameters into flat pieces: clipping by the norm of all gradients and the
# best weights put back at the end would go wrong, the first in silence.
STRATEGIES = re.compile(
    r"auto|ddp|ddp_find_unused_parameters_(true|false)|pytorch_lightning\.strategies\.(DDP|SingleDevice)Strategy"
    r"|hr_retrieval\.model\.sharding\.ShardedStrategy"
)

# Where Lightning tells a process its place among the others.
PROCESS_VARIABLES = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


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
    with _first_process_first(trainer):
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
        with _further_processes(folder, changes, trainer):
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
        _report(this_run, summary, time.monotonic() - begun)
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
    trial, best = TrialReference.of_this_job(), config.callbacks.get("best")
    return [TrialReport(best.monitor, trial.open())] if trial and best else []


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


@contextmanager
def _first_process_first(trainer: pl.Trainer) -> Iterator[None]:
    """Where torchrun or srun started the processes, the others wait until the first one has done what is within.

    If that fails, they end in silence: one message is enough.
    """
    place, strategy = outside_place(), trainer.strategy
    if place is None:
        _check_one_node(trainer)
        yield
        return
    if place.count != trainer.world_size:
        raise UserError(
            f"trainer.devices and trainer.num_nodes that make up the {place.count} processes started",
            f"trainer.devices={trainer.num_devices} and trainer.num_nodes={trainer.num_nodes}",
            "Set both, and a strategy for several processes, such as trainer.strategy=ddp.",
        )
    strategy.setup_environment()
    if not trainer.is_global_zero:
        if not strategy.broadcast(True):
            _leave_group()
            raise SystemExit(0)
        yield
        return
    done = False
    try:
        yield
        done = True
    finally:
        strategy.broadcast(done)
        if not done:
            _leave_group()


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


def _check_one_node(trainer: pl.Trainer) -> None:
    if trainer.num_nodes > 1:
        raise UserError(
            "torchrun or srun to start the processes of several nodes",
            f"trainer.num_nodes={trainer.num_nodes} without them",
            "See configs/trainer/multinode.yaml for the command.",
        )


@contextmanager
def _further_processes(folder: Path, changes: Sequence[str], trainer: pl.Trainer) -> Iterator[None]:
    """Have Lightning start the further processes of a distributed run as resumed ones.

    They read the config that this process wrote, so that there is one run directory and one config, and a sweep is not
    started again by each of them. Left to itself, Lightning repeats the whole command under Hydra.
    """
    arguments, hydra = sys.argv, HydraConfig.instance().cfg
    environment = {name: os.environ.get(name) for name in PROCESS_VARIABLES}
    quoted = str(folder).replace("\\", "\\\\").replace('"', '\\"')
    sys.argv = [
        arguments[0],
        f'resume="{quoted}"',
        *changes,
        *QUIET,
    ]
    HydraConfig.instance().cfg = None
    failed = True
    try:
        yield
        failed = False
    finally:
        _end_further_processes(trainer, failed)
        # Lightning leaves its rank and port there: the next run of a sweep would take itself for a further process.
        for name, value in environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        sys.argv, HydraConfig.instance().cfg = arguments, hydra


def _end_further_processes(trainer: pl.Trainer, failed: bool) -> None:
    """Wait for the processes that Lightning started, and forget them; where this one failed, they may wait for it for ever."""
    launcher = trainer.strategy.launcher
    if isinstance(launcher, _SubprocessScriptLauncher):
        started = list(launcher.procs)
        if failed:
            # Lightning watches this list, and kills this process, and the sweep with it, where one ends with an error.
            launcher.procs.clear()
            for process in started:
                process.kill()
        for process in started:
            process.wait()
    elif failed:
        return
    # The next run of a sweep would take it for its own.
    _leave_group()


def _leave_group() -> None:
    """End this process's part in the group, if there is one: left to the end of the interpreter, its threads can abort it."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


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
    rows = evaluation.query_rows[np.diff(evaluation.offsets) > 0]
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
        summary |= {"queries": len(evaluation.query_rows), "documents": len(evaluation.document_rows), "split": "test"}
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
        _log_final(logger, config, summary)
    return summary


def _log_final(logger: Logger, config: DictConfig, summary: dict[str, Any]) -> None:
    """The hyper-parameters beside the final figures, in the loggers that show them together."""
    plain = leaves(OmegaConf.to_container(config, resolve=True))
    # TensorBoard has no place for what is none.
    flat = _named({key: "None" if value is None else value for key, value in plain.items()})
    if isinstance(logger, TensorBoardLogger):
        final = {f"final/{name}": summary["trained"][name] for name in HEADLINE} if summary["trained"] else {}
        # Its table has a column for each: what a run is compared by, and not where its files lie.
        logger.log_hyperparams({key: value for key, value in flat.items() if SHOWN_KEYS.fullmatch(key)}, final)
    else:
        logger.log_hyperparams(flat)
    logger.finalize("success")


def _named(flat: dict[str, Any]) -> dict[str, Any]:
    """With `model.loss: TripletLoss` for `model.loss._target_: hr_retrieval.model.loss.TripletLoss`."""
    classes = {
        key.removesuffix("._target_"): str(value).rsplit(".", 1)[-1]
        for key, value in flat.items()
        if key.endswith("._target_")
    }
    return classes | {key: value for key, value in flat.items() if not key.endswith(("._target_", "._partial_"))}


def _report(this_run: Run, summary: dict[str, Any], seconds: float) -> None:
    console = Console(width=120)
    if summary["trained"]:
        console.print(
            f"{summary['queries']} test queries, each ranked over {summary['documents']} documents, exact ranks:"
        )
        table = Table("")
        for name in HEADLINE:
            table.add_column(name, justify="right")
        for row in ("zero_shot", "trained"):
            if summary[row]:
                table.add_row(row.replace("_", "-"), *(f"{summary[row][name]:.4f}" for name in HEADLINE))
        console.print(table)
    folder = this_run.folder
    lines = [
        f"Run directory   {folder}  ({seconds:.0f} s)",
        f"Best checkpoint {this_run.best_checkpoint()}",
        f"TensorBoard     tensorboard --logdir {folder / 'tensorboard'}",
    ]
    if summary["encoder"]:
        lines.append(f"Encoder         {summary['encoder']}  (SentenceTransformer({summary['encoder']!r}) loads it)")
    lines.append(f"Next            go on: python -m hr_retrieval.train resume={folder} trainer.max_epochs=...")
    console.print("\n".join(lines), soft_wrap=True, highlight=False, markup=False)
