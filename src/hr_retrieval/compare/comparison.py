"""Finished runs in groups of equal settings: mean and spread over seeds, and what differs from a baseline."""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hr_retrieval.baselines.figures import Baseline, lexical_baselines
from hr_retrieval.compare.differences import with_differences
from hr_retrieval.compare.groups import Group, groups_of
from hr_retrieval.compare.remarks import choice, losses, remarks
from hr_retrieval.compare.settings import varying_keys
from hr_retrieval.errors import UserError
from hr_retrieval.retrieval import HEADLINE
from hr_retrieval.runs.figures import MEASURED_KEYS, FinishedRun, check_same_data, common_metrics, read_runs


@dataclass(frozen=True)
class Comparison:
    """What was compared; groups with a higher mean metric come first.

    Attributes:
        metric: its name.
        metrics: all names shown, `metric` first.
        groups: the groups.
        baselines: what rankings without training reach on the same queries.
        chosen: the group with the best mean on validation; `None` for a single group, or where a
            run has no such figure.
        remarks: what a reader must know, a sentence each.
        base: what differences are from; `None` for each group's encoder before training.
        data: name of the prepared data set, which is that of its folder.
        by: keys whose equal values make a group.
        varying: keys that vary between runs, seeds aside.
        unfinished: run directories without `summary.json`.
    """

    metric: str
    metrics: tuple[str, ...]
    groups: tuple[Group, ...]
    baselines: tuple[Baseline, ...]
    chosen: Group | None
    remarks: tuple[str, ...]
    base: Group | None
    data: str
    by: tuple[str, ...]
    varying: tuple[str, ...]
    unfinished: tuple[Path, ...]


def compare(
    runs: Sequence[str],
    by: Sequence[str] | None = None,
    baseline: str | None = None,
    metric: str = "mrr",
    lexical: bool = True,
) -> Comparison:
    """Compare the runs under some globs.

    Args:
        runs: globs of run directories.
        by: keys of the config, or of parts of it; `None` takes all that vary, seeds aside.
        baseline: a part of one group's name; `None` compares each group with its encoder before
            training.
        metric: what is compared.
        lexical: whether BM25 and character TF-IDF are measured on the same test queries; for this
            the runs' prepared data set must lie where they read it.

    Raises:
        UserError: no finished run is there, a run was not measured on test, runs were
            measured on different data, or a key, the metric or the baseline is unknown.
    """
    finished, unfinished = read_runs(runs)
    check_same_data(finished)
    _check_metric(metric, finished)
    varying = varying_keys(finished)
    keys = varying if by is None else list(by)
    _check_keys(keys, finished)
    names = common_metrics(finished)
    metrics = tuple(dict.fromkeys((metric, *(name for name in HEADLINE if name in names))))
    groups = sorted(groups_of(finished, keys, names), key=lambda group: -group.figures[metric].mean)
    base = None if baseline is None else _named(baseline, groups)
    compared = with_differences(groups, base, metric)
    chosen = _chosen(compared, metric)
    baselines, told = _baselines(finished) if lexical else ([], [])
    data = [folder.name for folder in _folders(finished[0])]
    told = [*remarks(compared, base, data, varying), *choice(chosen, compared, metric), *told]
    told += [lost for own in baselines for lost in losses(own, compared, metric)]
    return Comparison(
        metric, metrics, tuple(compared), tuple(baselines), chosen, tuple(told), base, ", ".join(data), tuple(keys), tuple(varying),
        tuple(unfinished),
    )  # fmt: skip


def _check_metric(metric: str, runs: Sequence[FinishedRun]) -> None:
    if metric not in common_metrics(runs):
        raise UserError(f"metric to be one of {', '.join(common_metrics(runs))}", repr(metric), "Choose one of them.")


def _check_keys(keys: Sequence[str], runs: Sequence[FinishedRun]) -> None:
    leaves = dict.fromkeys(key for run in runs for key in run.settings)
    known = dict.fromkeys(
        ".".join(parts[:end]) for key in leaves for parts in [key.split(".")] for end in range(1, len(parts) + 1)
    )
    for key in keys:
        if key not in known:
            shown = [name for name in known if not name.endswith("_")]
            raise UserError(f"by to name keys of the runs' config: {', '.join(shown)}", repr(key), "Choose among them.")


def _named(text: str, groups: Sequence[Group]) -> Group:
    """The group of that name, or the only one with the text in its name: `anchor` is not in `anchor_negative`."""
    within = re.compile(rf"(?<![\w-]){re.escape(text)}(?![\w.-])")
    found = [group for group in groups if group.name == text] or [
        group for group in groups if within.search(group.name)
    ]
    if len(found) != 1:
        raise UserError(
            "baseline to be a part of just one group's name: " + "; ".join(group.name for group in groups),
            f"{text!r}, which is in {len(found)} of them",
            "Choose one, or baseline=null for the encoder before training.",
        )
    return found[0]


def _chosen(groups: Sequence[Group], metric: str) -> Group | None:
    if len(groups) < 2 or not all(metric in group.validation for group in groups):
        return None
    return max(groups, key=lambda group: group.validation[metric].mean)


def _folders(run: FinishedRun) -> list[Path]:
    """The prepared data sets that a run was trained on."""
    said = run.settings.get("datamodule.folder")
    # A list is held as its text, as leaves of a config are.
    found = ast.literal_eval(said) if isinstance(said, str) and said.startswith("[") else [said]
    return [Path(str(folder)) for folder in found if folder is not None]


def _baselines(runs: Sequence[FinishedRun]) -> tuple[list[Baseline], list[str]]:
    """The baselines on what the runs were measured on, or a sentence that says why there are none."""
    settings = runs[0].settings
    corpus, queries, identical_text = (settings.get(f"datamodule.{key}") for key in MEASURED_KEYS)
    folders = _folders(runs[0])
    if len(folders) > 1:
        return [], ["BM25 and character TF-IDF are not measured, of several sources: evaluate measures them on each."]
    if not folders or not folders[0].is_dir():
        where = " ".join(map(str, folders)) or None
        return [], [
            f"BM25 and character TF-IDF are not measured: {where} is no folder here (lexical=false asks for none)."
        ]
    try:
        return lexical_baselines(folders[0], runs[0].data, str(corpus), queries, str(identical_text)), []
    except UserError as error:
        return [], [f"BM25 and character TF-IDF are not measured: {error}"]
