"""Which strength of each strategy a validation split bears out: from none up, and none unless the
gain is beyond chance.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.hubness import hubness
from hr_retrieval.retrieval.metrics import per_query
from hr_retrieval.retrieval.mixing.base import RankingMixing
from hr_retrieval.retrieval.mixing.composition import Composition, Mixed
from hr_retrieval.retrieval.mixing.corpus import Corpus, Side
from hr_retrieval.retrieval.relevance import Relevance
from hr_retrieval.retrieval.significance import randomisation_test

# Shares of a strategy's full strength that are tried beside 0.
SHARES = (0.5, 1.0)
LEVEL = 0.05
# Places of a ranking in which hubs are counted.
_HUB_DEPTH = 10

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """Rankings of one set of queries, or of several sets together.

    Attributes:
        values: each metric of each query that has a relevant document.
        hubness: skewness of how often each document is among the best ten.
        weights: of the queries in the mean, whose own mean is 1.
    """

    values: dict[str, Values]
    hubness: float
    weights: Values

    def mean(self, metric: str) -> float:
        """The mean of a metric over the queries."""
        return float((self.values[metric] * self.weights).mean())


@dataclass(frozen=True)
class Task:
    """What the strategies are chosen on: queries to a corpus of their own.

    Attributes:
        share: of this task in the mean of all; the shares of all tasks sum to 1.
    """

    queries: Side
    corpus: Corpus
    relevance: Relevance
    share: float = 1.0


@dataclass(frozen=True)
class Worth:
    """A metric with a mixing and without, on the same queries.

    Attributes:
        metric: its name.
        queries: how many were measured.
        without: mean of the plain ranking.
        mixed: mean with the mixing.
        helped: queries that it raises.
        hurt: queries that it lowers.
        p: of a paired two-sided randomisation test over the queries.
        hubness: skewness of how often each document is among the best ten, without and with.
    """

    metric: str
    queries: int
    without: float
    mixed: float
    helped: int
    hurt: int
    p: float
    hubness: tuple[float, float]


@dataclass(frozen=True)
class Choice:
    """What validation has chosen.

    Attributes:
        mixing: of no parts where nothing gained beyond chance.
        tried: settings that were measured beside the plain ranking.
        worth: of the chosen one; its `p` is multiplied by `tried` (Bonferroni).
    """

    mixing: Composition
    tried: int
    worth: Worth


def measured(mixed: Mixed, relevance: Relevance) -> Measured:
    """Metrics of each query, and hubs, from exact ranks."""
    ranking = mixed.ranking(relevance, min(_HUB_DEPTH, len(mixed.documents)))
    values = per_query(ranking.ranks.cpu(), relevance.to("cpu"))
    own = {name: value.numpy() for name, value in values.items()}
    return Measured(own, hubness(ranking.rows, len(mixed.documents)), np.ones(len(own["mrr"])))


def together(parts: Sequence[Measured], shares: Sequence[float]) -> Measured:
    """Several sets of queries as one, whose means are the means by shares of theirs."""
    total = sum(len(part.weights) for part in parts)
    weights = [part.weights * (share * total / len(part.weights)) for part, share in zip(parts, shares, strict=True)]
    values = {name: np.concatenate([part.values[name] for part in parts]) for name in parts[0].values}
    hubs = sum(part.hubness * share for part, share in zip(parts, shares, strict=True))
    return Measured(values, hubs, np.concatenate(weights))


def worth(plain: Measured, mixed: Measured, metric: str) -> Worth:
    """What the mixing changes in a metric of the same queries."""
    before, after = (one.values[metric] * one.weights for one in (plain, mixed))
    # What rounding alone makes is no difference.
    apart = np.where(np.abs(after - before) < 1e-12, 0.0, after - before)
    p = randomisation_test(after, before) if apart.any() else 1.0
    return Worth(
        metric, len(before), float(before.mean()), float(after.mean()), int((apart > 0).sum()), int((apart < 0).sum()), p,
        (plain.hubness, mixed.hubness),
    )  # fmt: skip


def choose(offered: Composition, tasks: Sequence[Task], metric: str) -> Choice:
    """Strengths of the offered strategies, one strategy after the other, by the mean of a metric
    over validation queries; of several tasks, by the mean by their shares.

    Of each strategy the shares `SHARES` of its strength are tried on top of what has been chosen so
    far; the best one is taken if its gain is significant there, by a paired randomisation test over
    queries whose p-value is multiplied by the number of all settings tried (Bonferroni), and left
    out otherwise. Where the whole of what was chosen is not significantly better than no mixing by
    the same test, nothing is.

    Args:
        offered: each strategy at its full strength.
        tasks: validation queries to their corpora.

    Raises:
        UserError: the metric is unknown, or a strategy cannot be had for this corpus.
    """

    def ranked(mixing: Composition) -> Measured:
        parts = [measured(mixing(task.queries, task.corpus), task.relevance) for task in tasks]
        return together(parts, [task.share for task in tasks])

    plain = ranked(Composition())
    if metric not in plain.values:
        raise UserError(f"one of {', '.join(plain.values)}", metric, "Choose the metric that mixing is to raise.")
    tried = len(SHARES) * len(offered.parts)
    chosen, best = Composition(), plain
    for part in offered.parts:
        found = [(one, ranked(one)) for one in _candidates(chosen, part)]
        candidate, figures = max(found, key=lambda pair: pair[1].mean(metric))
        if _gains(worth(best, figures, metric), tried):
            chosen, best = candidate, figures
    whole = worth(plain, best, metric)
    if chosen.parts and not _gains(whole, tried):
        chosen, whole = Composition(), worth(plain, plain, metric)
    return Choice(chosen, tried, Worth(**{**vars(whole), "p": min(1.0, whole.p * max(tried, 1))}))


def _candidates(chosen: Composition, part: RankingMixing) -> Iterator[Composition]:
    return (Composition.of(*chosen.parts, part.scaled(share)) for share in SHARES)


def _gains(found: Worth, tried: int) -> bool:
    return found.mixed > found.without and found.p * tried < LEVEL
