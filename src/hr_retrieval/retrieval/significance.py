"""How sure a metric or a difference between two systems is: over queries by resampling, over seeds by their variance.

All functions take one value of a metric for each query, as from `per_query`. What is resampled is
repeatable by its seed, and with `R` resamples no p-value is below `1 / (R + 1)`: the observed data
count as one of them (Davison and Hinkley, Bootstrap Methods and their Application, 1997, 4.2.5).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float
from scipy.special import stdtr

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

    def __str__(self) -> str:
        return f"{self.mean:.4f}" + (f" ± {self.sd:.4f}" if self.n > 1 else "")


def bootstrap_interval(
    values: Float[np.ndarray, " Q"], confidence: float = 0.95, resamples: int = _RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of the mean over queries.

    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, 13.3.
    """
    _check(values, resamples)
    doubles = _double(values)
    means = _in_blocks(
        lambda generator, size: _resampled_means(doubles, generator, size), resamples, seed, len(doubles)
    )
    return _interval(means, confidence)


def crossed_test(a: Float[np.ndarray, "*shape_a"], b: Float[np.ndarray, "*shape_b"], paired: bool = True) -> float:
    """Two-sided p-value that `a` and `b` have the same mean over all seeds and queries, of which these are a sample.

    The difference of `n` seeds in `Q` queries is `d_sq = mean + seed_s + query_q + rest_sq`, two
    crossed random effects (Searle, Casella and McCulloch, Variance Components, 1992, ch. 4). With
    the mean squares of the seeds, the queries and the rest, its mean has the variance

        (MS_query + max(MS_seed - MS_rest, 0)) / (n Q)

    and over its root is `t` distributed with the degrees of freedom of Satterthwaite (Biometrics
    Bulletin, 1946). To draw seeds and queries with replacement would count the rest up to three
    times (McCullagh, Resampling and exchangeable arrays, Bernoulli, 2000).
    `benchmarks.significance` shows the size: with two seeds that truly differ, up to twice the
    level.

    Args:
        a: values `[n, Q]`, or `[Q]` of one seed, which has no variance: the p-value then speaks of
            this seed only, and is that of the paired t-test over queries.
        b: likewise.
        paired: whether row `i` of both is of one seed. If not, the numbers of seeds may differ, and
            the seeds of each side have a variance of their own.

    Raises:
        UserError: `a` and `b` are not of the same queries (and, if paired, seeds), or a value is
            not finite.
    """
    ours, theirs = _as_seeds(a), _as_seeds(b)
    _check_pair(ours, theirs, 1, slice(None) if paired else slice(-1, None))
    differences = ours.mean(axis=0) - theirs.mean(axis=0)
    mean, queries = float(differences.mean()), len(differences)
    # What rounding alone makes is no difference, and one query has no variance.
    if abs(mean) < 1e-12 or queries < 2:
        return 1.0
    terms = [(float(differences.var(ddof=1)) / queries, queries - 1)]
    for values in [ours - theirs] if paired else [ours, theirs]:
        terms += _seed_terms(values)
    variance = sum(term for term, _ in terms)
    if variance == 0:
        return 0.0
    freedom = variance**2 / sum(term**2 / own for term, own in terms)
    return float(2 * stdtr(freedom, -abs(mean) / variance**0.5))


def randomisation_test(
    a: Float[np.ndarray, "*shape_a"], b: Float[np.ndarray, "*shape_b"], resamples: int = _RESAMPLES, seed: int = 0
) -> float:
    """Two-sided p-value that the names of the systems may be swapped in each query (Fisher's randomisation test).

    Recommended for retrieval by Smucker, Allan and Carterette, A comparison of statistical
    significance tests for information retrieval evaluation, CIKM 2007. The statistic is the mean
    difference. Of values `[seeds, Q]` each query's mean over seeds is compared: this speaks of
    these seeds only.

    Raises:
        UserError: `a` and `b` differ in shape, or a value is not finite.
    """
    _check_pair(a, b, resamples)
    differences = (_as_seeds(a) - _as_seeds(b)).mean(axis=0)
    signed = _in_blocks(
        lambda generator, size: _flipped_means(differences, generator, size), resamples, seed, len(differences)
    )
    return _p_value(signed, float(differences.mean()))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p-values, by name: those below a level are significant with that chance of any false one among them all.

    Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of
    Statistics, 1979.
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


def _seed_terms(values: Values) -> list[tuple[float, int]]:
    """What the seeds `[n, Q]` add to the variance of the mean: mean squares over `n Q` with their
    degrees of freedom.
    """
    seeds, queries = values.shape
    if seeds == 1:
        return []
    means = values.mean(axis=1, keepdims=True)
    rest = values - means - values.mean(axis=0) + values.mean()
    rest_freedom = (seeds - 1) * (queries - 1)
    by_seed, by_rest = queries * float(means.var(ddof=1)), float(np.square(rest).sum()) / rest_freedom
    if by_seed <= by_rest:
        return []
    return [(by_seed / (seeds * queries), seeds - 1), (-by_rest / (seeds * queries), rest_freedom)]


def _resampled_means(values: Values, generator: np.random.Generator, size: int) -> Values:
    means: Values = values[generator.integers(len(values), size=(size, len(values)))].mean(axis=1)
    return means


def _flipped_means(differences: Values, generator: np.random.Generator, size: int) -> Values:
    signs = generator.integers(2, size=(size, len(differences)), dtype=np.int8) * 2 - 1
    means: Values = signs @ differences / len(differences)
    return means


def _in_blocks(draw: Draw, resamples: int, seed: int, width: int) -> Values:
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
    # Sums in another order differ in the last digits: an equal statistic must count as one that is
    # as extreme.
    extreme = np.abs(resampled) >= abs(observed) * (1 - 1e-9) - 1e-15
    return float((extreme.sum() + 1) / (len(resampled) + 1))


def _check(values: Float[np.ndarray, " Q"], resamples: int) -> None:
    if not len(values) or not np.isfinite(values).all():
        raise UserError("at least one value, all finite", f"{len(values)} values", "Measure the system first.")
    if resamples < 1:
        raise UserError("at least one resample", str(resamples), "Use 10,000.")


def _check_pair(
    a: Float[np.ndarray, "*shape_a"], b: Float[np.ndarray, "*shape_b"], resamples: int, alike: slice = slice(None)
) -> None:
    """Raise `UserError` unless these axes of both have one size, and all is finite."""
    if a.shape[alike] != b.shape[alike]:
        raise UserError(
            "two systems measured on the same queries", f"values {a.shape} and {b.shape}", "Measure both on one split."
        )
    _check(a.ravel(), resamples)
    _check(b.ravel(), resamples)
