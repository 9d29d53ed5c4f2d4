"""What differs between groups, or between a group and a baseline without training, and whether by more than chance."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hr_retrieval.baselines.figures import Baseline
from hr_retrieval.compare.groups import Difference, Group, by_seed
from hr_retrieval.retrieval.significance import crossed_test, holm, randomisation_test
from hr_retrieval.runs.figures import FinishedRun, query_values

_TRAINED, _ZERO_SHOT = "per_query.parquet", "per_query_zero_shot.parquet"


def with_differences(groups: Sequence[Group], base: Group | None, metric: str) -> list[Group]:
    """The groups, each with its difference from the base, or from its own encoder before training."""
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


def p_against(group: Group, baseline: Baseline, metric: str) -> float | None:
    """P-value of the randomisation test on each query's mean over seeds; `None` without figures of the same queries."""
    own = _query_values(group.runs, _TRAINED, metric)
    if own is None or own[0] != baseline.queries:
        return None
    return randomisation_test(own[1].mean(axis=0), baseline.values[metric])


def _tests(group: Group, base: Group | None, metric: str) -> tuple[float, float | None] | None:
    """P-values over queries, and over queries and seeds if there are several; `None` without the
    same queries on both sides.
    """
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
        own = query_values(run.folder / file, metric)
        if own is None:
            return None
        ids[run.folder], values[run.folder] = own
    first = ids[runs[0].folder]
    if any(other != first for other in ids.values()):
        return None
    return first, np.stack(by_seed(runs, lambda run: values[run.folder]))
