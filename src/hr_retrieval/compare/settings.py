"""Which settings vary between finished runs, and how they are named."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from hr_retrieval.config.schema import config_dir, leaves
from hr_retrieval.runs.figures import FinishedRun

# Not compared: what a run is called, where it is written and shown. Seeds are what the spread is
# over.
_ASIDE = ("project", "output", "resume", "zero_shot", "test", "export", "logger")
# The leaves below a key, by their names relative to it; a leaf itself has the name "".
Value = tuple[tuple[str, Any], ...]


def varying_keys(runs: Sequence[FinishedRun]) -> list[str]:
    """Keys with different values; where different things are built, the key of the whole part."""
    keys = [
        key
        for key in dict.fromkeys(key for run in runs for key in run.settings)
        if key.split(".")[0] not in _ASIDE and key.split(".")[-1] != "seed" and len(values_of(runs, key)) > 1
    ]
    parts = [key.removesuffix("._target_") for key in keys if key.endswith("._target_")]
    whole = [part for part in parts if not _within_any(part, parts)]
    return [*whole, *(key for key in keys if not _within_any(key, whole))]


def _within_any(key: str, parts: Sequence[str]) -> bool:
    return any(key.startswith(f"{part}.") for part in parts)


def values_of(runs: Sequence[FinishedRun], key: str) -> list[Value]:
    """The distinct values of a key; numbers in ascending order, all else as it comes."""
    values = list(dict.fromkeys(value_of(run, key) for run in runs))
    if all(len(value) == 1 and isinstance(value[0][1], int | float) for value in values):
        return sorted(values, key=lambda value: float(value[0][1]))
    return values


def value_of(run: FinishedRun, key: str) -> Value:
    """What a run has for a key: a leaf, or the leaves below it but for seeds; empty where it is absent."""
    if key in run.settings:
        return (("", run.settings[key]),)
    below = {name.removeprefix(f"{key}."): leaf for name, leaf in run.settings.items() if name.startswith(f"{key}.")}
    return tuple((name, leaf) for name, leaf in below.items() if name.split(".")[-1] != "seed")


def shown_value(key: str, value: Value, values: Sequence[Value]) -> str:
    """A leaf as it is; a part by its option's name and what differs from others of that; `-` where it is absent."""
    own = dict(value)
    if not own or "" in own:
        return str(own.get("", "-"))
    name = _option(key, own)
    alike = [other for other in map(dict, values) if other and "" not in other and _option(key, other) == name]
    keys = dict.fromkeys(leaf for other in alike for leaf in other)
    differing = [leaf for leaf in keys if len({(leaf in other, other.get(leaf)) for other in alike}) > 1]
    options = [f"{leaf.removesuffix('._target_')}={_shown_leaf(key, own, leaf)}" for leaf in differing]
    return name + (f"({', '.join(options)})" if options else "")


def _shown_leaf(key: str, own: Mapping[str, Any], leaf: str) -> str:
    if leaf not in own or not leaf.endswith("._target_"):
        return str(own.get(leaf, "-"))
    part = leaf.removesuffix("_target_")
    below = {name.removeprefix(part): value for name, value in own.items() if name.startswith(part)}
    return _option(f"{key}.{part.removesuffix('.')}", below)


def _option(key: str, part: Mapping[str, Any]) -> str:
    """What a command line calls the part: the option of `configs/` that is nearest to it, else the
    name of its class.
    """
    target = str(part.get("_target_", ""))
    shared = {
        name: len(part.items() & own.items()) for name, own in _options(key).items() if own.get("_target_") == target
    }
    nearest = [name for name, count in shared.items() if count == max(shared.values())]
    return nearest[0] if len(nearest) == 1 else target.rsplit(".", 1)[-1]


@functools.cache
def _options(key: str) -> dict[str, dict[str, Any]]:
    """The leaves of each option that `configs/` has for a key."""
    files = sorted((Path(config_dir()) / key.replace(".", "/")).glob("*.yaml"))
    return {file.stem: leaves(OmegaConf.to_container(OmegaConf.load(file))) for file in files}
