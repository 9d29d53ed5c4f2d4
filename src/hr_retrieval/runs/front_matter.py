"""What a model card tells the Hugging Face hub: licence, languages, origin, and test figures."""

from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from hr_retrieval.encoder.folder import hub_name

# Figures of the hub's index of results.
_INDEXED = ("mrr", "pass@1", "recall@10", "ndcg@10", "map")

Interval = tuple[float, float]


def front_matter(
    name: str, origin: str, data: Sequence[str], figures: Mapping[str, Any], intervals: Mapping[str, Interval],
    licence: str | None, tags: Sequence[str],
) -> str:  # fmt: skip
    """The YAML at the top of a card, with its rules.

    Args:
        name: of the model.
        origin: what it was trained from.
        data: names of the data sets.
        figures: as `summary.json` has them; empty for none.
        intervals: 95 %, of some of the figures.
        licence: its id on the hub; `None` says that it follows from data and origin.
        tags: beside those of every encoder.
    """
    results = [
        EvalResult(
            task_type="information-retrieval",
            task_name="Information Retrieval",
            dataset_type="unknown",
            dataset_name=" and ".join(data),
            dataset_split=figures["split"],
            metric_type=metric,
            metric_name=_named(metric, intervals.get(metric)),
            metric_value=round(figures["trained"][metric], 4),
        )
        for metric in (_INDEXED if figures.get("trained") else ())
    ]
    head = ModelCardData(
        model_name=name if results else None,
        eval_results=results or None,
        language=figures.get("texts", {}).get("languages") or None,
        license=licence or "other",
        license_name=None if licence else "as-of-the-data-and-the-base-model",
        library_name="sentence-transformers",
        pipeline_tag="sentence-similarity",
        tags=["sentence-transformers", "feature-extraction", "retrieval", "hr", *tags],
        # The hub refuses anything but the name of a model on it; `trained_from` is what `evaluate`
        # compares with.
        base_model=hub_name(origin),
        trained_from=origin,
    )
    return f"---\n{head.to_yaml()}\n---\n"


def _named(metric: str, interval: Interval | None) -> str:
    return metric if interval is None else f"{metric} (95 % interval {interval[0]:.4f} to {interval[1]:.4f})"
