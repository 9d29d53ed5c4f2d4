"""What a sweep may vary: Hydra's sweep overrides as Optuna's distributions."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from hr_retrieval.errors import UserError


@dataclass(frozen=True)
class Parameter:
    """One key that varies.

    Attributes:
        key: as in an override, with its prefix.
        distribution: what Optuna draws from; a choice is drawn as the text of its override.
        values: every value, or `None` where they are a continuum or an interval of integers.
    """

    key: str
    distribution: BaseDistribution
    values: tuple[Any, ...] | None

    def override(self, value: Any) -> str:
        """The override that sets the key to a drawn value."""
        # A stepped range draws 0.30000000000000004, which Hydra writes as 0.3.
        near = min(self.values, key=lambda known: abs(known - value)) if _is_number(value) and self.values else value
        return f"{self.key}={near}"


@dataclass(frozen=True)
class SearchSpace:
    """The overrides of a sweep.

    Attributes:
        parameters: what varies, by key.
        fixed: overrides that every trial has.
    """

    parameters: Mapping[str, Parameter]
    fixed: tuple[str, ...]

    @classmethod
    def of(cls, overrides: Sequence[Override]) -> "SearchSpace":
        """Sort parsed overrides into what varies and what does not; of two with one key the later one holds.

        Raises:
            UserError: nothing varies, or a sweep has no values or bounds that do not fit.
        """
        last = {override.get_key_element(): override for override in overrides}
        parameters = {key: _parameter(key, one) for key, one in last.items() if one.is_sweep_override()}
        if not parameters:
            raise UserError(
                "something to sweep over",
                "one value for every key",
                "Give several, such as seed=1,2 or 'optimizer.lr=interval(1e-5,1e-3)'.",
            )
        return cls(parameters, tuple(str(one.input_line) for one in last.values() if not one.is_sweep_override()))

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """What Optuna draws from, by key."""
        return {key: parameter.distribution for key, parameter in self.parameters.items()}

    def overrides(self, values: Mapping[str, Any]) -> list[str]:
        """The overrides of what varies, for drawn values by key."""
        return [parameter.override(values[key]) for key, parameter in self.parameters.items()]

    def grid(self) -> Iterator[dict[str, Any]]:
        """Every combination of values, the last key fastest.

        Raises:
            UserError: a key has no list of values.
        """
        for key, parameter in self.parameters.items():
            if parameter.values is None:
                raise UserError(
                    f"{key} to have single values in a grid",
                    "an interval",
                    f"Write {key}=a,b,c or range(...), or take hydra.sweeper.sampler=tpe.",
                )
        lists = [parameter.values or () for parameter in self.parameters.values()]
        return (dict(zip(self.parameters, values, strict=True)) for values in itertools.product(*lists))

    def samples(self) -> list[list[str]]:
        """As few sets of overrides as hold every listed value, and the bounds of every interval."""
        lists = {key: parameter.values or _bounds(parameter.distribution) for key, parameter in self.parameters.items()}
        longest = max(len(values) for values in lists.values())
        return [
            [*self.fixed, *self.overrides({key: values[place % len(values)] for key, values in lists.items()})]
            for place in range(longest)
        ]

    def describe(self) -> dict[str, Any]:
        """What makes two sweeps the same search, as JSON."""
        return {
            "parameters": {key: str(distribution) for key, distribution in self.distributions.items()},
            "fixed": sorted(self.fixed),
        }


def _parameter(key: str, override: Override) -> Parameter:
    sweep = override.value()
    try:
        if isinstance(sweep, IntervalSweep):
            return Parameter(key, _interval(sweep), None)
        if isinstance(sweep, RangeSweep):
            return _range(key, sweep)
        # Shuffled values would come in another order when the sweep goes on; the sampler draws at random anyway.
        texts = list(dict.fromkeys(override.sweep_string_iterator()))
        values = tuple(sorted(texts) if getattr(sweep, "shuffle", False) else texts)
        return Parameter(key, CategoricalDistribution(values), values)
    except (ValueError, ArithmeticError) as error:
        raise UserError(
            f"values to sweep over in {override.input_line}",
            f"what Optuna refuses ({error})",
            "An interval goes from the lower to the higher bound, above 0 with tag(log,...); a choice has a value at least.",
        ) from error


def _interval(sweep: IntervalSweep) -> BaseDistribution:
    low, high, log = sweep.start, sweep.end, "log" in sweep.tags
    assert low is not None
    assert high is not None
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _range(key: str, sweep: RangeSweep) -> Parameter:
    # In decimal numbers as they were written: Hydra itself adds binary fractions, and means 0.8 by 0.7999999999999999.
    start, stop, step = (Decimal(str(bound)) for bound in (sweep.start, sweep.stop, sweep.step))
    numbers = sorted(start + place * step for place in range(max(0, math.ceil((stop - start) / step))))
    if not numbers or "log" in sweep.tags:
        raise ValueError("a range is evenly spaced and not empty")
    if all(isinstance(bound, int) for bound in (sweep.start, sweep.stop, sweep.step)):
        integers = tuple(int(number) for number in numbers)
        return Parameter(key, IntDistribution(integers[0], integers[-1], step=abs(int(step))), integers)
    floats = tuple(float(number) for number in numbers)
    return Parameter(key, FloatDistribution(floats[0], floats[-1], step=abs(float(step))), floats)


def _bounds(distribution: BaseDistribution) -> tuple[Any, Any]:
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return distribution.low, distribution.high


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)
