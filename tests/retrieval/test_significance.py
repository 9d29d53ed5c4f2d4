"""Intervals and tests against loops, exact enumeration and known cases."""

from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.errors import UserError
from hr_retrieval.retrieval import significance
from hr_retrieval.retrieval.significance import (
    bootstrap_interval,
    hierarchical_interval,
    holm,
    paired_bootstrap,
    randomisation_test,
    spread,
)

Values = npt.NDArray[np.float64]


def sample(shape: int | tuple[int, ...], seed: int = 0, shift: float = 0.0) -> Values:
    return np.random.default_rng(seed).normal(shift, 1.0, shape)


def test_randomisation_matches_all_sign_flips() -> None:
    a, b = sample(8, 1, 0.6), sample(8, 2)
    observed = abs((a - b).mean())
    flips = [abs(sum(s * d for s, d in zip(signs, a - b, strict=True)) / 8) for signs in product((-1, 1), repeat=8)]
    exact = sum(value >= observed - 1e-12 for value in flips) / len(flips)
    assert randomisation_test(a, b, resamples=50_000) == pytest.approx(exact, abs=0.01)


def test_paired_bootstrap_matches_all_draws() -> None:
    a, b = sample(5, 1, 0.8), sample(5, 2)
    observed = (a - b).mean()
    centred = a - b - observed
    draws = [abs(sum(centred[list(rows)]) / 5) for rows in product(range(5), repeat=5)]
    exact = sum(value >= abs(observed) - 1e-12 for value in draws) / len(draws)
    assert paired_bootstrap(a, b, resamples=50_000) == pytest.approx(exact, abs=0.01)


def test_bootstrap_interval_matches_all_draws() -> None:
    values = sample(5, 3)
    draws = [values[list(rows)].mean() for rows in product(range(5), repeat=5)]
    low, high = bootstrap_interval(values, confidence=0.9, resamples=50_000)
    assert (low, high) == pytest.approx(tuple(np.quantile(draws, [0.05, 0.95])), abs=0.03)


def test_hierarchical_interval_matches_all_draws() -> None:
    values = sample((3, 3), 4)
    draws = [
        np.mean([values[seed][list(rows)].mean() for seed in seeds])
        for seeds in product(range(3), repeat=3)
        for rows in product(range(3), repeat=3)
    ]
    low, high = hierarchical_interval(values, confidence=0.9, resamples=50_000)
    assert (low, high) == pytest.approx(tuple(np.quantile(draws, [0.05, 0.95])), abs=0.03)


def test_seeds_that_differ_widen_the_interval() -> None:
    queries = sample(200, 5)
    values = np.stack([queries - 1, queries, queries + 1])
    low, high = hierarchical_interval(values)
    narrow_low, narrow_high = bootstrap_interval(values.mean(axis=0))
    assert high - low > 2 * (narrow_high - narrow_low)
    assert paired_bootstrap(values, np.tile(queries - 0.5, (3, 1))) > 0.05
    assert paired_bootstrap(values.mean(axis=0), queries - 0.5) < 0.001


def test_same_and_clearly_different_systems() -> None:
    a = sample(100, 6)
    for test in (paired_bootstrap, randomisation_test):
        assert test(a, a) == 1.0
        assert test(a + 1, a) == pytest.approx(1 / 10_001)
        assert test(a, a + 1, resamples=99) == pytest.approx(1 / 100)


def test_false_alarms_come_as_often_as_the_level() -> None:
    for test in (paired_bootstrap, randomisation_test):
        p_values = [test(sample(40, 2 * i), sample(40, 2 * i + 1), resamples=199) for i in range(300)]
        assert 0.02 < np.mean(np.array(p_values) <= 0.05) < 0.09


def test_several_seeds_of_the_randomisation_test_are_means() -> None:
    a, b = sample((3, 30), 1, 0.2), sample((3, 30), 2)
    assert randomisation_test(a, b) == randomisation_test(a.mean(axis=0), b.mean(axis=0))


def test_interval_covers_the_mean_and_grows_with_confidence() -> None:
    values = sample(50, 7)
    low, high = bootstrap_interval(values)
    wide_low, wide_high = bootstrap_interval(values, confidence=0.99)
    assert wide_low < low < values.mean() < high < wide_high
    assert bootstrap_interval(np.ones(5)) == (1.0, 1.0)


def test_seed_and_resamples_change_the_draw_and_memory_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = sample(30, 1, 0.3), sample(30, 2)
    for function in (
        lambda **options: bootstrap_interval(a, **options),
        lambda **options: paired_bootstrap(a, b, **options),
        lambda **options: randomisation_test(a, b, **options),
    ):
        assert function(seed=1) == function(seed=1)
        assert function(seed=1) != function(seed=2)
        assert function(resamples=100) != function(resamples=101)
    whole = bootstrap_interval(a)
    monkeypatch.setattr(significance, "_DRAWN", 1000)
    assert bootstrap_interval(a) == whole


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), max_size=6), st.floats(0.001, 0.5))
def test_holm_matches_the_stepwise_rule(p_values: dict[str, float], level: float) -> None:
    adjusted = holm(p_values)
    rejected = set()
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        if (len(p_values) - place) * p_values[name] > level:
            break
        rejected.add(name)
    assert {name for name, value in adjusted.items() if value <= level} == rejected
    assert list(adjusted) == list(p_values)
    assert all(p_values[name] <= value <= 1 for name, value in adjusted.items())


def test_spread_over_seeds() -> None:
    values = spread(np.array([0.1, 0.2, 0.6]))
    assert (values.mean, values.n) == (pytest.approx(0.3), 3)
    assert values.sd == pytest.approx(((0.2**2 + 0.1**2 + 0.3**2) / 2) ** 0.5)
    assert np.isnan(spread(np.array([0.5])).sd)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(UserError, match="at least one value"):
        bootstrap_interval(np.zeros(0))
    with pytest.raises(UserError, match="all finite"):
        randomisation_test(np.array([0.1, np.nan]), np.ones(2))
    with pytest.raises(UserError, match="at least one resample"):
        bootstrap_interval(np.ones(3), resamples=0)
    with pytest.raises(UserError, match="between 0 and 1"):
        bootstrap_interval(np.ones(3), confidence=95.0)
    with pytest.raises(UserError, match="p-values between 0 and 1"):
        holm({"a": 1.5})
    with pytest.raises(UserError, match="the same queries"):
        paired_bootstrap(np.ones(3), np.ones(4))
