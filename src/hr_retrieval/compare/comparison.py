"""Finished runs in groups of equal settings: mean and spread over seeds, and what differs from a baseline."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from hr_retrieval.baselines.figures import Baseline, lexical_baselines
from hr_retrieval.compare.finished import MEASURED_KEYS, FinishedRun, check_same_data, common_metrics, read_runs
from hr_retrieval.compare.varying import Value, shown_value, value_of, values_of, varying_keys
from hr_retrieval.errors import UserError
from hr_retrieval.retrieval import HEADLINE
from hr_retrieval.retrieval.significance import Spread, crossed_test, holm, randomisation_test, spread

_TRAINED, _ZERO_SHOT = "per_query.parquet", "per_query_zero_shot.parquet"


@dataclass(frozen=True)
class Difference:
    """A group against the baseline.

    Attributes:
        mean: mean metric of the group less that of the baseline.
        p_queries: of the randomisation test over queries, on each query's mean over seeds; adjusted by Holm over all
            groups; `None` without figures of the same queries on both sides.
        p_seeds: likewise of `crossed_test`, over seeds and queries, paired where both sides have the same seeds; `None`
            too where a side has a single seed.
    """

    mean: float
    p_queries: float | None
    p_seeds: float | None


@dataclass(frozen=True)
class Group:
    """Runs with equal values of the compared keys.

    Attributes:
        name: the keys and their values.
        runs: its runs.
        figures: each metric over seeds, on test; runs of one seed count as one, by their mean.
        zero_shot: mean of each metric before training; empty unless all runs measured it.
        validation: each metric over seeds, on validation, of the same checkpoints; empty unless all runs took it down.
        difference: `None` for the baseline itself, or without a baseline.
    """

    name: str
    runs: tuple[FinishedRun, ...]
    figures: dict[str, Spread]
    zero_shot: dict[str, float]
    validation: dict[str, Spread]
    difference: Difference | None = None

    @property
    def seconds(self) -> float | None:
        """Mean over the runs that were timed."""
        return _mean_of([run.seconds for run in self.runs])

    @property
    def training_seconds(self) -> float | None:
        """Likewise, of the training alone."""
        return _mean_of([run.training_seconds for run in self.runs])


@dataclass(frozen=True)
class Comparison:
    """What was compared; groups with a higher mean metric come first.

    Attributes:
        metric: its name.
        metrics: all names shown, `metric` first.
        groups: the groups.
        baselines: what rankings without training reach on the same queries.
        chosen: the group with the best mean on validation; `None` for a single group, or where a run has no such figure.
        remarks: what a reader must know, a sentence each.
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
        baseline: a part of one group's name; `None` compares each group with its encoder before training.
        metric: what is compared.
        lexical: whether BM25 and character TF-IDF are measured on the same test queries; for this the runs' prepared data
            set must lie where they read it.

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
    groups = sorted(_groups(finished, keys, names), key=lambda group: -group.figures[metric].mean)
    base = None if baseline is None else _named(baseline, groups)
    compared = _with_differences(groups, base, metric)
    chosen = _chosen(compared, metric)
    baselines, told = _baselines(finished) if lexical else ([], [])
    data = Path(str(finished[0].settings.get("datamodule.folder"))).name
    remarks = [*_remarks(compared, base, data, varying), *_choice(chosen, compared, metric), *told]
    remarks += [lost for own in baselines for lost in _losses(own, compared, metric)]
    return Comparison(
        metric, metrics, tuple(compared), tuple(baselines), chosen, tuple(remarks), data, tuple(keys), tuple(varying),
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


def _groups(runs: Sequence[FinishedRun], keys: Sequence[str], metrics: Sequence[str]) -> list[Group]:
    values = {key: values_of(runs, key) for key in keys}
    members: dict[tuple[Value, ...], list[FinishedRun]] = {}
    for run in runs:
        members.setdefault(tuple(value_of(run, key) for key in keys), []).append(run)
    groups = []
    for group, own in members.items():
        shown = [f"{key}={shown_value(key, value, values[key])}" for key, value in zip(keys, group, strict=True)]
        figures = {name: _over_seeds(own, lambda run: run.trained, name) for name in metrics}
        taken = [name for name in metrics if all(name in run.validation for run in own)]
        validation = {name: _over_seeds(own, lambda run: run.validation, name) for name in taken}
        before = [run.zero_shot for run in own if run.zero_shot]
        zero_shot = {
            name: float(np.mean([figure[name] for figure in before])) for name in metrics if len(before) == len(own)
        }
        groups.append(Group(", ".join(shown) or "all runs", tuple(own), figures, zero_shot, validation))
    return groups


def _over_seeds(
    runs: Sequence[FinishedRun], figures: Callable[[FinishedRun], Mapping[str, float]], metric: str
) -> Spread:
    return spread(np.array(_by_seed(runs, lambda run: figures(run)[metric])))


def _mean_of(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _by_seed(runs: Sequence[FinishedRun], value: Callable[[FinishedRun], Any]) -> list[Any]:
    """One value for each seed in ascending order: the mean over its runs."""
    seeds = sorted({run.seed for run in runs})
    return [np.mean([value(run) for run in runs if run.seed == seed], axis=0) for seed in seeds]


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


def _with_differences(groups: Sequence[Group], base: Group | None, metric: str) -> list[Group]:
    raw = [None if group is base else _tests(group, base, metric) for group in groups]
    adjusted = [
        holm({str(number): p for number, tests in enumerate(raw) if tests and (p := tests[which]) is not None})
        for which in (0, 1)
    ]
    result = []
    for number, group in enumerate(groups):
        other = group.zero_shot.get(metric) if base is None else base.figures[metric].mean
        difference = None
        if group is not base and other is not None:
            p_queries, p_seeds = (p_values.get(str(number)) for p_values in adjusted)
            difference = Difference(group.figures[metric].mean - other, p_queries, p_seeds)
        result.append(replace(group, difference=difference))
    return result


def _tests(group: Group, base: Group | None, metric: str) -> tuple[float, float | None] | None:
    """P-values over queries, and over queries and seeds if there are several; `None` without the same queries on both sides."""
    own = _query_values(group.runs, _TRAINED, metric)
    other = (
        _query_values(group.runs, _ZERO_SHOT, metric) if base is None else _query_values(base.runs, _TRAINED, metric)
    )
    if own is None or other is None or own[0] != other[0]:
        return None
    a, b = own[1], other[1]
    same_seeds = base is None or {run.seed for run in group.runs} == {run.seed for run in base.runs}
    over_seeds = crossed_test(a, b, same_seeds) if min(len(a), len(b)) > 1 else None
    return randomisation_test(a.mean(axis=0), b.mean(axis=0)), over_seeds


def _query_values(
    runs: Sequence[FinishedRun], file: str, metric: str
) -> tuple[list[str], npt.NDArray[np.float64]] | None:
    """Query ids and values `[seeds, Q]`; `None` unless all runs have the metric, of the same queries."""
    ids: dict[Path, list[str]] = {}
    values: dict[Path, npt.NDArray[np.float64]] = {}
    for run in runs:
        path = run.folder / file
        if not path.is_file() or metric not in pq.read_schema(path).names:
            return None
        table = pq.read_table(path, columns=["query_id", metric])
        ids[run.folder], values[run.folder] = table["query_id"].to_pylist(), table[metric].to_numpy()
    first = ids[runs[0].folder]
    if any(other != first for other in ids.values()):
        return None
    return first, np.stack(_by_seed(runs, lambda run: values[run.folder]))


def _remarks(groups: Sequence[Group], base: Group | None, data: str, varying: Sequence[str]) -> list[str]:
    runs = [run for group in groups for run in group.runs]
    against = "its own encoder before training (zero-shot)" if base is None else base.name
    remarks = [
        f"Data {data} (fingerprint {runs[0].data[:12]}): {runs[0].queries} test queries, each ranked over "
        f"{runs[0].documents} documents.",
        "Figures are mean ± standard deviation over seeds; in brackets the encoder before training.",
        f"Differences are from {against}. p (queries): randomisation test on each query's mean over seeds, which "
        "speaks of these seeds alone. p (seeds): t-test with random effects of seeds and queries, seeds paired where both sides "
        "have the same ones. Both are adjusted by Holm over all groups.",
    ]
    if any(spread.n == 1 for group in groups for spread in group.figures.values()):
        remarks.append("A group of one seed has no spread and no p (seeds): run more, such as seed=1,2,3,4,5.")
    within = [key for key in varying if any(len(values_of(group.runs, key)) > 1 for group in groups)]
    if within:
        remarks.append(f"Runs within a group differ in {', '.join(within)}: name these in by= to tell them apart.")
    untested = [group.name for group in groups if group.difference and group.difference.p_queries is None]
    if untested:
        remarks.append(f"Not tested, without figures of the same queries on both sides: {'; '.join(untested)}.")
    return remarks


def _chosen(groups: Sequence[Group], metric: str) -> Group | None:
    if len(groups) < 2 or not all(metric in group.validation for group in groups):
        return None
    return max(groups, key=lambda group: group.validation[metric].mean)


def _choice(chosen: Group | None, groups: Sequence[Group], metric: str) -> list[str]:
    """What validation chooses, in a sentence; nothing where there is nothing to choose from."""
    if len(groups) < 2:
        return []
    if chosen is None:
        return [f"Nothing is chosen: not every run took down its validation {metric} (callbacks.metrics_file)."]
    return [
        f"Chosen by validation {metric} ({chosen.validation[metric].mean:.4f}): {chosen.name}. Its test {metric} is "
        f"{chosen.figures[metric].mean:.4f}. The rows stand in the order of the test figures, which are no ground to choose by."
    ]


def _baselines(runs: Sequence[FinishedRun]) -> tuple[list[Baseline], list[str]]:
    """The baselines on what the runs were measured on, or a sentence that says why there are none."""
    settings = runs[0].settings
    folder, corpus, queries, identical_text = (settings.get(f"datamodule.{key}") for key in ("folder", *MEASURED_KEYS))
    if folder is None or not Path(folder).is_dir():
        return [], [
            f"BM25 and character TF-IDF are not measured: {folder} is no folder here (lexical=false asks for none)."
        ]
    try:
        return lexical_baselines(Path(folder), runs[0].data, str(corpus), queries, str(identical_text)), []
    except UserError as error:
        return [], [f"BM25 and character TF-IDF are not measured: {error}"]


def _losses(baseline: Baseline, groups: Sequence[Group], metric: str) -> list[str]:
    """A sentence that names the groups that the baseline beats, with p-values of the randomisation test, adjusted by Holm."""
    figure = baseline.figures.get(metric)
    beaten = [group for group in groups if figure is not None and group.figures[metric].mean < figure]
    if not beaten:
        return []
    raw = {group.name: _against(group, baseline, metric) for group in beaten}
    adjusted = holm({name: value for name, value in raw.items() if value is not None})
    if len(beaten) == len(groups) > 1:
        worst = max(adjusted.values()) if len(adjusted) == len(beaten) else None
        who = f"every group (p at most {shown_number(worst, '.4f')})"
    else:
        who = "; ".join(
            f"{group.name} ({group.figures[metric].mean:.4f}, p = {shown_number(adjusted.get(group.name), '.4f')})"
            for group in beaten
        )
    return [f"{baseline.name} ({metric} {figure:.4f}), which needs no training, beats {who}."]


def shown_number(value: float | None, form: str) -> str:
    """The number in this format, and `-` for none."""
    return "-" if value is None else format(value, form)


def shown_spread(figure: Spread) -> str:
    """The mean, with the standard deviation where there are several seeds."""
    return f"{figure.mean:.4f}" + (f" ± {figure.sd:.4f}" if figure.n > 1 else "")


def _against(group: Group, baseline: Baseline, metric: str) -> float | None:
    own = _query_values(group.runs, _TRAINED, metric)
    if own is None or own[0] != baseline.queries:
        return None
    return randomisation_test(own[1].mean(axis=0), baseline.values[metric])
