"""What an evaluation found, on the terminal."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from hr_retrieval.evaluate.fairness.report import remark, table_rows
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
    table = Table("", *(f"{name} (95 % interval)" if name == "mrr" else name for name in HEADLINE))
    for column in table.columns[1:]:
        column.justify = "right"
    for name, system in summary["systems"].items():
        means = system["metrics"]
        low, high = system["intervals"]["mrr"]
        cells = [f"{means['mrr']:.4f} ({low:.4f} to {high:.4f})", *(f"{means[metric]:.4f}" for metric in HEADLINE[1:])]
        table.add_row(name, *cells)
    console.print(table)
    lines = list(summary["remarks"])
    if "counterfactuals" in summary:
        results = summary["counterfactuals"]["results"]
        console.print(_counterfactual_table(results))
        lines += [remark(results), f"Section for a model card    {folder / 'counterfactuals.md'}"]
    lines += [
        f"Metrics, intervals, slices  {folder / 'metrics.json'}",
        f"TREC run of the encoder     {folder / 'run.trec'}",
        f"Ranks of each query         {folder / 'per_query.parquet'}",
    ]
    console.print("\n".join(lines), soft_wrap=True, highlight=False, markup=False)


def _counterfactual_table(results: Sequence[Mapping[str, Any]]) -> Table:
    table = Table("pairs", "changed", "direction")
    for name in ("queries", "RBO", "|rank shift|", "shift of 1/rank"):
        table.add_column(name, justify="right")
    for row in table_rows(results):
        table.add_row(*row)
    return table
