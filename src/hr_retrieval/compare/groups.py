"""Finished runs in groups of equal settings: each metric's mean and spread over seeds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hr_retrieval.compare.settings import Value, shown_value, value_of, values_of
from hr_retrieval.retrieval.significance import Spread, spread
from hr_retrieval.runs.figures import FinishedRun


@dataclass(frozen=True)
class Difference:
    """A group against the baseline.

    Attributes:
        mean: mean metric of the group less that of the baseline.
        p_queries: of the randomisation test over queries, on each query's mean over seeds; adjusted
            by Holm over all groups; `None` without figures of the same queries on both sides.
        p_seeds: likewise of `crossed_test`, over seeds and queries, paired where both sides have
            the same seeds; `None` too where a side has a single seed.
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
        validation: each metric over seeds, on validation, of the same checkpoints; empty unless all
            runs took it down.
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


def groups_of(runs: Sequence[FinishedRun], keys: Sequence[str], metrics: Sequence[str]) -> list[Group]:
    """Runs with the same values of the keys, group by group as they come."""
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
    return spread(np.array(by_seed(runs, lambda run: figures(run)[metric])))


def by_seed(runs: Sequence[FinishedRun], value: Callable[[FinishedRun], Any]) -> list[Any]:
    """One value for each seed in ascending order: the mean over its runs."""
    seeds = sorted({run.seed for run in runs})
    return [np.mean([value(run) for run in runs if run.seed == seed], axis=0) for seed in seeds]


def _mean_of(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
