"""What a finished run has come to, with intervals, and in a sentence whether it is better than no training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hr_retrieval.baselines.systems import BASELINES
from hr_retrieval.retrieval import HEADLINE
from hr_retrieval.retrieval.significance import bootstrap_interval
from hr_retrieval.retrieval.verdict import verdict as verdict_of
from hr_retrieval.runs.figures import query_values

BEFORE = "before training"
_TRAINED = "per_query.parquet"


def lexical_file(baseline: str) -> str:
    """The file of the values by query of one of `BASELINES`."""
    return f"per_query_{baseline.lower().replace(' ', '_')}.parquet"


def files_of(summary: Mapping[str, Any]) -> dict[str, str]:
    """By the name of each measured system the file of its values by query, in the order of a table."""
    words = {name: lexical_file(name) for name in BASELINES}
    found = {name: file for name, file in words.items() if name in (summary.get("lexical") or {})}
    if summary.get("zero_shot"):
        found[BEFORE] = "per_query_zero_shot.parquet"
    if summary.get("without_mixing"):
        found["trained, without mixing"] = "per_query_without_mixing.parquet"
    return {**found, "trained": _TRAINED}


def figures_of(summary: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    """The test figures of each measured system by name, in the order of a table."""
    own = {BEFORE: "zero_shot", "trained, without mixing": "without_mixing", "trained": "trained"}
    words: Mapping[str, Mapping[str, float]] = summary.get("lexical") or {}
    return {name: summary[own[name]] if name in own else words[name] for name in files_of(summary)}


def headline_intervals(folder: Path, summary: Mapping[str, Any]) -> dict[str, list[float]]:
    """The 95 % interval of the first headline metric of each measured system, over queries."""
    found = {name: query_values(folder / file, HEADLINE[0]) for name, file in files_of(summary).items()}
    return {name: list(bootstrap_interval(values[1])) for name, values in found.items() if values is not None}


def verdict(folder: Path, summary: Mapping[str, Any]) -> str:
    """Whether the trained encoder ranks the test queries better than each other system, in a sentence."""
    metric = HEADLINE[0]
    own = query_values(folder / _TRAINED, metric)
    if own is None:
        return ""
    others = {name: query_values(folder / file, metric) for name, file in files_of(summary).items()}
    comparable = {
        name: values[1]
        for name, values in others.items()
        if values is not None and values[0] == own[0] and not name.startswith("trained")
    }
    return verdict_of("the trained encoder", own[1], comparable, metric)
