"""The table of the mixing ablation: each arm at the rate that validation chose, with its test figures.

    python -m benchmarks.mixing --runs 'multirun/mixing_ablation/**' 'outputs/peers/**' --output tables/mixing

Reads run directories (and what `benchmarks.peers` wrote). An arm is a loss with a mixing and
whatever else was set differently; each arm of a data set is shown at the learning rate with the
best mean of the metric (MRR, or `--metric map`, which should be the one that the runs monitored) in
validation, over the seeds that all its rates have. Differences are of that metric on test over the
common seeds and queries, p-values by `crossed_test` over both (with one seed over the queries
alone), adjusted by Holm over the arms of a data set. Writes `<output>.csv` with every run, chosen
or not, and prints the table.
"""

import argparse
import csv
import glob
import io
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from omegaconf import OmegaConf

from hr_retrieval.config.schema import leaves
from hr_retrieval.files import whole_file
from hr_retrieval.markdown import markdown_table
from hr_retrieval.retrieval.significance import crossed_test, holm, spread
from hr_retrieval.runs.moved import with_new_names

PLAIN = "NoMixing"
# Settings that say where a run lies and how it is shown.
_ASIDE = (
    "project",
    "output",
    "resume",
    "zero_shot",
    "test",
    "export",
    "logger",
    "callbacks",
    "data",
    "seed",
    "split_seed",
)
# Shown beside the metric that arms are compared by.
_FURTHER = ("mrr", "pass@1", "map", "recall@100")
_ELSEWHERE = ("optimizer.lr", "datamodule.folder", "datamodule.seed", "trainer.default_root_dir", "model.mixing.seed")


@dataclass(frozen=True)
class AblationRun:
    """One run: where it lies, the leaves of its settings, the metric that arms are compared by, and
    what it measured.
    """

    folder: Path
    settings: dict[str, Any]
    metric: str
    validation: float
    test: Mapping[str, float]

    @property
    def data(self) -> str:
        """Name of the data set."""
        return str(self.settings["data.name"])

    @property
    def rate(self) -> float:
        """Learning rate."""
        return float(self.settings["optimizer.lr"])

    @property
    def seed(self) -> int:
        """Of the training."""
        return int(self.settings["seed"])

    @property
    def loss(self) -> str:
        """Its form, or the peer's name."""
        return str(self.settings.get("peer") or self.settings["model.loss.form"])

    @property
    def mixing(self) -> str:
        """The strategy's class; a peer has none."""
        target = self.settings.get("model.mixing._target_")
        return "" if target is None else str(target).rsplit(".", 1)[1]

    @cached_property
    def query_values(self) -> npt.NDArray[np.float64]:
        """The metric of each test query, in the order of the ids."""
        table = pq.read_table(self.folder / "per_query.parquet", columns=["query_id", self.metric])
        return np.asarray(table.sort_by("query_id").column(self.metric).to_numpy(), np.float64)


@dataclass(frozen=True)
class Arm:
    """The runs of one arm at the rate that validation chose.

    Attributes:
        name: what sets it apart.
        loss, mixing: as of its runs.
        runs: by seed.
        rates: all that were tried.
    """

    name: str
    loss: str
    mixing: str
    runs: dict[int, AblationRun]
    rates: tuple[float, ...]

    @property
    def metric(self) -> str:
        """What it is compared by."""
        return next(iter(self.runs.values())).metric

    @property
    def rate(self) -> float:
        """The chosen one."""
        return next(iter(self.runs.values())).rate

    def test(self, metric: str) -> npt.NDArray[np.float64]:
        """Test figures of all seeds."""
        return np.array([run.test[metric] for run in self.runs.values()])

    def against(self, other: "Arm") -> tuple[float, float] | None:
        """Mean difference of the metric on test over the common seeds, and its p-value; `None` without common seeds."""
        seeds = sorted(self.runs.keys() & other.runs.keys())
        if not seeds or other is self:
            return None
        ours, theirs = (np.stack([arm.runs[seed].query_values for seed in seeds]) for arm in (self, other))
        return float((ours - theirs).mean()), crossed_test(ours, theirs)


def main() -> None:
    """Read, choose, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="+", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--metric", default="mrr", help="what arms are chosen and compared by, such as map")
    parser.add_argument(
        "--rate", type=float, help="show every arm at this rate, where not all arms were tried at several"
    )
    arguments = parser.parse_args()
    runs = read(arguments.runs, arguments.metric)
    names = names_of(runs)
    chosen: set[Path] = set()
    for data in sorted({run.data for run in runs}):
        shown = [run for run in runs if run.data == data and arguments.rate in (None, run.rate)]
        arms = arms_of(shown, names)
        chosen |= {run.folder for arm in arms for run in arm.runs.values()}
        print(f"\n{data}\n\n{table(arms)}", flush=True)
    _write_csv(arguments.output.with_suffix(".csv"), runs, names, chosen)
    print(f"\nEvery run: {arguments.output.with_suffix('.csv')}")


def read(globs: Sequence[str], metric: str = "mrr") -> list[AblationRun]:
    """The finished runs under some globs; the same settings twice count once."""
    found: dict[str, AblationRun] = {}
    for path in sorted({Path(match) for pattern in globs for match in glob.glob(pattern, recursive=True)}):
        if (path / "summary.json").is_file() and (path / "metrics.csv").is_file():
            run = _run(path, metric)
            found.setdefault(json.dumps([_distinguishing(run.settings), run.data, run.rate, run.seed]), run)
    return list(found.values())


def names_of(runs: Sequence[AblationRun]) -> dict[Path, str]:
    """A name for each run's arm: loss and mixing, then what else differs between runs of the same two."""
    names = {}
    families = defaultdict(list)
    for run in runs:
        families[run.loss, run.mixing].append(run)
    for (loss, mixing), family in families.items():
        first = [_distinguishing(run.settings) for run in family]
        # A setting that came later than some of the runs had its default there.
        keys = sorted(set.intersection(*(set(settings) for settings in first)))
        varying = [key for key in keys if len({str(settings.get(key)) for settings in first}) > 1]
        # The encoder and the size of the budget belong to the data set.
        shown = [key for key in varying if not key.startswith("model.encoder.")]
        for run, settings in zip(family, first, strict=True):
            extras = [f"{key.removeprefix('model.')}={settings.get(key)}" for key in shown]
            names[run.folder] = ", ".join(part for part in (loss, mixing, *extras) if part)
    return names


