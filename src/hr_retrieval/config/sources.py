"""Several options of `data=` in one command: how they are composed, and which data sets a config names."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from hr_retrieval.errors import UserError

_LIST = re.compile(r"data=.*\[", re.DOTALL)
# Sources have the names that a user gives them, so that none stands in a config before.
_OF_SOURCE = "datamodule.sources."


def composable(arguments: Sequence[str]) -> list[str]:
    """The arguments with `data=[a,b]` as Hydra composes it: the option `a` at `data.a`, and `b` at
    `data.b`; and keys of sources as those that are added.

    Raises:
        UserError: the list is empty, names an option twice, or is one of several values of a sweep.
    """
    return [word for argument in arguments for word in _composable(argument)]


def _composable(argument: str) -> list[str]:
    if not _LIST.match(argument):
        return [f"++{argument}" if argument.startswith(_OF_SOURCE) else argument]
    value = OverridesParser.create().parse_override(argument).value()
    if not isinstance(value, list):
        raise UserError(
            "one list of options of data= in a command",
            argument,
            "A sweep goes over other keys, such as seed=1,2; compare lists by a command each.",
        )
    names = [str(name) for name in value]
    again = next((name for name in names if names.count(name) > 1), None)
    if not names or again is not None:
        raise UserError(
            "a list of different options of data=",
            argument,
            "Name at least one."
            if again is None
            else f"Give the second a place of its own: data=[...] +data@data.second={again} data.second.name=second.",
        )
    if len(names) == 1:
        return [f"data={names[0]}"]
    return ["~data", *(f"+data@data.{name}={name}" for name in names)]


def data_nodes(data: Mapping[str, Any]) -> list[Any]:
    """What `data` of a composed config describes: itself, or each of several data sets in their order."""
    return [data] if "_target_" in data else list(data.values())


def folders(data: Mapping[str, Any]) -> Any:
    """Where these data sets lie: one folder, or a list of several."""
    return data["folder"] if "_target_" in data else [node["folder"] for node in data.values()]


def listed(folder: str | Iterable[str]) -> list[str]:
    """One folder, or several, as a list."""
    return [folder] if isinstance(folder, str) else [str(one) for one in folder]
