"""How sure a metric or a difference between two systems is: resampling over queries and over seeds.

All functions take one value of a metric for each query, as from `per_query`, and are repeatable by their seed. With
`R` resamples no p-value is below `1 / (R + 1)`: the observed data count as one of them (Davison and Hinkley, Bootstrap
Methods and their Application, 1997, 4.2.5).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from hr_retrieval.errors import UserError

_RESAMPLES = 10_000
# Numbers drawn at a time: 32 MiB in float64.
_DRAWN = 1 << 22

Values = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Values]


@dataclass(frozen=True)
class Spread:
    """A metric over seeds: mean, standard deviation with `n - 1` (NaN for one seed), and number of seeds."""

    mean: float
    sd: float
    n: int


def bootstrap_interval(
    values: Float[np.ndarray, " Q"], confidence: float = 0.95, resamples: int = _RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of the mean over queries.

    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, 13.3.
    """
    _check(values, resamples)
    return _interval(_resampled_means(_as_seeds(values), resamples, seed), confidence)


def hierarchical_interval(
    values: Float[np.ndarray, "seeds Q"], confidence: float = 0.95, resamples: int = _RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """The same for several training seeds measured on the same queries: both are drawn with replacement.

    One draw of queries serves all drawn seeds, because the same queries are hard for all of them. With few seeds, say
    below five, the interval is too narrow.
    """
    _check(values.ravel(), resamples)
    return _interval(_resampled_means(_double(values), resamples, seed), confidence)


def paired_bootstrap(
    a: Float[np.ndarray, "*shape_a"], b: Float[np.ndarray, "*shape_b"], resamples: int = _RESAMPLES, seed: int = 0
) -> float:
    """Two-sided p-value that `a` and `b` have the same mean, by drawing queries with replacement.

    The differences are centred, so that the hypothesis holds for what is drawn (Sakai, Evaluating evaluation metrics
    based on the bootstrap, SIGIR 2006). The statistic is the mean difference. Of values `[seeds, Q]` the seeds are
    drawn too, as in `hierarchical_interval`.

    Raises:
        UserError: `a` and `b` differ in shape, or a value is not finite.
    """
    _check_pair(a, b, resamples)
    differences = _as_seeds(a) - _as_seeds(b)
    observed = float(differences.mean())
    return _p_value(_resampled_means(differences - observed, resamples, seed), observed)


def randomisation_test(
    a: Float[np.ndarray, "*shape_a"], b: Float[np.ndarray, "*shape_b"], resamples: int = _RESAMPLES, seed: int = 0
) -> float:
    """Two-sided p-value that the names of the systems may be swapped in each query (Fisher's randomisation test).

    Recommended for retrieval by Smucker, Allan and Carterette, A comparison of statistical significance tests for
    information retrieval evaluation, CIKM 2007. The statistic is the mean difference. Of values `[seeds, Q]` each
    query's mean over seeds is compared: this speaks of these seeds only.

    Raises:
        UserError: `a` and `b` differ in shape, or a value is not finite.
    """
    _check_pair(a, b, resamples)
    differences = (_as_seeds(a) - _as_seeds(b)).mean(axis=0)
    signed = _drawn(
        lambda generator, size: _flipped_means(differences, generator, size), resamples, seed, len(differences)
    )
    return _p_value(signed, float(differences.mean()))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p-values, by name: those below a level are significant with that chance of any false one among them all.

    Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics, 1979.
    """
    if any(not 0 <= value <= 1 for value in p_values.values()):
        raise UserError("p-values between 0 and 1", str(dict(p_values)), "Compute them anew.")
    adjusted, highest = {}, 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p_values}


def spread(values: Float[np.ndarray, " seeds"]) -> Spread:
    """Mean and standard deviation of one metric over seeds."""
    _check(values, 1)
    doubles = _double(values)
    sd = float(doubles.std(ddof=1)) if len(doubles) > 1 else float("nan")
    return Spread(float(doubles.mean()), sd, len(doubles))


def _double(values: Float[np.ndarray, "*shape"]) -> Values:
    return np.asarray(values, dtype=np.float64)


def _as_seeds(values: Float[np.ndarray, "*shape"]) -> Values:
    return np.atleast_2d(_double(values))


def _resampled_means(values: Values, resamples: int, seed: int) -> Values:
    """Means of drawn seeds `[s, Q]` on drawn queries; with one seed of drawn queries only."""
    seeds, queries = values.shape

    def draw(generator: np.random.Generator, size: int) -> Values:
        columns = generator.integers(queries, size=(size, queries))
        if seeds == 1:
            drawn: Values = values[0][columns].mean(axis=1)
            return drawn
        weights = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=size) / seeds
        by_seed = np.stack([row[columns].mean(axis=1) for row in values], axis=1)
        means: Values = (weights * by_seed).sum(axis=1)
        return means

    return _drawn(draw, resamples, seed, queries)


def _flipped_means(differences: Values, generator: np.random.Generator, size: int) -> Values:
    signs = generator.integers(2, size=(size, len(differences)), dtype=np.int8) * 2 - 1
    means: Values = signs @ differences / len(differences)
    return means


def _drawn(draw: Draw, resamples: int, seed: int, width: int) -> Values:
    """So many draws of `width` numbers each, in parts that fit in memory."""
    generator = np.random.default_rng(seed)
    step = max(1, _DRAWN // width)
    return np.concatenate([draw(generator, min(step, resamples - begin)) for begin in range(0, resamples, step)])


def _interval(means: Values, confidence: float) -> tuple[float, float]:
    if not 0 < confidence < 1:
        raise UserError("a confidence between 0 and 1", str(confidence), "Give .95 for 95 %.")
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _p_value(resampled: Values, observed: float) -> float:
    # Sums in another order differ in the last digits: an equal statistic must count as one that is as extreme.
    extreme = np.abs(resampled) >= abs(observed) * (1 - 1e-9) - 1e-15
    return float((extreme.sum() + 1) / (len(resampled) + 1))


def _check(values: Float[np.ndarray, " Q"], resamples: int) -> None:
    if not len(values) or not np.isfinite(values).all():
        raise UserError("at least one value, all finite", f"{len(values)} values", "Measure the system first.")
    if resamples < 1:
        raise UserError("at least one resample", str(resamples), "Use 10,000.")


def _check_pair(a: Float[np.ndarray, "*shape_a"], b: Float[np.ndarray, "*shape_b"], resamples: int) -> None:
    if a.shape != b.shape:
        raise UserError(
            "two systems measured on the same queries", f"values {a.shape} and {b.shape}", "Measure both on one split."
        )
    _check(a.ravel(), resamples)
    _check(b.ravel(), resamples)
