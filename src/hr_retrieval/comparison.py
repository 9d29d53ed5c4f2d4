"""Finished runs in groups of equal settings: mean and spread over seeds, and what differs from a baseline."""

import csv
import glob
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from omegaconf import OmegaConf

from hr_retrieval.chart import Axis, Series, Svg, chart, parallel
from hr_retrieval.errors import UserError
from hr_retrieval.files import check_vacant, whole_folder
from hr_retrieval.lexical import Baseline, lexical_baselines
from hr_retrieval.page import Rows, html_table, markdown_table, page, side_by_side
from hr_retrieval.retrieval.significance import Spread, holm, paired_bootstrap, randomisation_test, spread
from hr_retrieval.runs import Run

_HEADLINE = ("mrr", "pass@1", "recall@10")
# Not compared: what a run is called, where it is written and shown. Seeds are what the spread is over.
_ASIDE = ("project", "output", "resume", "zero_shot", "test", "export", "logger")
# What the figures depend on beside the data: other values measure something else.
_MEASURED_KEYS = ("evaluation_corpus", "evaluation_queries")
_MEASURED_BY = tuple(f"datamodule.{key}" for key in _MEASURED_KEYS)
_TRAINED, _ZERO_SHOT = "per_query.parquet", "per_query_zero_shot.parquet"
# Numbers of a key above which a chart gives them a scale, and how far apart they lie where it is one of their logarithms.
_PLACES, _LOG_FROM = 8, 20.0
# The leaves below a key, by their names relative to it; a leaf itself has the name "".
Value = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class FinishedRun:
    """One run with its figures.

    Attributes:
        folder: the run directory.
        settings: the leaves of its config by dotted key; the run's own folder in them reads `<run>`.
        seed: of the training.
        trained: test figures of the best checkpoint.
        zero_shot: of the encoder before training, where it was measured.
        validation: validation figures of the best checkpoint; empty where none were taken down.
        seconds: from start to end; `None` for a resumed run.
        training_seconds: of the training alone, its validations included; `None` for a resumed run and one of an older version.
        data: fingerprint of the prepared data set.
        queries: how many test queries there are.
        documents: how many are ranked for each.
    """

    folder: Path
    settings: dict[str, Any]
    seed: int
    trained: dict[str, float]
    zero_shot: dict[str, float] | None
    validation: dict[str, float]
    seconds: float | None
    training_seconds: float | None
    data: str
    queries: int
    documents: int


@dataclass(frozen=True)
class Difference:
    """A group against the baseline.

    Attributes:
        mean: mean metric of the group less that of the baseline.
        p_queries: of the randomisation test over queries, on each query's mean over seeds; adjusted by Holm over all
            groups; `None` without figures of the same queries on both sides.
        p_seeds: likewise of the paired bootstrap, which draws seeds too where both sides have the same ones.
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
        varying: keys that vary between runs, seeds aside.
        unfinished: run directories without `summary.json`.
    """

    metric: str
    metrics: tuple[str, ...]
    groups: tuple[Group, ...]
    baselines: tuple[Baseline, ...]
    chosen: Group | None
    remarks: tuple[str, ...]
    varying: tuple[str, ...]
    unfinished: tuple[Path, ...]

    def markdown(self) -> str:
        """The table of groups."""
        return markdown_table(_table(self))

    def charts(self) -> list[Svg]:
        """Validation of each run by epoch, test figures by each key that varies, by several keys at once, and by seconds."""
        return _charts(self)


