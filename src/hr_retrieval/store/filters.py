"""Conditions on what is said of documents: `city=Москва`, one of several, at least, at most."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hr_retrieval.errors import UserError

Value = str | int | float | bool
_BOUNDS = ("from", "to")


@dataclass(frozen=True)
class Condition:
    """On one column: its value is one of `among`, or lies from `least` to `most`, both included."""

    column: str
    among: tuple[Value, ...] = ()
    least: float | None = None
    most: float | None = None


def conditions(asked: Mapping[str, Any] | None, columns: Mapping[str, str]) -> tuple[Condition, ...]:
    """What is asked of each column: a value, a list of values, or `{from: 1, to: 2}` with one or both.

    Args:
        asked: by column.
        columns: the type of each column that there is, as in the manifest.

    Raises:
        UserError: there is no such column, or the condition does not fit its type.
    """
    found = []
    for column, wanted in (asked or {}).items():
        if column not in columns:
            there = f"There are: {', '.join(columns)}." if columns else "Index the documents with metadata columns."
            raise UserError("filters on columns that the index has", str(column), there)
        found.append(_condition(str(column), wanted, columns[column]))
    return tuple(found)


def _condition(column: str, wanted: Any, kind: str) -> Condition:
    if isinstance(wanted, Mapping):
        if kind != "number" or not wanted or set(wanted) - set(_BOUNDS):
            raise UserError(
                f"a filter {column}={{from: ..., to: ...}} on a column of numbers",
                f"{dict(wanted)} on one of {kind}",
                f"Write filters.{column}=<value> for one value.",
            )
        bounds = [None if wanted.get(name) is None else _number(column, wanted[name]) for name in _BOUNDS]
        return Condition(column, (), bounds[0], bounds[1])
    values = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
    if not values:
        raise UserError(f"a value for the filter {column}", "an empty list", f"Leave the filter {column} out.")
    return Condition(column, tuple(_value(column, value, kind) for value in values))


def _value(column: str, value: Any, kind: str) -> Value:
    if kind == "text" and isinstance(value, str | int | float):
        return str(value)
    if kind == "yes/no":
        known: dict[Any, bool] = {True: True, False: False, "true": True, "false": False}
        if isinstance(value, str | bool) and value in known:
            return known[value]
    if kind == "number":
        return _number(column, value)
    raise UserError(f"a value of {kind} for the filter {column}", repr(value), f"The column {column} holds {kind}.")


def _number(column: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise UserError(f"a number for the filter {column}", repr(value), f"The column {column} holds numbers.")
    return number


def expression(wanted: tuple[Condition, ...]) -> pc.Expression | None:
    """For tables in memory; a missing value fulfils nothing."""
    found: pc.Expression | None = None
    for one in wanted:
        own = pc.field(one.column)
        parts = [own.isin(pa.array(list(one.among)))] if one.among else []
        parts += [own >= one.least] if one.least is not None else []
        parts += [own <= one.most] if one.most is not None else []
        for part in parts:
            found = part if found is None else found & part
    return found


def sql(wanted: tuple[Condition, ...]) -> str | None:
    """The same for the table on disk."""
    parts = []
    for one in wanted:
        name = quoted_name(one.column)
        if one.among:
            parts.append(f"{name} IN ({', '.join(map(literal, one.among))})")
        if one.least is not None:
            parts.append(f"{name} >= {one.least!r}")
        if one.most is not None:
            parts.append(f"{name} <= {one.most!r}")
    return " AND ".join(parts) or None


def literal(value: Value) -> str:
    """A value as SQL has it; nothing in a text ends it early."""
    if isinstance(value, bool):
        return str(value).lower()
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


def quoted_name(column: str) -> str:
    """A column's name as the table's SQL has it."""
    return "`" + column.replace("`", "``") + "`"
