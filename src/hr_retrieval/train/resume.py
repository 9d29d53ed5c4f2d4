"""A run that goes on: what it goes on from, and what is cleared away before."""

import logging
import shutil
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser

from hr_retrieval.errors import UserError
from hr_retrieval.runs.directory import Run
from hr_retrieval.runs.ranking import FILE
from hr_retrieval.runs.resuming import changed

log = logging.getLogger(__name__)


def resumed_run(folder: Path) -> tuple[Run, tuple[Path, int] | None, bool]:
    """The run with the changes given beside `resume=`; its newest checkpoint and the step of that,
    if there is one; and whether it has ended for good, since it holds weights alone and nothing was
    changed.

    Raises:
        UserError: another version of the program began the run, or a change does not apply.
    """
    before = Run.open(folder)
    if not before.made_from:
        # Before its parts are built: a part of another version need not fit this one.
        raise UserError(
            f"a record of what the run was made from in {folder / 'config.yaml'}",
            "none: another version began it",
            "Start it anew: the same options without resume=.",
        )
    newest = before.newest_checkpoint()
    this_run = changed(before, _changes(), HydraConfig.get().runtime.choices, newest[1] if newest else 0)
    return this_run, newest, newest is None and this_run == before and (folder / "summary.json").exists()


def clear_for(this_run: Run, newest: tuple[Path, int] | None) -> None:
    """Clear away what is void once the run goes on; from here to its new summary it is no finished run."""
    _remove_partials(this_run)
    if newest:
        log.info("going on from %s, step %d", *newest)
    else:
        _set_weights_aside(this_run)
    # With it goes the mixing that was chosen for a checkpoint which may be the best no more.
    for name in ("summary.json", FILE):
        (this_run.folder / name).unlink(missing_ok=True)


def _changes() -> list[str]:
    """What was given beside `resume=`."""
    overrides: list[str] = list(HydraConfig.get().overrides.task)
    parsed = OverridesParser.create().parse_overrides(overrides)
    return [text for text, override in zip(overrides, parsed, strict=True) if override.key_or_group != "resume"]


def _set_weights_aside(this_run: Run) -> None:
    """Where nothing is there that a training could go on from, it begins anew; weights of the one
    before are no part of it.
    """
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


def _remove_partials(this_run: Run) -> None:
    """Remove what a killed process had begun to write."""
    for folder in (this_run.folder, this_run.checkpoints, this_run.folder / "negatives"):
        # Of a folder that was being replaced the old one may be left, too.
        for partial in [*folder.glob(".*.partial"), *folder.glob(".*.old")]:
            if partial.is_dir():
                shutil.rmtree(partial)
            else:
                partial.unlink()