def compare(
    runs: Sequence[str],
    output: Path,
    by: Sequence[str] | None = None,
    baseline: str | None = None,
    metric: str = "mrr",
    lexical: bool = True,
) -> Comparison:
    """Compare the runs under some globs; write `comparison.md`, `comparison.csv` and `comparison.html`.

    Args:
        runs: globs of run directories.
        output: a new or empty folder; it is written whole or not at all.
        by: keys of the config, or of parts of it; `None` takes all that vary, seeds aside.
        baseline: a part of one group's name; `None` compares each group with its encoder before training.
        metric: what is compared.
        lexical: whether BM25 and character TF-IDF are measured on the same test queries; for this the runs' prepared data
            set must lie where they read it.

    Raises:
        UserError: `output` holds something, no finished run is there, a run was not measured on test, runs were
            measured on different data, or a key, the metric or the baseline is unknown.
    """
    check_vacant(output)
    finished, unfinished = _read(runs)
    _check_same_data(finished)
    _check_metric(metric, finished)
    varying = _varying(finished)
    keys = varying if by is None else list(by)
    _check_keys(keys, finished)
    names = _common(finished)
    metrics = tuple(dict.fromkeys((metric, *(name for name in _HEADLINE if name in names))))
    groups = sorted(_groups(finished, keys, names), key=lambda group: -group.figures[metric].mean)
    base = None if baseline is None else _named(baseline, groups)
    compared = _with_differences(groups, base, metric)
    chosen = _chosen(compared, metric)
    baselines, told = _baselines(finished) if lexical else ([], [])
    remarks = [*_remarks(compared, base, varying, keys), *_choice(chosen, compared, metric), *told]
    remarks += [lost for own in baselines for lost in _losses(own, compared, metric)]
    comparison = Comparison(
        metric, metrics, tuple(compared), tuple(baselines), chosen, tuple(remarks), tuple(varying), tuple(unfinished)
    )
    with whole_folder(output) as partial:
        (partial / "comparison.md").write_text(_document(comparison), encoding="utf-8")
        (partial / "comparison.csv").write_text(_csv(comparison), encoding="utf-8")
        (partial / "comparison.html").write_text(_page(comparison), encoding="utf-8")
    return comparison


def report(comparison: Comparison, folder: Path) -> None:
    """Print the table, what a reader must know, and where the files are."""
    print(comparison.markdown())
    for remark in comparison.remarks:
        print(remark)
    for run in comparison.unfinished:
        print(f"Unfinished, not compared: {run}")
    for name in ("comparison.md", "comparison.csv", "comparison.html"):
        print(folder / name)


def _read(globs: Sequence[str]) -> tuple[list[FinishedRun], list[Path]]:
    folders = _run_folders(globs)
    unfinished = [folder for folder in folders if not (folder / "summary.json").is_file()]
    finished = [_finished(folder) for folder in folders if folder not in unfinished]
    if not finished:
        got = f"{len(unfinished)} unfinished and no finished one" if unfinished else "none"
        raise UserError(
            f"run directories with config.yaml and summary.json under {', '.join(globs)}",
            got,
            "Name folders of finished runs, such as 'runs=multirun/**'; resume=<run directory> finishes one.",
        )
    return finished, unfinished


def _run_folders(globs: Sequence[str]) -> list[Path]:
    """Folders with a config.yaml, sorted; what lies inside of a run (a logger's copy, say) is none."""
    found: list[Path] = []
    matches = {Path(match) for pattern in globs for match in glob.glob(pattern, recursive=True)}
    for folder in sorted(matches):
        inside = any(parent in found for parent in folder.parents)
        if not inside and (folder / "config.yaml").is_file():
            found.append(folder)
    return found


def _finished(folder: Path) -> FinishedRun:
    run = Run.open(folder)
    summary = run.summary()
    if not summary.get("trained"):
        raise UserError(
            "runs with test figures", f"{folder} without any", "Train with test=true, or leave this run out of runs=."
        )
    if "data" not in summary:
        raise UserError(
            f"the data set's fingerprint ('data') in {folder / 'summary.json'}",
            "none",
            "Another version wrote this run: train anew, or leave it out of runs=.",
        )
    own = str(run.config.trainer.get("default_root_dir"))
    plain = leaves(OmegaConf.to_container(run.config, resolve=True))
    settings = {key: value.replace(own, "<run>") if isinstance(value, str) else value for key, value in plain.items()}
    return FinishedRun(
        folder,
        settings,
        int(run.config.seed),
        summary["trained"],
        summary["zero_shot"],
        _validation(folder / "metrics.csv", settings),
        summary["seconds"],
        # A run from before training was timed by itself has no such figure.
        summary.get("training_seconds"),
        summary["data"],
        summary["queries"],
        summary["documents"],
    )


