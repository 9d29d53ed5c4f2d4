"""What a run says of its figures: at each validation, and when it has ended."""

import logging
import re
from collections.abc import Sequence
from typing import Any, cast

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from rich.console import Console
from rich.table import Table

from hr_retrieval.config.schema import leaves
from hr_retrieval.retrieval import HEADLINE
from hr_retrieval.runs.directory import Run
from hr_retrieval.runs.ranking import sentences

log = logging.getLogger(__name__)

# The keys of a config in TensorBoard's table of runs.
SHOWN_KEYS = re.compile(
    r"seed|split_seed|data\.(\w+\.)?name|(optimizer|scheduler)(\..+)?|model\.(?!encoder).+"
    r"|model\.encoder\.(name_or_path|pooling|max_length|dimensions|dropout)"
    r"|ranking\.mixing|datamodule\.(batch_size|positives_per_anchor|negatives_per_anchor|sources\..+)"
    r"|trainer\.(precision|max_\w+|limit_train_batches|gradient_clip_val|accumulate_grad_batches|devices)"
)


class EpochReport(Callback):
    """Prints the validation figures of each epoch, where a progress bar would overwrite them.

    Args:
        metrics: names of logged metrics, without the split.
    """

    def __init__(self, metrics: Sequence[str] = ("mrr", "pass@1", "recall@10")) -> None:
        self.metrics = tuple(metrics)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        where = (
            "before training"
            if trainer.state.fn != "fit"
            else f"epoch {trainer.current_epoch + 1}, step {trainer.global_step}"
        )
        values = trainer.callback_metrics
        sources = cast(Any, trainer).datamodule.sources
        for source in ("", *(f"{one.name}/" for one in sources if len(sources) > 1)):
            shown = [
                f"{name} {float(values[f'validation/{source}{name}']):.4f}"
                for name in self.metrics
                if f"validation/{source}{name}" in values
            ]
            log.info("%s: validation %s%s", where, f"of {source[:-1]}: " if source else "", ", ".join(shown))


def report(this_run: Run, summary: dict[str, Any], seconds: float) -> None:
    """Print the figures before and after training, and where everything is."""
    console = Console(width=120)
    if summary["trained"]:
        console.print(f"{summary['queries']:,} test queries, each ranked over {summary['corpus']}, exact ranks:")
        table = Table("")
        for name in HEADLINE:
            table.add_column(name, justify="right")
        for row in ("zero_shot", "without_mixing", "trained"):
            if summary.get(row):
                table.add_row(row.replace("_", "-"), *(f"{summary[row][name]:.4f}" for name in HEADLINE))
                for source in summary.get("sources", {}):
                    table.add_row(f"  {source}", *(f"{summary[row][f'{source}/{name}']:.4f}" for name in HEADLINE))
        console.print(table)
    console.print("\n".join(sentences(summary.get("ranking"))), soft_wrap=True, highlight=False, markup=False)
    folder = this_run.folder
    lines = [
        f"Run directory   {folder}  ({seconds:.0f} s)",
        f"Checkpoint      {this_run.measured_checkpoint()}  ({summary['checkpoint']})",
        f"TensorBoard     tensorboard --logdir {folder / 'tensorboard'}",
    ]
    if summary["encoder"]:
        lines.append(
            f"Encoder         {summary['encoder']}  ({summary['checkpoint']}; SentenceTransformer({summary['encoder']!r}) loads it)"
        )
    lines.append(f"Next            go on: python -m hr_retrieval.train resume={folder} trainer.max_epochs=...")
    console.print("\n".join(lines), soft_wrap=True, highlight=False, markup=False)


def log_final(logger: Logger, config: DictConfig, summary: dict[str, Any]) -> None:
    """The hyper-parameters beside the final figures, in the loggers that show them together."""
    plain = leaves(OmegaConf.to_container(config, resolve=True))
    # TensorBoard has no place for what is none.
    flat = _named({key: "None" if value is None else value for key, value in plain.items()})
    if isinstance(logger, TensorBoardLogger):
        of_sources = [f"{source}/{name}" for source in summary.get("sources", {}) for name in HEADLINE]
        names = [*HEADLINE, *of_sources] if summary["trained"] else []
        final = {f"final/{name}": summary["trained"][name] for name in names}
        # Its table has a column for each: what a run is compared by, and not where its files lie.
        logger.log_hyperparams({key: value for key, value in flat.items() if SHOWN_KEYS.fullmatch(key)}, final)
        _log_ranking(logger, summary.get("ranking"))
    else:
        logger.log_hyperparams(flat)
    logger.finalize("success")


def _log_ranking(logger: TensorBoardLogger, ranking: dict[str, Any] | None) -> None:
    """What mixing at ranking time is worth: in words, and in figures with (step 1) and without it (step 0)."""
    logger.experiment.add_text("ranking/mixing", "\n\n".join(sentences(ranking)))
    for split in ("validation", "test"):
        worth = ranking[split] if ranking else None
        if worth:
            pairs = {worth["metric"]: (worth["without"], worth["mixed"]), "hubness": worth["hubness"]}
            for name, values in pairs.items():
                for step, value in enumerate(values):
                    logger.experiment.add_scalar(f"ranking/{split}_{name}", value, step)
            for name in ("helped", "hurt"):
                logger.experiment.add_scalar(f"ranking/{split}_{name}", worth[name], 1)


def _named(flat: dict[str, Any]) -> dict[str, Any]:
    """With `model.loss: TripletLoss` for `model.loss._target_: hr_retrieval.objective.triplet.TripletLoss`."""
    classes = {
        key.removesuffix("._target_"): str(value).rsplit(".", 1)[-1]
        for key, value in flat.items()
        if key.endswith("._target_")
    }
    return classes | {key: value for key, value in flat.items() if not key.endswith(("._target_", "._partial_"))}
