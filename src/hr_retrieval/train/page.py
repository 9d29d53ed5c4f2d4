"""A finished run as a page: better than no training or not, in words, then figures, its course and what comes next."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from hr_retrieval.config.schema import leaves
from hr_retrieval.config.sources import listed
from hr_retrieval.encoder.languages import short_name
from hr_retrieval.pages import page as pages
from hr_retrieval.pages.chart import curve, intervals
from hr_retrieval.retrieval import HEADLINE
from hr_retrieval.runs.directory import Run
from hr_retrieval.runs.figures import validation_curve
from hr_retrieval.runs.ranking import sentences
from hr_retrieval.train.verdict import figures_of

_FILES = {
    "config.yaml": "all settings", "metrics.csv": "every figure by its step", "per_query.parquet": "the rank of each test query",
    "encoder": "the trained encoder", "cross_encoder": "the trained cross-encoder", "tensorboard": "for tensorboard --logdir",
}  # fmt: skip
_SETTINGS = (
    "model.encoder.name_or_path", "model.encoder.max_length", "model.loss.form", "optimizer.lr", "datamodule.batch_size",
    "trainer.max_epochs", "trainer.precision", "seed",
)  # fmt: skip


def write_page(this_run: Run, summary: Mapping[str, Any], next_lines: Sequence[str]) -> None:
    """Write `summary.html` into the run directory."""
    config = this_run.config
    data = ", ".join(Path(one).name for one in listed(config.datamodule.folder))
    title = f"{short_name(this_run.trained_name)} trained on {data}"
    first, figures = HEADLINE[0], []
    parts = [pages.verdict(summary.get("verdict") or "")]
    if summary["trained"]:
        measured, bounds = figures_of(summary), summary.get("intervals", {})
        rows = [[name, *(f"{own[metric]:.4f}" for metric in HEADLINE)] for name, own in measured.items()]
        rows.sort(key=lambda row: -float(row[1]))
        parts += [
            pages.paragraphs(
                [f"{summary['queries']:,} test queries, each ranked over {summary['corpus']}, exact ranks."]
            ),
            pages.table([["system", *HEADLINE], *rows], ("system",), best="trained"),
        ]
        chosen = {name: (own[first], bounds.get(name)) for name, own in reversed(measured.items())}
        figures.append(intervals(f"Test {first}, with 95 % intervals", chosen))
    course = validation_curve(this_run.folder / "metrics.csv", first)
    if course:
        figures.append(curve(f"Validation {first} by epoch (0: before training)", "epoch", course))
    settings = leaves(OmegaConf.to_container(config, resolve=True))
    found = [[name, told] for name, told in _FILES.items() if (this_run.folder / name).exists()]
    parts += [
        pages.paragraphs([summary.get("stopped") or "", *sentences(summary.get("ranking"))]),
        pages.charts(figures),
        "<h2>What comes next</h2>",
        f'<pre class="next">{escape(chr(10).join(next_lines))}</pre>',
        "<h2>Settings</h2>",
        pages.table(
            [["key", "value"], *([key, str(settings[key])] for key in _SETTINGS if key in settings)], ("key", "value")
        ),
        "<h2>Files</h2>",
        pages.table([["file", "what it is"], *found], ("file", "what it is"), links=True),
    ]
    (this_run.folder / "summary.html").write_text(pages.document(title, parts, figures), encoding="utf-8")