def _validation(path: Path, settings: Mapping[str, Any]) -> dict[str, float]:
    """Figures of the validation by which the best checkpoint was chosen, which is the one measured on test."""
    monitor, lower = (
        settings.get("callbacks.best.monitor", "validation/mrr"),
        settings.get("callbacks.best.mode") == "min",
    )
    rows = [row for row in _rows(path) if row["step"] != "0" and row.get(monitor)]
    if not rows:
        return {}
    # The first of equal ones, as Lightning's checkpoint has it.
    best = max(rows, key=lambda row: float(row[monitor]) * (-1 if lower else 1))
    named = {name.removeprefix("validation/"): value for name, value in best.items() if name.startswith("validation/")}
    return {name: float(value) for name, value in named.items() if value}


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of a run's metrics.csv; none where it was left out."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def leaves(node: Any, path: str = "") -> dict[str, Any]:
    """The leaves of a plain config by dotted key; what is no plain value reads as its text."""
    if isinstance(node, dict) and (node or not path):
        parts = [leaves(value, f"{path}.{key}" if path else str(key)) for key, value in node.items()]
        return {key: value for part in parts for key, value in part.items()}
    return {path: node if node is None or isinstance(node, bool | int | float | str) else str(node)}


def _check_same_data(runs: Sequence[FinishedRun]) -> None:
    first = runs[0]
    for run in runs[1:]:
        if run.data != first.data:
            raise UserError(
                "runs on the same data",
                f"data {first.data} in {first.folder} and {run.data} in {run.folder}",
                "Compare runs of one prepared data set: narrow runs=.",
            )
        for key in _MEASURED_BY:
            values = [one.settings.get(key) for one in (first, run)]
            if values[0] != values[1]:
                raise UserError(
                    f"runs with one {key}",
                    f"{values[0]} in {first.folder} and {values[1]} in {run.folder}",
                    "Figures over other documents or queries cannot be compared: narrow runs=.",
                )


def _common(runs: Sequence[FinishedRun]) -> list[str]:
    """Names of the figures that all runs have."""
    return [
        name for name in runs[0].trained if not name.endswith("excluded") and all(name in run.trained for run in runs)
    ]


def _check_metric(metric: str, runs: Sequence[FinishedRun]) -> None:
    if metric not in _common(runs):
        raise UserError(f"metric to be one of {', '.join(_common(runs))}", repr(metric), "Choose one of them.")


def _check_keys(keys: Sequence[str], runs: Sequence[FinishedRun]) -> None:
    leaves = dict.fromkeys(key for run in runs for key in run.settings)
    known = dict.fromkeys(
        ".".join(parts[:end]) for key in leaves for parts in [key.split(".")] for end in range(1, len(parts) + 1)
    )
    for key in keys:
        if key not in known:
            shown = [name for name in known if not name.endswith("_")]
            raise UserError(f"by to name keys of the runs' config: {', '.join(shown)}", repr(key), "Choose among them.")


def _varying(runs: Sequence[FinishedRun]) -> list[str]:
    """Keys with different values; where different things are built, the key of the whole part."""
    keys = [
        key
        for key in dict.fromkeys(key for run in runs for key in run.settings)
        if key.split(".")[0] not in _ASIDE and key.split(".")[-1] != "seed" and len(_values(runs, key)) > 1
    ]
    parts = [key.removesuffix("._target_") for key in keys if key.endswith("._target_")]
    whole = [part for part in parts if not _within_any(part, parts)]
    return [*whole, *(key for key in keys if not _within_any(key, whole))]


def _within_any(key: str, parts: Sequence[str]) -> bool:
    return any(key.startswith(f"{part}.") for part in parts)


def _values(runs: Sequence[FinishedRun], key: str) -> list[Value]:
    """The distinct values of a key; numbers in ascending order, all else as it comes."""
    values = list(dict.fromkeys(_value(run, key) for run in runs))
    if all(len(value) == 1 and isinstance(value[0][1], int | float) for value in values):
        return sorted(values, key=lambda value: float(value[0][1]))
    return values


def _value(run: FinishedRun, key: str) -> Value:
    if key in run.settings:
        return (("", run.settings[key]),)
    below = {name.removeprefix(f"{key}."): leaf for name, leaf in run.settings.items() if name.startswith(f"{key}.")}
    return tuple((name, leaf) for name, leaf in below.items() if name.split(".")[-1] != "seed")


