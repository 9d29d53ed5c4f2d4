"""The results of counterfactual pairs as a table, and as a section of a model card."""

from collections.abc import Mapping, Sequence
from typing import Any

from hr_retrieval.markdown import markdown_table

# Queries below which a mean is left out of tables.
SHOWN = 10
COLUMNS = ("list", "changed", "direction", "queries", "RBO", "shift of 1/rank")


def model_card_section(results: Sequence[Mapping[str, Any]]) -> str:
    """The results as a section of a model card, in Markdown."""
    lines = [
        "## Counterfactual pairs",
        "",
        "How far rankings move when words for one side stand in the place of those for the other (mean, and 95 % interval "
        "over queries). This measures the listed words on these texts; it does not show that people are treated alike.",
        "",
        markdown_table([COLUMNS, *table_rows(results)], text=range(3)),
        "",
        *(f"* {own}" for own in verdicts(results)),
        "",
        remark(results),
    ]
    return "\n".join(lines) + "\n"


def verdicts(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """One sentence for each list: whether the other side moves rankings more than another phrase of one side does.

    The control is the insertion within one side. Overlapping intervals are no difference; a list
    without a control, or with few queries, is not judged.
    """
    told = []
    for name in dict.fromkeys(result["list"] for result in results):
        inserted = [
            one for one in results if one["list"] == name and one["form"] == "insertion" and one["measured"] >= SHOWN
        ]
        across = [one for one in inserted if not _within(one)]
        within = [one for one in inserted if _within(one)]
        if not across or not within:
            told.append(f"{name}: not judged, for want of queries or of a control.")
            continue
        moved, control = across[0]["rbo"], within[0]["rbo"]
        figures = f"overlap of rankings {_with_interval(moved)}, of the control {_with_interval(control)}"
        more = moved["interval"][1] < control["interval"][0]
        told.append(
            f"{name}: {across[0]['direction']} moves rankings "
            + ("more than" if more else "no more than")
            + f" another phrase of one side does ({figures}); {_quality(across[0])}."
        )
    return told


def _within(result: Mapping[str, Any]) -> bool:
    """Whether both texts are of one side: the control."""
    one, _, other = str(result["direction"]).partition(" to ")
    return one == other


def _quality(result: Mapping[str, Any]) -> str:
    """Whether what is right comes later or earlier for it."""
    low, high = result["reciprocal_rank_shift"]["interval"]
    if low <= 0 <= high:
        return "the right document stands no higher or lower by it, beyond chance"
    mean = result["reciprocal_rank_shift"]["mean"]
    return f"the right document stands {'higher' if mean > 0 else 'lower'} by it (1/rank {mean:+.3f})"


def table_rows(results: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """List, changed, direction, queries and two figures of each result of at least `SHOWN` queries."""
    return [
        [
            result["list"],
            f"{result['changed']}, {result['form']}",
            result["direction"],
            str(result["measured"]),
            _with_interval(result["rbo"]) if "rbo" in result else "",
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
