"""The results of counterfactual pairs as a table, and as a section of a model card."""

from collections.abc import Mapping, Sequence
from typing import Any

from hr_retrieval.markdown import markdown_table

# Queries below which a mean is left out of tables.
SHOWN = 10
_COLUMNS = ("list", "changed", "direction", "queries", "RBO", "rank shift, absolute", "shift of 1/rank")


def model_card_section(results: Sequence[Mapping[str, Any]]) -> str:
    """The results as a section of a model card, in Markdown."""
    lines = [
        "## Counterfactual pairs",
        "",
        "How far rankings move when words for one side stand in the place of those for the other (mean, and 95 % interval "
        "over queries). This measures the listed words on these texts; it does not show that people are treated alike.",
        "",
        markdown_table([_COLUMNS, *table_rows(results)], text=range(3)),
        "",
        remark(results),
    ]
    return "\n".join(lines) + "\n"


def table_rows(results: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """List, changed, direction, queries and three figures of each result of at least `SHOWN` queries."""
    return [
        [
            result["list"],
            f"{result['changed']}, {result['form']}",
            result["direction"],
            str(result["measured"]),
            _with_interval(result["rbo"]) if "rbo" in result else "",
            f"{result['absolute_rank_shift']['mean']:.2f}",
            _with_interval(result["reciprocal_rank_shift"], "+"),
        ]
        for result in results
        if result["measured"] >= SHOWN
    ]


def remark(results: Sequence[Mapping[str, Any]]) -> str:
    """One sentence on what the table leaves out."""
    few = sum(result["measured"] < SHOWN for result in results)
    return f"Left out: {few} of {len(results)} counterfactual results, of fewer than {SHOWN} queries each."


def _with_interval(figure: Mapping[str, Any], sign: str = "") -> str:
    low, high = figure["interval"]
    return f"{figure['mean']:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"