def _shown(value: Value, values: Sequence[Value]) -> str:
    """A leaf as it is; a part as its class and what differs from others of the class; `-` where it is absent."""
    own = dict(value)
    if not own or "" in own:
        return str(own.get("", "-"))
    alike = [dict(other) for other in values if dict(other).get("_target_") == own.get("_target_")]
    names = dict.fromkeys(name for other in alike for name in other)
    differing = [name for name in names if len({(name in other, other.get(name)) for other in alike}) > 1]
    options = ", ".join(
        f"{name.removesuffix('._target_')}={_class_name(own.get(name, '-')) if name.endswith('_target_') else own.get(name, '-')}"
        for name in differing
    )
    return _class_name(own.get("_target_", "")) + (f"({options})" if options else "")


def _class_name(target: str) -> str:
    return target.rsplit(".", 1)[-1]


def _groups(runs: Sequence[FinishedRun], keys: Sequence[str], metrics: Sequence[str]) -> list[Group]:
    values = {key: _values(runs, key) for key in keys}
    members: dict[tuple[Value, ...], list[FinishedRun]] = {}
    for run in runs:
        members.setdefault(tuple(_value(run, key) for key in keys), []).append(run)
    groups = []
    for group, own in members.items():
        shown = [f"{key}={_shown(value, values[key])}" for key, value in zip(keys, group, strict=True)]
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
    """The group of that name, or the only one with the text in its name."""
    found = [group for group in groups if group.name == text] or [group for group in groups if text in group.name]
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
        holm({str(number): p_values[test] for number, p_values in enumerate(raw) if p_values}) for test in (0, 1)
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


def _tests(group: Group, base: Group | None, metric: str) -> tuple[float, float] | None:
    """P-values over queries, and over queries and seeds; `None` without the same queries on both sides."""
    own = _query_values(group.runs, _TRAINED, metric)
    other = (
        _query_values(group.runs, _ZERO_SHOT, metric) if base is None else _query_values(base.runs, _TRAINED, metric)
    )
    if own is None or other is None or own[0] != other[0]:
        return None
    a, b = own[1], other[1]
    same_seeds = base is None or {run.seed for run in group.runs} == {run.seed for run in base.runs}
    over_seeds = paired_bootstrap(a, b) if same_seeds else paired_bootstrap(a.mean(axis=0), b.mean(axis=0))
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


def _remarks(groups: Sequence[Group], base: Group | None, varying: Sequence[str], keys: Sequence[str]) -> list[str]:
    runs = [run for group in groups for run in group.runs]
    against = "its own encoder before training (zero-shot)" if base is None else base.name
    remarks = [
        f"Data {runs[0].data}: {runs[0].queries} test queries, each ranked over {runs[0].documents} documents.",
        "Figures are mean ± standard deviation over seeds; in brackets the encoder before training.",
        f"Differences are from {against}. p (queries): randomisation test on each query's mean over seeds. p (seeds): paired "
        "bootstrap, which draws seeds too where both sides have the same ones. Both are adjusted by Holm over all groups.",
    ]
    if any(spread.n == 1 for group in groups for spread in group.figures.values()):
        remarks.append("A group of one seed has no spread: run more, such as seed=1,2,3.")
    within = [key for key in varying if any(len(_values(group.runs, key)) > 1 for group in groups)]
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
    folder, corpus, queries = (settings.get(f"datamodule.{key}") for key in ("folder", *_MEASURED_KEYS))
    seeds = sorted({int(run.settings.get("datamodule.seed", run.seed)) for run in runs})
    if folder is None or not Path(folder).is_dir():
        return [], [
            f"BM25 and character TF-IDF are not measured: {folder} is no folder here (lexical=false asks for none)."
        ]
    try:
        return lexical_baselines(Path(folder), runs[0].data, str(corpus), queries, seeds), []
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
        who = f"every group (p at most {_number(worst, '.4f')})"
    else:
        who = "; ".join(
            f"{group.name} ({group.figures[metric].mean:.4f}, p = {_number(adjusted.get(group.name), '.4f')})"
            for group in beaten
        )
    return [f"{baseline.name} ({metric} {figure:.4f}), which needs no training, beats {who}."]


def _against(group: Group, baseline: Baseline, metric: str) -> float | None:
    own = _query_values(group.runs, _TRAINED, metric)
    if own is None or own[0] != baseline.queries:
        return None
    return randomisation_test(own[1].mean(axis=0), baseline.values[metric])


