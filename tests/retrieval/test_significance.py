"""Intervals and tests against loops, exact enumeration and known cases."""

from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hr_retrieval.errors import UserError
from hr_retrieval.retrieval import significance
from hr_retrieval.retrieval.significance import bootstrap_interval, crossed_test, holm, randomisation_test, spread

Values = npt.NDArray[np.float64]
# Seeds, their standard deviation (as .006 where the rest has .12), most false alarms, least power.
SIZES = [
    (1, 0.0, 0.1, 0.75),
    (2, 0.0, 0.1, 0.4),
    (2, 0.1, 0.18, 0.2),
    (3, 0.0, 0.1, 0.5),
    (3, 0.1, 0.13, 0.35),
    (5, 0.1, 0.11, 0.55),
]


def sample(shape: int | tuple[int, ...], seed: int = 0, shift: float = 0.0) -> Values:
    return np.random.default_rng(seed).normal(shift, 1.0, shape)


def test_randomisation_matches_all_sign_flips() -> None:
    a, b = sample(8, 1, 0.6), sample(8, 2)
    observed = abs((a - b).mean())
    flips = [abs(sum(s * d for s, d in zip(signs, a - b, strict=True)) / 8) for signs in product((-1, 1), repeat=8)]
    exact = sum(value >= observed - 1e-12 for value in flips) / len(flips)
    assert randomisation_test(a, b, resamples=50_000) == pytest.approx(exact, abs=0.01)


def naive_squares(values: Values) -> tuple[float, float, float]:
    """Mean squares of the seeds, the queries and the rest, by the table of a two-way analysis of variance."""
    seeds, queries = values.shape
    mean = values.mean()
    of_seed = sum(queries * (row.mean() - mean) ** 2 for row in values) / (seeds - 1)
    of_query = sum(seeds * (column.mean() - mean) ** 2 for column in values.T) / (queries - 1)
    total = sum((value - mean) ** 2 for value in values.ravel())
    rest = total - (seeds - 1) * of_seed - (queries - 1) * of_query
    return of_seed, of_query, rest / ((seeds - 1) * (queries - 1))


@pytest.mark.parametrize("seed_sd", [0.0, 1.0])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_crossed_test_matches_the_analysis_of_variance(seeds: int, seed_sd: float) -> None:
    queries, a, b = 12, sample((seeds, 12), seeds, 0.4), sample((seeds, 12), 9)
    a += seed_sd * sample((seeds, 1), 30) - (1 - seed_sd) * ((a - b).mean(axis=1, keepdims=True) - 0.4)
    of_seed, of_query, rest = naive_squares(a - b)
    assert (of_seed > rest) == bool(seed_sd)
    terms = [(of_query, queries - 1)]
    if of_seed > rest:
        terms += [(of_seed, seeds - 1), (-rest, (seeds - 1) * (queries - 1))]
    square = sum(term for term, _ in terms)
    freedom = square**2 / sum(term**2 / own for term, own in terms)
    statistic = (a - b).mean() / (square / (seeds * queries)) ** 0.5
    assert crossed_test(a, b) == pytest.approx(2 * stats.t.sf(abs(statistic), freedom))
    assert crossed_test(b, a) == pytest.approx(crossed_test(a, b))


def test_one_seed_has_the_paired_t_test_over_queries() -> None:
    a, b = sample(20, 1, 0.5), sample(20, 2)
    expected = stats.ttest_rel(a, b).pvalue
    assert crossed_test(a, b) == pytest.approx(expected)
    assert crossed_test(a[None], b[None], paired=False) == pytest.approx(expected)


def test_unpaired_sides_have_seeds_of_their_own() -> None:
    """By Welch's formula where the queries are alike and only seeds differ."""
    a, b = sample((3, 1), 1, 1.0) + np.zeros(50), sample((4, 1), 2) + np.zeros(50)
    expected = stats.ttest_ind(a[:, 0], b[:, 0], equal_var=False).pvalue
    assert crossed_test(a, b, paired=False) == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(2, 9), st.integers(0, 999), st.booleans(), st.floats(0.01, 100.0))
def test_neither_order_nor_scale_changes_the_crossed_test(
    seeds: int, queries: int, seed: int, paired: bool, scale: float
) -> None:
    a, b = sample((seeds, queries), seed, 0.3), sample((seeds, queries), seed + 1)
    rows, columns = (np.random.default_rng(seed).permutation(size) for size in (seeds, queries))
    p_value = crossed_test(a, b, paired)
    assert 0 <= p_value <= 1
    assert crossed_test(a[rows][:, columns], b[rows][:, columns], paired) == pytest.approx(p_value)
    assert crossed_test(scale * a, scale * b, paired) == pytest.approx(p_value)


@pytest.mark.parametrize(("seeds", "seed_sd", "most", "power"), SIZES)
def test_the_crossed_test_has_its_size_and_power(seeds: int, seed_sd: float, most: float, power: float) -> None:
    """Standard deviations in the ratio that real runs have; the bounds are four standard errors
    around what to expect.
    """

    def rejected(shift: float) -> float:
        generator, error = np.random.default_rng(seeds), (0.34**2 + 1 / seeds + 400 * seed_sd**2 / seeds) ** 0.5 / 20
        draws = [
            shift * error
            + generator.normal(0, seed_sd, (seeds, 1))
            + generator.normal(0, 0.34, 400)
            + generator.normal(0, 1, (seeds, 400))
            for _ in range(400)
        ]
        return float(np.mean([crossed_test(values, np.zeros_like(values)) <= 0.05 for values in draws]))

    assert 0.01 <= rejected(0.0) <= most
    assert rejected(3.0) >= power


def test_bootstrap_interval_matches_all_draws() -> None:
    values = sample(5, 3)
    draws = [values[list(rows)].mean() for rows in product(range(5), repeat=5)]
    low, high = bootstrap_interval(values, confidence=0.9, resamples=50_000)
    assert (low, high) == pytest.approx(tuple(np.quantile(draws, [0.05, 0.95])), abs=0.03)


def test_seeds_that_disagree_about_the_winner_leave_it_open() -> None:
    queries = sample(200, 5)
    values, other = np.stack([queries - 1, queries, queries + 1]), np.tile(queries - 0.5, (3, 1))
    assert crossed_test(values, other) > 0.3
    assert crossed_test(values[:1] + 1, other[:1] + sample((1, 200), 6)) < 0.001


def test_same_and_clearly_different_systems() -> None:
    a = sample(100, 6)
    assert randomisation_test(a, a) == crossed_test(a, a) == 1.0
    assert randomisation_test(a + 1, a) == pytest.approx(1 / 10_001)
    assert randomisation_test(a, a + 1, resamples=99) == pytest.approx(1 / 100)
    assert crossed_test(np.ones((2, 9)), np.zeros((2, 9))) == 0.0
    assert crossed_test(np.ones((2, 1)), np.zeros((2, 1))) == 1.0
    assert crossed_test(a, a + 1e-15) == 1.0


def test_false_alarms_come_as_often_as_the_level() -> None:
    p_values = [randomisation_test(sample(40, 2 * i), sample(40, 2 * i + 1), resamples=199) for i in range(300)]
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
        crossed_test(np.ones(3), np.ones(4))
