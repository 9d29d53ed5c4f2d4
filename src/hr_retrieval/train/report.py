"""What a run says of its figures: at each validation, and when it has ended."""

import logging
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from rich.console import Console
from rich.table import Table

from hr_retrieval.config.schema import leaves
from hr_retrieval.config.sources import listed
from hr_retrieval.encoder.languages import short_name
from hr_retrieval.program import called, shell_word, shown_path
from hr_retrieval.retrieval import HEADLINE
from hr_retrieval.runs.directory import Run
from hr_retrieval.runs.ranking import sentences
from hr_retrieval.train.board import Board, trial_name
from hr_retrieval.train.opening import duration
from hr_retrieval.train.verdict import figures_of

log = logging.getLogger(__name__)

# Keys of the command line by which runs are not told apart.
_ASIDE = re.compile(
    r"(output|project|run_name|resume|export|test|zero_shot|lexical|hydra|callbacks|logger)\b.*|data\b.*|trainer\.(enable|log_every).*"
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
    """Print the figures beside those without training, what they mean, where everything is, and what comes next."""
    console = Console(width=120)
    if summary["trained"]:
        console.print(f"{summary['queries']:,} test queries, each ranked over {summary['corpus']}, exact ranks:")
        table = Table("", f"{HEADLINE[0]} (95 % interval)", *HEADLINE[1:])
        for column in table.columns[1:]:
            column.justify = "right"
        intervals = summary.get("intervals", {})
        for name, figures in figures_of(summary).items():
            bounds = f" ({intervals[name][0]:.4f} to {intervals[name][1]:.4f})" if name in intervals else ""
            table.add_row(name, f"{figures[HEADLINE[0]]:.4f}{bounds}", *(f"{figures[one]:.4f}" for one in HEADLINE[1:]))
            for source in summary.get("sources", {}):
                table.add_row(f"  {source}", *(f"{figures[f'{source}/{one}']:.4f}" for one in HEADLINE))
        console.print(table)
    told = [summary.get("verdict"), summary.get("stopped"), *sentences(summary.get("ranking"))]
    console.print("\n".join(filter(None, told)), soft_wrap=True, highlight=False, markup=False)
    lines = places(this_run, summary, seconds)
    console.print("\n".join(lines), soft_wrap=True, highlight=False, markup=False)


def places(this_run: Run, summary: dict[str, Any], seconds: float) -> list[str]:
    """Where everything is, and the commands that come next, as they can be pasted."""
    folder = shown_path(this_run.folder)
    run, data = shell_word(folder), this_run.config.datamodule.folder if "datamodule" in this_run.config else None
    lines = [
        f"Run directory   {folder}  ({duration(seconds)})",
        f"Checkpoint      {shown_path(this_run.measured_checkpoint())}  ({summary['checkpoint']})",
    ]
    encoder = f"encoder={run}"
    if summary["encoder"]:
        exported = shown_path(Path(summary["encoder"]))
        name, reader = (
            ("Cross-encoder  ", "CrossEncoder") if this_run.cross else ("Encoder        ", "SentenceTransformer")
        )
        lines.append(f"{name} {exported}  (in Python: {reader}({exported!r}))")
        if this_run.cross:
            first = shell_word(this_run.config.model.encoder.name_or_path)
            encoder = f"encoder={first} rerank={shell_word(exported)} depth={this_run.config.model.depth}"
    folders = [] if data is None else listed(data)
    for number, one in enumerate(folders if summary["encoder"] or not this_run.cross else []):
        begin = "      measure   " if number else "Next, measure   "
        lines.append(f"{begin}{called('evaluate')} {encoder} data.folder={shell_word(one)}")
    if folders and not this_run.cross:
        corpus = f"corpus={shell_word(folders[0])} output=indexes/{folder_name(folder)}"
        lines.append(f"      search    {called('index')} encoder={run} {corpus}")
    return [
        *lines,
        f"      compare   {called('compare')} 'runs={Path(folder).parent}/*'",
        f"      go on     {called('train')} resume={run} trainer.max_epochs={_more(this_run.config)}",
        f"      look      tensorboard --logdir {run}, or {folder}/summary.html in a browser",
    ]


def folder_name(folder: str) -> str:
    """What an output is called after a run: its folder, in a sweep with that of the sweep."""
    path = Path(folder)
    return shell_word(f"{path.parent.name}-{path.name}" if path.name.isdigit() else path.name)


def _more(config: DictConfig) -> int:
    """Twice the epochs that a run had."""
    epochs = OmegaConf.select(config, "trainer.max_epochs")
    return 2 * epochs if epochs and epochs > 0 else 10


def log_final(logger: Logger, config: DictConfig, summary: dict[str, Any], overrides: Sequence[str]) -> None:
    """The hyper-parameters beside the final figures, in the loggers that show them together.

    Args:
        overrides: of the command line, which say by what a run differs from others.
    """
    plain = leaves(OmegaConf.to_container(config, resolve=True))
    flat = _named({key: "None" if value is None else value for key, value in plain.items()})
    if isinstance(logger, Board):
        given = _given(overrides, flat)
        encoder, data = short_name(str(flat["model.encoder.name_or_path"])), _data(config)
        settings = {"encoder": encoder, "data": data, **_usual(flat), **given}
        of_sources = [f"{source}/{name}" for source in summary.get("sources", {}) for name in HEADLINE]
        names = [*HEADLINE, *of_sources] if summary["trained"] else []
        final = {f"test/{name}": summary["trained"][name] for name in names}
        logger.log_trial(settings, final, trial_name(encoder, data, _usual(flat) | given, datetime.now()))
        _log_ranking(logger, summary.get("ranking"))
    else:
        logger.log_hyperparams(flat)
    logger.finalize("success")


def _usual(flat: Mapping[str, Any]) -> dict[str, Any]:
    """What most runs are compared by, under short names: TensorBoard shows five columns unasked, by the alphabet."""
    mixing = str(flat.get("model.mixing", ""))
    found = {"lr": flat.get("optimizer.lr"), "mixing": _option_of(mixing), "seed": flat.get("seed")}
    return {name: value for name, value in found.items() if value not in (None, "")}


def _option_of(mixing: str) -> str:
    """What the class of a strategy is called on a command line: `anchor_negative` for `AnchorNegativeMixing`."""
    name = mixing.removesuffix("Mixing")
    return "none" if name == "No" else re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _given(overrides: Sequence[str], flat: Mapping[str, Any]) -> dict[str, Any]:
    """What was set beside that, by its key; of a group, its option."""
    usual = {
        "seed",
        "model",
        "model/mixing",
        "model.loss.form",
        "optimizer.lr",
        "datamodule.batch_size",
        "datamodule.folder",
    }
    found = {}
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key = override.key_or_group
        if key not in usual and not _ASIDE.fullmatch(key) and not key.startswith("model.encoder.name"):
            found[key] = flat.get(key, override.get_value_element_as_str())
    return found


def _data(config: DictConfig) -> str:
    return "+".join(Path(one).name for one in listed(config.datamodule.folder))


def _log_ranking(logger: Board, ranking: dict[str, Any] | None) -> None:
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