def _table(comparison: Comparison) -> Rows:
    header = [
        "group", "runs", "seeds", f"validation {comparison.metric}", *(f"{name} (zero-shot)" for name in comparison.metrics),
        "difference", "p (queries)", "p (seeds)", "seconds (training)",
    ]  # fmt: skip
    rows = [(np.inf, header)]
    for group in comparison.groups:
        figures = [_figure(group.figures[name], group.zero_shot.get(name)) for name in comparison.metrics]
        seeds, seconds = group.figures[comparison.metric].n, _number(group.seconds, ".0f")
        validation = _spread(group.validation.get(comparison.metric)) + " (chosen)" * (group is comparison.chosen)
        timed = f"{seconds} ({_number(group.training_seconds, '.0f')})"
        row = [group.name, str(len(group.runs)), str(seeds), validation, *figures, *_difference(group), timed]
        rows.append((group.figures[comparison.metric].mean, row))
    for own in comparison.baselines:
        figures = [_number(own.figures.get(name), ".4f") for name in comparison.metrics]
        row = [own.name, "-", "-", "-", *figures, "-", "-", "-", "-"]
        rows.append((own.figures.get(comparison.metric, -np.inf), row))
    return [row for _, row in sorted(rows, key=lambda placed: -placed[0])]


def _figure(figure: Spread, zero_shot: float | None) -> str:
    return f"{_spread(figure)} ({_number(zero_shot, '.4f')})"


def _spread(figure: Spread | None) -> str:
    if figure is None:
        return "-"
    return f"{figure.mean:.4f}" + (f" ± {figure.sd:.4f}" if figure.n > 1 else "")


def _difference(group: Group) -> list[str]:
    if group.difference is None:
        return ["-", "-", "-"]
    one = group.difference
    return [f"{one.mean:+.4f}", _number(one.p_queries, ".4f"), _number(one.p_seeds, ".4f")]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _run_table(comparison: Comparison) -> Rows:
    rows = [["run", "group", "seed", "validation", "test", "zero-shot", "seconds"]]
    for group in comparison.groups:
        for run in group.runs:
            before = run.zero_shot[comparison.metric] if run.zero_shot else None
            figures = (run.validation.get(comparison.metric), run.trained[comparison.metric], before)
            shown = [*(_number(figure, ".4f") for figure in figures), _number(run.seconds, ".0f")]
            rows.append([str(run.folder), group.name, str(run.seed), *shown])
    return rows


def _document(comparison: Comparison) -> str:
    unfinished = [f"- {folder}" for folder in comparison.unfinished]
    parts = [
        f"# {len(comparison.groups)} groups by {comparison.metric}",
        comparison.markdown(),
        *comparison.remarks,
        f"## Runs, by {comparison.metric}",
        markdown_table(_run_table(comparison)),
        *(["## Unfinished runs, not compared", "\n".join(unfinished)] if unfinished else []),
    ]
    return "\n\n".join(parts) + "\n"


def _csv(comparison: Comparison) -> str:
    """One row for each group, then one for each baseline, in full precision; what is not there is empty."""
    file = io.StringIO()
    rows = [_csv_row(comparison, group) for group in comparison.groups]
    rows += [
        {"group": own.name, **{f"{name}_mean": own.figures.get(name) for name in comparison.metrics}}
        for own in comparison.baselines
    ]
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _csv_row(comparison: Comparison, group: Group) -> dict[str, Any]:
    row: dict[str, Any] = {"group": group.name, "runs": len(group.runs), "seeds": group.figures[comparison.metric].n}
    for name in comparison.metrics:
        figure = group.figures[name]
        row |= {f"{name}_mean": figure.mean, f"{name}_sd": figure.sd if figure.n > 1 else None}
        row[f"{name}_zero_shot"] = group.zero_shot.get(name)
    one, validation = group.difference, group.validation.get(comparison.metric)
    row |= {
        "validation_mean": validation and validation.mean,
        "validation_sd": validation.sd if validation and validation.n > 1 else None,
        "chosen": int(group is comparison.chosen),
        "difference": one and one.mean,
        "p_queries": one and one.p_queries,
        "p_seeds": one and one.p_seeds,
        "seconds": group.seconds,
        "training_seconds": group.training_seconds,
    }
    return row


