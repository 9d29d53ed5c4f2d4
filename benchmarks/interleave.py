"""Timing of rivals in turn, so that what the machine does besides hits all of them alike."""

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from hr_retrieval.markdown import markdown_table
from hr_retrieval.time.timing import machine


@dataclass(frozen=True)
class Timing:
    """Seconds a call of one rival.

    Attributes:
        median: over the rounds.
        low: the fastest round.
        high: the slowest round.
        rounds: how many there were.
        busy: CPU seconds that other processes used on this machine for each second of the whole
            comparison.
    """

    median: float
    low: float
    high: float
    rounds: int
    busy: float

    def scaled(self, factor: float) -> "Timing":
        """The same for so many times the work."""
        return replace(self, median=factor * self.median, low=factor * self.low, high=factor * self.high)


def interleave(
    rivals: Mapping[str, Callable[[], object]],
    rounds: int = 5,
    repeats: int = 1,
    warm: bool = False,
    told: bool = False,
) -> dict[str, Timing]:
    """Time each rival once a round, in turn.

    Args:
        rivals: what to call, by name.
        rounds: at least 3.
        repeats: calls timed together, for what takes less than a millisecond.
        warm: whether each has been called before; else each is called once without being timed.
        told: whether each returns the seconds that count, of one call.
    """
    if rounds < 3:
        raise ValueError(f"at least 3 rounds are needed for a spread, got {rounds}")
    if not warm:
        for call in rivals.values():
            call()
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    watch = _Watch()
    for turn in range(rounds):
        # Every second round backwards: none is always the one that follows another.
        for name in list(rivals)[:: 1 if turn % 2 == 0 else -1]:
            start = time.perf_counter()
            found = [rivals[name]() for _ in range(repeats)]
            whole = sum(map(float, cast(Any, found))) if told else time.perf_counter() - start
            seconds[name].append(whole / repeats)
    busy = watch.others()
    return {
        name: Timing(statistics.median(times), min(times), max(times), rounds, busy) for name, times in seconds.items()
    }


def comparison(name: str, what: str, ours: Timing, peer: Timing) -> dict[str, Any]:
    """One row of results: `ratio` is how many times faster ours is at the median; `what` says what the two sides do."""
    return {
        "name": name,
        "what": what,
        "ours": ours.median * 1e3,
        "peer": peer.median * 1e3,
        "unit": "ms",
        "ratio": peer.median / ours.median,
        "rounds": ours.rounds,
        "spread": f"{ours.low * 1e3:.3g}-{ours.high * 1e3:.3g} / {peer.low * 1e3:.3g}-{peer.high * 1e3:.3g}",
        "busy": ours.busy,
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a Markdown table under a line that describes the machine."""
    header = ["name", "what", "ours", "peer", "unit", "ratio", "rounds", "spread (ours / peer)", "CPUs used by others"]
    body = [
        [
            row["name"], row["what"], f"{row['ours']:.4g}", f"{row['peer']:.4g}", row["unit"], f"{row['ratio']:.2f}",
            str(row["rounds"]), row["spread"], f"{row['busy']:.2f}",
        ]
        for row in rows
    ]  # fmt: skip
    return f"{machine()}\n\n{markdown_table([header, *body], text=(0, 1, 4, 7))}"


class _Watch:
    """Watches from now on how busy other processes keep the machine."""

    def __init__(self) -> None:
        self._used, self._begun = _others_cpu_seconds(), time.perf_counter()

    def others(self) -> float:
        """CPU seconds that others used for each second since then."""
        return max(0.0, _others_cpu_seconds() - self._used) / (time.perf_counter() - self._begun)


def _others_cpu_seconds() -> float:
    """CPU seconds of the whole machine but for this process; 0 where /proc does not exist."""
    statistics_file = Path("/proc/stat")
    if not statistics_file.exists():
        return 0.0
    user, nice, system, _, _, interrupts, soft_interrupts = map(int, statistics_file.read_text().split()[1:8])
    ticks = user + nice + system + interrupts + soft_interrupts
    own = os.times()
    return ticks / os.sysconf("SC_CLK_TCK") - own.user - own.system
