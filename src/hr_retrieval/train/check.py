"""What a config asks for that this training could not do justice to, and what helps instead."""

import re
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from pytorch_lightning.callbacks import BatchSizeFinder, Callback, LearningRateFinder, ModelCheckpoint

from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.errors import UserError
from hr_retrieval.extras import check_extra
from hr_retrieval.objective.mixing import SoftLabelMixing
from hr_retrieval.runs.directory import Run
from hr_retrieval.train.averaging import AverageWeights
from hr_retrieval.train.module import RetrievalModule

# DeepSpeed and FSDP cut parameters into pieces: clipping by the norm of all gradients and the best
# weights put back at the end would go wrong, the first in silence.
_STRATEGIES = re.compile(
    r"auto|ddp|ddp_find_unused_parameters_(true|false)|pytorch_lightning\.strategies\.(DDP|SingleDevice)Strategy"
)
# What a logger needs, which is also the name of the extra that brings it.
_PACKAGES = {"WandbLogger": "wandb", "MLFlowLogger": "mlflow", "MlflowLog": "mlflow"}
# Lightning's shorter names are the same.
_PRECISIONS = ("32", "32-true", "bf16", "bf16-mixed", "16", "16-mixed", "None")


def check_trainer(config: DictConfig) -> None:
    """Raise `UserError` for what a config asks of the trainer and would not get."""
    keys = config.trainer
    _check_strategy(keys.strategy)
    if keys.get("fast_dev_run"):
        raise UserError(
            "a run that measures what it trains",
            f"trainer.fast_dev_run={keys.fast_dev_run}, which ranks a few texts and writes nothing",
            "For a first try set trainer.max_steps=10 datamodule.evaluation_queries=20 output=<a new folder>.",
        )
    if keys.get("overfit_batches"):
        raise UserError(
            "training and validation on their own texts",
            f"trainer.overfit_batches={keys.overfit_batches}",
            "To see a model learn a few pairs by heart, prepare a small set: data.max_rows=100 data.name=small.",
        )
    if keys.get("num_sanity_val_steps"):
        raise UserError(
            "trainer.num_sanity_val_steps=0",
            f"{keys.num_sanity_val_steps}, and a ranking needs all texts",
            "zero_shot=true goes through the whole validation before training.",
        )
    if keys.get("barebones") or keys.get("inference_mode") is False:
        name = "barebones" if keys.get("barebones") else "inference_mode"
        raise UserError(
            f"trainer.{name} as it is by default", str(keys[name]), "A run needs its validation; leave the key out."
        )
    for one in config.logger.values():
        package = _PACKAGES.get(str(one._target_).rpartition(".")[2]) if one else None
        if package is not None:
            check_extra(package, package)
    _check_limits(keys)
    _check_length(keys)
    _check_precision(keys)


def check_callbacks(callbacks: Sequence[Callback]) -> None:
    """Raise `UserError` where a callback is one of Lightning's tuners, or would keep other weights
    than it has measured.
    """
    averaged = any(isinstance(one, AverageWeights) and one.decay is not None for one in callbacks)
    for callback in callbacks:
        if averaged and isinstance(callback, ModelCheckpoint) and callback.save_weights_only:
            raise UserError(
                "whole checkpoints with callbacks.average.decay",
                "save_weights_only=true, where Lightning leaves the average out",
                "Leave save_weights_only out, or set callbacks.average.decay=null.",
            )
        if isinstance(callback, BatchSizeFinder | LearningRateFinder):
            raise UserError(
                "callbacks that watch a training",
                f"{type(callback).__name__}, which tries other trainings first",
                "Search with Optuna: -m hydra/sweeper=optuna hydra.sweeper.n_trials=20 "
                "'optimizer.lr=tag(log,interval(1e-5,1e-3))'.",
            )


def check_sweep(config: DictConfig) -> None:
    """Raise `UserError` for a sweep whose runs would share a folder."""
    for name in ("resume", "output"):
        if config[name] is not None and HydraConfig.get().mode == RunMode.MULTIRUN:
            raise UserError(
                "a sweep whose runs have folders of their own",
                f"{name}={config[name]} with -m",
                "Name the folder of the sweep with hydra.sweep.dir=; go on with one run of it without -m.",
            )