def _page(comparison: Comparison) -> str:
    parts = [
        f"<h1>{len(comparison.groups)} groups by {escape(comparison.metric)}</h1>",
        html_table(_table(comparison)),
        *(f"<p>{escape(remark)}</p>" for remark in comparison.remarks),
        side_by_side(comparison.charts()),
        f"<h2>Runs, by {escape(comparison.metric)}</h2>",
        html_table(_run_table(comparison)),
    ]
    if comparison.unfinished:
        items = "".join(f"<li>{escape(str(folder))}</li>" for folder in comparison.unfinished)
        parts.append(f"<h2>Unfinished runs, not compared</h2><ul>{items}</ul>")
    return page("Comparison of runs", parts)


def _charts(comparison: Comparison) -> list[Svg]:
    metric, runs = comparison.metric, [run for group in comparison.groups for run in group.runs]
    curves = [
        Series(group.name, _validation_curve(run.folder / "metrics.csv", metric))
        for group in comparison.groups
        for run in group.runs
    ]
    timed = [
        Series(group.name, [(run.seconds, run.trained[metric]) for run in group.runs if run.seconds is not None])
        for group in comparison.groups
    ]
    settings = {key: _Setting.of(runs, key) for key in comparison.varying}
    return [
        chart(f"Validation {metric} of each run by epoch (0: before training)", "epoch", curves, joined=True),
        *(_by_setting(setting, runs, metric) for setting in settings.values()),
        *_all_settings(list(settings.values()), runs, metric),
        chart(f"Test {metric} of each run by its seconds", "seconds", timed),
    ]


@dataclass(frozen=True)
class _Setting:
    """A key that varies, with the place of each run along its axis."""

    axis: Axis
    places: dict[Path, float]

    @classmethod
    def of(cls, runs: Sequence[FinishedRun], key: str) -> "_Setting":
        values = _values(runs, key)
        numbers = [value[0][1] for value in values if len(value) == 1 and isinstance(value[0][1], int | float)]
        if len(numbers) == len(values) > _PLACES:
            log = numbers[0] > 0 and numbers[-1] / numbers[0] >= _LOG_FROM
            return cls(Axis(key, None, log), {run.folder: float(run.settings[key]) for run in runs})
        shown = [_shown(value, values) for value in values]
        return cls(Axis(key, shown), {run.folder: float(values.index(_value(run, key))) for run in runs})


def _by_setting(setting: _Setting, runs: Sequence[FinishedRun], metric: str) -> Svg:
    axis, points = setting.axis, [(setting.places[run.folder], run.trained[metric]) for run in runs]
    places = dict.fromkeys(sorted(place for place, _ in points))
    means = [(place, float(np.mean([figure for at, figure in points if at == place]))) for place in places]
    # On a scale nearly every run has a value of its own, and there is nothing to average.
    series = [Series("one run", points), *([Series("mean", means)] if axis.places is not None else [])]
    return chart(f"Test {metric} by {axis.name}", axis.name, series, places=axis.places, log=axis.log)


def _all_settings(settings: Sequence[_Setting], runs: Sequence[FinishedRun], metric: str) -> list[Svg]:
    """Parallel coordinates; with a single key they would show what its own chart does."""
    if len(settings) < 2:
        return []
    lines = [
        (str(run.folder), [*(setting.places[run.folder] for setting in settings), run.trained[metric]]) for run in runs
    ]
    axes = [*(setting.axis for setting in settings), Axis(f"test {metric}")]
    return [parallel(f"Test {metric} of each run by all settings", axes, lines)]


def _validation_curve(path: Path, metric: str) -> list[tuple[float, float]]:
    """The metric at each validation by epochs trained; those of one epoch are taken to be evenly spaced."""
    rows = [row for row in _rows(path) if row.get(f"validation/{metric}")]
    trained = [row for row in rows if row["step"] != "0"]
    in_epoch, seen = Counter(row["epoch"] for row in trained), Counter[str]()
    curve = [(0.0, float(row[f"validation/{metric}"])) for row in rows if row["step"] == "0"]
    for row in trained:
        seen[row["epoch"]] += 1
        epochs = int(row["epoch"]) + seen[row["epoch"]] / in_epoch[row["epoch"]]
        curve.append((epochs, float(row[f"validation/{metric}"])))
    return curve
