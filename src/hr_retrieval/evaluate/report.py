"""What an evaluation found, on the terminal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hr_retrieval.evaluate.compression import compression_rows
from hr_retrieval.evaluate.fairness.report import COLUMNS, remark, table_rows, verdicts
from hr_retrieval.markdown import Rows
from hr_retrieval.retrieval import HEADLINE


def report(summary: Mapping[str, Any], folder: Path) -> None:
    """Print what `evaluate` found, and where the files are."""
    console = Console(width=120)
    console.print(
        f"{summary['measured_queries']:,} {summary['split']} queries, each ranked over {summary['ranked']}, "
        f"exact ranks; {summary['excluded_queries']} queries without a relevant document are excluded."
    )
    if summary["own_text_queries"]:
        console.print(
            f"{summary['own_text_queries']:,} queries are the text of a document, which counts for nothing "
            "(identical_text=count includes it)."
        )
    console.print(
        f"Mixing at ranking time: {summary['mixing']['words']}.", highlight=False, soft_wrap=True, markup=False
    )
    console.print(
        "Encoded in float32; a run measures in its own trainer.precision, which may differ in the third digit."
    )
    table = Table("", *(f"{name} (95 % interval)" if name == "mrr" else name for name in HEADLINE))
    for column in table.columns[1:]:
        column.justify = "right"
    for name, system in summary["systems"].items():
        means = system["metrics"]
        low, high = system["intervals"]["mrr"]
        cells = [f"{means['mrr']:.4f} ({low:.4f} to {high:.4f})", *(f"{means[metric]:.4f}" for metric in HEADLINE[1:])]
        table.add_row(name, *cells)
    console.print(table)
    said = [summary["verdict"], *summary["remarks"]]
    console.print("\n".join(filter(None, said)), soft_wrap=True, highlight=False, markup=False)
    console.print(_wide(slice_rows(summary), 2))
    if "compression" in summary:
        Console(width=200).print(_wide(compression_rows(summary["compression"]), 2))
    lines = []
    if "counterfactuals" in summary:
        results = summary["counterfactuals"]["results"]
        if rows := table_rows(results):
            Console(width=200).print(_wide([COLUMNS, *rows], 3))
        lines += [*verdicts(results), remark(results), f"Section for a model card    {folder / 'counterfactuals.md'}"]
    lines += [
        f"To look at                  {folder / 'summary.html'}",
        f"Metrics, intervals, slices  {folder / 'metrics.json'}",
        f"TREC run of the encoder     {folder / 'run.trec'}",
        f"Ranks of each query         {folder / 'per_query.parquet'}",
    ]
    console.print("\n".join(lines), soft_wrap=True, highlight=False, markup=False)


def slice_rows(summary: Mapping[str, Any]) -> list[list[str]]:
    """MRR of each system for each kind of queries, with a header."""
    systems = list(summary["systems"])
    body = [
        [kind, name, f"{own['queries']:,}", *(f"{own[system]['mrr']:.4f}" for system in systems)]
        for kind, parts in summary["slices"].items()
        for name, own in parts.items()
    ]
    return [["slice", "of which", "queries", *systems], *body]


def _wide(rows: Rows, text: int) -> Table:
    """A table whose cells stay on one line; so many columns stand to the left."""
    table = Table()
    for number, name in enumerate(rows[0]):
        table.add_column(name, justify="left" if number < text else "right", no_wrap=True)
    for row in rows[1:]:
        table.add_row(*map(escape, row))
    return table