def check_export(this_run: Run) -> None:
    """Raise `UserError` where the encoder of an earlier part would be left beside new weights."""
    folder = this_run.exported
    if not this_run.config.export and folder.exists():
        raise UserError(
            f"no encoder of an earlier part with export=false: {folder} would not be that of the run any more",
            "one there",
            "Move that folder away, or leave export=true, which writes it anew.",
        )


def check_negatives(module: RetrievalModule, datamodule: RetrievalDataModule, trainer: pl.Trainer) -> None:
    """Raise `UserError` where a batch would hold nothing that an anchor could be told apart from."""
    stated = datamodule.negatives_per_anchor > 0 and any(
        len(source.dataset.negative_documents) for source in datamodule.sources
    )
    if datamodule.batch_size * trainer.world_size == 1 and not (
        stated or datamodule.mined_per_anchor or module.queue_negatives
    ):
        raise UserError(
            "batches of at least two anchors, or stated, mined or queued negatives",
            "datamodule.batch_size=1: an anchor alone has nothing to be told apart from",
            "Set datamodule.batch_size=64; if memory is short, model.mini_batch=1 encodes one text at a time.",
        )


def check_weights(module: RetrievalModule, datamodule: RetrievalDataModule) -> None:
    """Raise `UserError` where pairs weigh differently and each anchor or document is two."""
    if datamodule.guard.weighs and isinstance(module.mixing, SoftLabelMixing):
        raise UserError(
            "a mixing that leaves each anchor and document one, with pairs of different grades or weights",
            "model/mixing=soft_label, whose mixed pairs would have no weight of their own",
            "Choose another model/mixing, or set datamodule.weighted=false.",
        )


def _check_strategy(strategy: Any) -> None:
    name = str(strategy._target_ if isinstance(strategy, DictConfig) else strategy)
    if not _STRATEGIES.fullmatch(name):
        raise UserError(
            "trainer.strategy=auto or ddp, under which each device holds the whole encoder",
            name,
            "Leave trainer.strategy=auto; if memory is short, set model.mini_batch and trainer.precision=bf16-mixed.",
        )


def _check_limits(keys: DictConfig) -> None:
    for split, instead in (
        ("val", "datamodule.evaluation_queries=200 measures fewer"),
        ("test", "test=false leaves it out"),
    ):
        name = f"limit_{split}_batches"
        limit = keys.get(name)
        # A share as a float; batches as a whole number. Validation may be left out altogether.
        if limit is None or (isinstance(limit, float) and limit == 1.0) or (split == "val" and limit == 0):
            continue
        raise UserError(
            f"trainer.{name}=1.0: a ranking needs all texts of the split",
            str(limit),
            f"Leave it at 1.0; {instead}.",
        )
    if keys.get("limit_train_batches") == 0:
        raise UserError(
            "batches to train on", "trainer.limit_train_batches=0", "Measure an encoder as it is with evaluate."
        )
    if isinstance(keys.get("val_check_interval"), str | DictConfig):
        raise UserError(
            "trainer.val_check_interval in batches or as a share of an epoch",
            str(keys.val_check_interval),
            "By the clock a resumed run would validate at other steps.",
        )


def _check_length(keys: DictConfig) -> None:
    for name in ("max_epochs", "max_steps"):
        if keys.get(name) == 0:
            raise UserError(
                "a training of at least one step", f"trainer.{name}=0", "Measure an encoder as it is with evaluate."
            )


def _check_precision(keys: DictConfig) -> None:
    if str(keys.get("precision")) not in _PRECISIONS:
        raise UserError(
            "trainer.precision=32-true, bf16-mixed or 16-mixed",
            str(keys.precision),
            "Weights in less than float32 round small steps away, and nothing here gains by more.",
        )
    # Lightning would compute in bfloat16 and say so only in a warning.
    if keys.get("accelerator") == "cpu" and str(keys.get("precision")) in ("16", "16-mixed"):
        raise UserError(
            "trainer.precision=bf16-mixed or 32-true with trainer.accelerator=cpu",
            str(keys.precision),
            "A CPU does not train in float16.",
        )
