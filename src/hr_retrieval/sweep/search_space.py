"""What a sweep may vary: Hydra's sweep overrides as Optuna's distributions."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from hr_retrieval.errors import UserError


@dataclass(frozen=True)
class SearchSpace:
    """The overrides of a sweep.

    Attributes:
        distributions: what varies, by key; a listed value is drawn as the text of its override.
        fixed: overrides that every trial has.
    """

    distributions: dict[str, BaseDistribution]
    fixed: tuple[str, ...]

    @classmethod
    def of(cls, overrides: Sequence[Override]) -> "SearchSpace":
        """Sort parsed overrides into what varies and what does not; of two with one key the later one holds.

        Raises:
            UserError: nothing varies, or a sweep has no values or bounds that do not fit.
        """
        last = {override.get_key_element(): override for override in overrides}
        varying = {key: _distribution(one) for key, one in last.items() if one.is_sweep_override()}
        if not varying:
            raise UserError(
                "something to sweep over",
                "one value for every key",
                "Give several, such as seed=1,2 or 'optimizer.lr=interval(1e-5,1e-3)'.",
            )
        return cls(varying, tuple(str(one.input_line) for one in last.values() if not one.is_sweep_override()))

    def overrides(self, values: Mapping[str, Any]) -> list[str]:
        """The overrides of what varies, for drawn values by key."""
        return [f"{key}={values[key]}" for key in self.distributions]

    def grid(self) -> list[dict[str, Any]]:
        """Every combination of values, the last key fastest."""
        for key, distribution in self.distributions.items():
            if not isinstance(distribution, CategoricalDistribution):
                raise UserError(
                    f"{key} to have single values in a grid",
                    "an interval",
                    f"Write {key}=a,b,c or range(...), or take hydra.sweeper.sampler=tpe.",
                )
        lists = map(_values, self.distributions.values())
        return [dict(zip(self.distributions, values, strict=True)) for values in itertools.product(*lists)]

    def samples(self) -> list[list[str]]:
        """As few sets of overrides as hold every listed value, and the bounds of every interval."""
        lists = {key: _values(distribution) for key, distribution in self.distributions.items()}
        return [
            [*self.fixed, *self.overrides({key: values[place % len(values)] for key, values in lists.items()})]
            for place in range(max(map(len, lists.values())))
        ]


def _distribution(override: Override) -> BaseDistribution:
    sweep = override.value()
    known = {"log"} if isinstance(sweep, IntervalSweep) else set()
    try:
        if unknown := getattr(sweep, "tags", known) - known:
            raise ValueError(f"the tag {', '.join(sorted(unknown))}")
        if isinstance(sweep, IntervalSweep):
            whole = isinstance(sweep.start, int) and isinstance(sweep.end, int)
            return (IntDistribution if whole else FloatDistribution)(sweep.start, sweep.end, log="log" in sweep.tags)
        if isinstance(sweep, RangeSweep) and isinstance(sweep.start + sweep.stop + sweep.step, float):
            # In the decimals that were written: Hydra 1.3 adds binary fractions, and ends
            # range(0.7,1.1,0.1) with 1.09.
            sweep.start, sweep.stop, sweep.step = (Decimal(str(one)) for one in (sweep.start, sweep.stop, sweep.step))
        # Sorted where they are shuffled: a sweep that goes on must have the values of its
        # beginning.
        texts = list(dict.fromkeys(override.sweep_string_iterator()))
        return CategoricalDistribution(sorted(texts) if getattr(sweep, "shuffle", False) else texts)
    except (ValueError, HydraException) as error:
        raise UserError(
            f"values to sweep over in {override.input_line}",
            f"what cannot be drawn from ({error})",
            "An interval goes from the lower to the higher bound, above 0 with tag(log,...), and has no other tag; "
            "a list has a value at least.",
        ) from error


def _values(distribution: BaseDistribution) -> Sequence[Any]:
    """The listed values, or the bounds of an interval."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return distribution.low, distribution.high
