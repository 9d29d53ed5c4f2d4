"""Sweep overrides become distributions, and drawn values become overrides."""

import itertools

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from hr_retrieval.errors import UserError
from hr_retrieval.sweep.search_space import SearchSpace


def space(*lines: str) -> SearchSpace:
    return SearchSpace.of(OverridesParser.create().parse_overrides(list(lines)))


@pytest.mark.parametrize(
    ("value", "distribution"),
    [
        ("1,1,2", CategoricalDistribution(("1", "2"))),
        ("choice(none,anchor)", CategoricalDistribution(("none", "anchor"))),
        ("shuffle(choice(b,a))", CategoricalDistribution(("a", "b"))),
        ("'a b','c,d'", CategoricalDistribution(("'a b'", "'c,d'"))),
        ("[1,2],[3]", CategoricalDistribution(("[1,2]", "[3]"))),
        ("range(5,1,-2)", CategoricalDistribution(("5", "3"))),
        ("range(0.7,1.1,0.1)", CategoricalDistribution(("0.7", "0.8", "0.9", "1.0"))),
        ("range(1,2,0.5)", CategoricalDistribution(("1.0", "1.5"))),
        ("interval(1,5)", FloatDistribution(1.0, 5.0)),
        ("int(interval(1,5))", IntDistribution(1, 5)),
        ("tag(log,interval(1e-5,1e-3))", FloatDistribution(1e-5, 1e-3, log=True)),
        ("tag(log,int(interval(1,64)))", IntDistribution(1, 64, log=True)),
    ],
)
def test_a_sweep_of_the_grammar_is_this_distribution(value: str, distribution: BaseDistribution) -> None:
    assert space(f"x={value}").distributions == {"x": distribution}


def test_what_has_one_value_is_fixed_and_the_later_override_of_a_key_holds() -> None:
    found = space("a=1,2", "b=3", "+c.d=[4,5]", "a=6,7", "b=8", "~e", "g@h=x,y")
    assert found.fixed == ("b=8", "+c.d=[4,5]", "~e")
    assert found.overrides({"a": "6", "g@h": "x"}) == ["a=6", "g@h=x"]
    assert list(space("a=1,2", "a=3", "b=1,2").distributions) == ["b"]


@given(start=st.integers(-50, 50), count=st.integers(1, 20), step=st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_a_range_holds_the_decimals_that_are_meant(start: int, count: int, step: int) -> None:
    """Naive twin: the tenths as integers."""
    found = space(f"x=range({start / 10},{(start + count * step) / 10},{step / 10})")
    assert found.grid() == [{"x": str((start + place * step) / 10)} for place in range(count)]


def test_the_grid_is_every_combination_with_the_last_key_fastest() -> None:
    found = space("x=a,b", "seed=range(1,4)", "z=0")
    assert found.grid() == [{"x": x, "seed": seed} for x in ("a", "b") for seed in ("1", "2", "3")]
    with pytest.raises(UserError, match="an interval"):
        space("x=1,2", "lr=interval(0,1)").grid()


def test_the_samples_hold_every_value_and_bound_once_at_least() -> None:
    samples = space("x=a,b,c", "lr=interval(0.5,1.5)", "z=0").samples()
    assert len(samples) == 3
    assert all(sample[0] == "z=0" for sample in samples)
    assert {"x=a", "x=b", "x=c", "lr=0.5", "lr=1.5"} <= set(itertools.chain(*samples))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("x=1", "one value for every key"),
        ("x=interval(2.0,1.0)", "x=interval"),
        ("x=tag(log,interval(0.0,1.0))", "x=tag"),
        ("x=tag(lgo,interval(0.1,1.0))", "the tag lgo"),
        ("x=tag(log,choice(1,2))", "the tag log"),
        ("x=range(3,3)", "x=range"),
        ("x=range(1,3,0.0)", "x=range"),
    ],
)
def test_what_cannot_be_swept_is_named(line: str, said: str) -> None:
    with pytest.raises(UserError, match=said.replace("(", "\\(")):
        space(line)