def arms_of(runs: Sequence[AblationRun], names: Mapping[Path, str]) -> list[Arm]:
    """The arms of one data set, best on test first."""
    families = defaultdict(list)
    for run in runs:
        families[names[run.folder]].append(run)
    arms = []
    for name, family in families.items():
        rates = sorted({run.rate for run in family})
        common = set.intersection(*({run.seed for run in family if run.rate == rate} for rate in rates))
        best = max(rates, key=lambda rate: _validation(family, rate, common))
        kept = {run.seed: run for run in sorted(family, key=lambda run: run.seed) if run.rate == best}
        arms.append(Arm(name, family[0].loss, family[0].mixing, kept, tuple(rates)))
    return sorted(arms, key=lambda arm: -float(arm.test(arm.metric).mean()))


def table(arms: Sequence[Arm]) -> str:
    """Markdown: figures of each arm, and how far it lies above the same loss without mixing and above the best peer."""
    peers = [arm for arm in arms if not arm.mixing]
    peer = peers[0] if peers else None
    differences = {arm.name: arm.against(plain) for arm in arms if (plain := _plain(arm, arms)) is not None}
    to_peer = {arm.name: arm.against(peer) for arm in arms if arm.mixing and peer is not None}
    adjusted = holm({name: found[1] for name, found in differences.items() if found})
    adjusted_peer = holm({name: found[1] for name, found in to_peer.items() if found})
    further = _further(arms[0].metric)
    header = [
        "arm",
        "rate (tried)",
        "seeds",
        f"validation {arms[0].metric}",
        f"test {arms[0].metric}",
        *further,
        "to no mixing (p)",
        "to best peer (p)",
    ]
    rows = [header]
    for arm in arms:
        figures = spread(arm.test(arm.metric))
        validation = np.mean([run.validation for run in arm.runs.values()])
        tried = ", ".join(f"{rate:g}" for rate in arm.rates)
        deviation = f" ± {figures.sd:.4f}" if len(arm.runs) > 1 else ""
        shown = [
            _shown(differences.get(arm.name), adjusted.get(arm.name)),
            _shown(to_peer.get(arm.name), adjusted_peer.get(arm.name)),
        ]
        shown_further = [f"{arm.test(name).mean():.4f}" for name in further]
        measured = [f"{validation:.4f}", f"{figures.mean:.4f}{deviation}", *shown_further]
        rows.append([arm.name, f"{arm.rate:g} ({tried})", str(len(arm.runs)), *measured, *shown])
    return markdown_table(rows, text=(0, 1))


def _further(metric: str) -> list[str]:
    return [name for name in _FURTHER if name != metric]


def _plain(arm: Arm, arms: Sequence[Arm]) -> Arm | None:
    """The arm that differs from this one by its mixing alone, as far as both have a setting."""
    if arm.mixing in ("", PLAIN):
        return None
    own = _beside_mixing(arm)
    for other in arms:
        if other.mixing == PLAIN:
            its = _beside_mixing(other)
            if all(own[key] == its[key] for key in own.keys() & its.keys()):
                return other
    return None


def _beside_mixing(arm: Arm) -> dict[str, Any]:
    settings = _distinguishing(next(iter(arm.runs.values())).settings)
    return {key: value for key, value in settings.items() if not key.startswith("model.mixing.")}


def _shown(difference: tuple[float, float] | None, p: float | None) -> str:
    return "" if difference is None or p is None else f"{difference[0]:+.4f} ({p:.3f})"


def _validation(family: Sequence[AblationRun], rate: float, seeds: set[int]) -> float:
    return float(np.mean([run.validation for run in family if run.rate == rate and run.seed in seeds]))


def _run(folder: Path, metric: str) -> AblationRun:
    settings = leaves(with_new_names(OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))))
    with (folder / "metrics.csv").open(newline="") as file:
        name = f"validation/{metric}"
        measured = [float(row[name]) for row in csv.DictReader(file) if row.get(name)]
    summary = json.loads((folder / "summary.json").read_text())
    # The checkpoint that was measured on test is that of the best validation.
    return AblationRun(folder, settings, metric, max(measured), summary["trained"])


def _distinguishing(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key.split(".")[0] not in _ASIDE and key not in _ELSEWHERE}


def _write_csv(path: Path, runs: Sequence[AblationRun], names: Mapping[Path, str], chosen: set[Path]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    metric = runs[0].metric
    shown = [metric, *_further(metric)]
    tested = [f"test_{name}" for name in shown]
    writer.writerow(["data", "arm", "rate", "seed", f"validation_{metric}", *tested, "rate_chosen"])
    for run in sorted(runs, key=lambda run: (run.data, names[run.folder], run.rate, run.seed)):
        figures = [f"{value:.5f}" for value in (run.validation, *(run.test[name] for name in shown))]
        writer.writerow([run.data, names[run.folder], f"{run.rate:g}", run.seed, *figures, int(run.folder in chosen)])
    with whole_file(path) as partial:
        partial.write_text(text.getvalue(), encoding="utf-8")


if __name__ == "__main__":
    main()
