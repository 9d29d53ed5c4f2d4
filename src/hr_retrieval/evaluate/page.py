"""An evaluation as a page: whether the encoder is better, in words, then figures, slices and fairness."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hr_retrieval.evaluate.compression import TITLE, compression_rows
from hr_retrieval.evaluate.fairness.report import COLUMNS, remark, table_rows, verdicts
from hr_retrieval.evaluate.report import slice_rows
from hr_retrieval.evaluate.summary import ENCODER
from hr_retrieval.pages import page as pages
from hr_retrieval.pages.chart import intervals
from hr_retrieval.retrieval import HEADLINE


def page(summary: Mapping[str, Any]) -> str:
    """The whole page of what `metrics.json` holds."""
    encoder, data = (Path(str(name)).name for name in (summary["encoder"]["name_or_path"], summary["data"]["folder"]))
    systems, first = summary["systems"], HEADLINE[0]
    figures = [
        intervals(
            f"{first} on the {summary['split']} queries, with 95 % intervals",
            {name: (own["metrics"][first], own["intervals"][first]) for name, own in systems.items()},
        )
    ]
    rows = [
        [name, *(_told(own, metric) for metric in HEADLINE)]
        for name, own in sorted(systems.items(), key=lambda pair: -pair[1]["metrics"][first])
    ]
    parts = [
        pages.verdict(summary["verdict"]),
        pages.paragraphs(
            [
                f"{summary['measured_queries']:,} {summary['split']} queries of {data}, each ranked over {summary['ranked']}; "
                f"{summary['excluded_queries']:,} without a relevant document are left out.",
                f"Mixing at ranking time: {summary['mixing']['words']}.",
                *summary["remarks"],
            ]
        ),
        pages.table(
            [["system", *(f"{metric} (95 % interval)" for metric in HEADLINE)], *rows], ("system",), best=ENCODER
        ),
        pages.charts(figures),
        "<h2>Where it does well, and where not (mrr)</h2>",
        pages.table(slice_rows(summary), ("slice", "of which")),
    ]
    if "compression" in summary:
        parts += [
            f"<h2>{TITLE}</h2>",
            pages.table(compression_rows(summary["compression"]), ("form",)),
        ]
    if "counterfactuals" in summary:
        results = summary["counterfactuals"]["results"]
        parts += [
            "<h2>Fairness: how far rankings move when a text says another gender, age or origin</h2>",
            pages.paragraphs(
                [
                    *verdicts(results),
                    "It measures the listed words on these texts, and not that people are treated alike.",
                ]
            ),
            pages.table([COLUMNS, *table_rows(results)], COLUMNS[:3]),
            pages.paragraphs([remark(results)]),
        ]
    return pages.document(f"{encoder} on {data}, {summary['split']} queries", parts, figures)


def _told(own: Mapping[str, Any], metric: str) -> str:
    low, high = own["intervals"][metric]
    return f"{own['metrics'][metric]:.4f} ({low:.4f} to {high:.4f})"
