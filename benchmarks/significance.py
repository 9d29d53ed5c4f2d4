"""How often the test over seeds and queries finds a difference that is not there, and one that is.

    python -m benchmarks.significance [--repetitions 2000]

Differences of two systems are drawn as `crossed_test` models them, for 1,739 queries with the
standard deviations that real runs of the built-in set had: .0405 over queries, .12 of the rest, and
0 to .006 over seeds. `false alarms` is the share of p-values up to .05 where the mean difference is
0, at best .05; `power` where it is three of its standard errors. A z-test, which knows the standard
deviations, has a power of .85. The last line says what any test could reach. A minute.
"""

import argparse
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2, norm

from hr_retrieval.retrieval.significance import crossed_test

QUERIES, QUERY_SD, REST_SD = 1739, 0.0405, 0.12
SEED_SDS = (0.0, 0.002, 0.004, 0.006)
SEEDS = (1, 2, 3, 5, 10)
LEVEL, SHIFT = 0.05, 3.0

Values = npt.NDArray[np.float64]
Test = Callable[[Values, Values], float]


def main() -> None:
    """Draw, test, count and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=2000)
    repetitions = parser.parse_args().repetitions
    print("| seeds | standard deviation over seeds | false alarms | power |")
    print("|---:|---:|---:|---:|")
    for seeds in SEEDS:
        for seed_sd in SEED_SDS:
            alarms, power = (rejections(crossed_test, seeds, seed_sd, shift, repetitions) for shift in (0.0, SHIFT))
            print(f"| {seeds} | {seed_sd:g} | {alarms:.3f} | {power:.2f} |", flush=True)
    best = ", ".join(f"{seeds} seeds {most_power(seeds, SEED_SDS[-1]):.2f}" for seeds in SEEDS[1:])
    print(
        f"\nOf tests with {LEVEL:g} false alarms at {SEED_SDS[-1]:g}, the most powerful one where seeds make no difference: {best}."
    )


def rejections(
    test: Test, seeds: int, seed_sd: float, shift: float, repetitions: int, queries: int = QUERIES, seed: int = 0
) -> float:
    """Share of p-values up to `LEVEL`, for a mean difference of `shift` standard errors."""
    generator = np.random.default_rng(seed)
    mean = shift * (_query_variance(seeds, queries) + seed_sd**2 / seeds) ** 0.5
    rejected = 0
    for _ in range(repetitions):
        values = mean + generator.normal(0.0, seed_sd, (seeds, 1)) + generator.normal(0.0, QUERY_SD, queries)
        values += generator.normal(0.0, REST_SD, (seeds, queries))
        rejected += test(values, np.zeros_like(values)) <= LEVEL
    return rejected / repetitions


def most_power(seeds: int, seed_sd: float, draws: int = 1_000_000) -> float:
    """Power, where seeds make no difference, of the likelihood ratio test that has `LEVEL` false
    alarms at this deviation.

    By the lemma of Neyman and Pearson no other has more, even with all standard deviations but that
    over seeds known.
    """
    generator = np.random.default_rng(0)
    freedom, ratio = seeds - 1, 1 + QUERIES * seed_sd**2 / REST_SD**2
    error, wide = ((_query_variance(seeds, QUERIES) + own**2 / seeds) ** 0.5 for own in (0.0, seed_sd))

    def likelihood_ratio(means: Values, squares: Values) -> Values:
        ours = norm.pdf(means, SHIFT * error, error) + norm.pdf(means, -SHIFT * error, error)
        other = 2 * norm.pdf(means, 0, wide)
        result: Values = ours * chi2.pdf(squares, freedom) / (other * chi2.pdf(squares / ratio, freedom) / ratio)
        return result

    squares = generator.chisquare(freedom, draws)
    bound = np.quantile(likelihood_ratio(generator.normal(0, wide, draws), ratio * squares), 1 - LEVEL)
    return float((likelihood_ratio(generator.normal(SHIFT * error, error, draws), squares) > bound).mean())


def _query_variance(seeds: int, queries: int) -> float:
    """Of the mean difference, but for what the seeds add."""
    return (QUERY_SD**2 + REST_SD**2 / seeds) / queries


if __name__ == "__main__":
    main()
