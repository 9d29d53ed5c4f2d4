"""Which settings vary between finished runs, and how they are named."""

from collections.abc import Sequence
from typing import Any

from hr_retrieval.finished import FinishedRun

# Not compared: what a run is called, where it is written and shown. Seeds are what the spread is over.
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


def shown_value(value: Value, values: Sequence[Value]) -> str:
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
