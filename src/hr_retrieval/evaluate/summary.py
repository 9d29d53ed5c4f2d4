"""The figures of an evaluation, which `metrics.json` holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.evaluation_set import EvaluationSet
from hr_retrieval.data.tables import SPLITS
from hr_retrieval.evaluate.slices import Mask, query_slices
from hr_retrieval.retrieval import HEADLINE
from hr_retrieval.retrieval.relevance import Relevance
from hr_retrieval.retrieval.significance import bootstrap_interval
from hr_retrieval.retrieval.verdict import verdict
from hr_retrieval.text import normalise

# `ENCODER` is with the mixing at ranking time that was chosen for it, `PLAIN` the same without,
# where there is one.
ENCODER, PLAIN, BEFORE = "encoder", "encoder without mixing", "before training"
# Where long texts are ranked by their passages, the same by the beginnings that are read at once.
BEGINNINGS = "encoder without passages"
# Its best documents in the order of a cross-encoder.
RERANKED = "encoder, re-ranked"
RELEVANCE_RULE = (
    "A document is right for a query if it is a stated positive, a duplicate of one, or of the query's own stated group, "
    "and no stated negative; queries of one text share their judgements. A query without such a document is excluded."
)
GAINS_RULE = "The gains of nDCG are the grades, 1 to 3; all other figures take each of them for right."
RANK_RULE = (
    "1 + the number of ranked documents that score higher, or as high with a smaller hash of the text (exact ranks)."
)

# Chance that an interval holds the mean.
CONFIDENCE = 0.95
# Metrics with an interval.
_INTERVALS = (*HEADLINE, "ndcg@10", "map")
_SLICED = ("mrr", "pass@1")

Values = dict[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Texts:
    """What is ranked: the texts of `Q` queries and `N` documents, and the relevance between them."""

    queries: list[str]
    documents: list[str]
    relevance: Relevance


def summary_of(
    dataset: PreparedDataset, measured: EvaluationSet, texts: Texts, values: Mapping[str, Values]
) -> dict[str, Any]:
    """Counts, figures with intervals, slices, and whether the encoder is better than the others."""
    has_relevant = (texts.relevance.counts > 0).numpy()
    return {
        "split": measured.split,
        "queries": len(texts.queries),
        "measured_queries": int(has_relevant.sum()),
        "excluded_queries": int((~has_relevant).sum()),
        "documents": len(texts.documents),
        "ranked": measured.corpus,
        "own_text_queries": int((texts.relevance.left_out.counts > 0).sum()) if texts.relevance.left_out else 0,
        "relevance_rule": RELEVANCE_RULE if texts.relevance.grades is None else f"{RELEVANCE_RULE} {GAINS_RULE}",
        "rank_rule": RANK_RULE,
        "data": {"folder": str(dataset.folder), "fingerprint": dataset.fingerprint},
        "confidence": CONFIDENCE,
        "systems": {name: {"metrics": means(own), "intervals": _intervals(own)} for name, own in values.items()},
        "verdict": _verdict(values),
        "remarks": [],
        "slices": _slices(dataset, measured, texts, np.flatnonzero(has_relevant), values),
    }


def means(values: Values) -> dict[str, float]:
    return {name: float(value.mean()) for name, value in values.items()}


def _intervals(values: Values) -> dict[str, list[float]]:
    return {name: list(bootstrap_interval(values[name], CONFIDENCE)) for name in _INTERVALS}


def _verdict(values: Mapping[str, Values]) -> str:
    others = {name: own["mrr"] for name, own in values.items() if name not in (ENCODER, RERANKED)}
    return verdict("the encoder", values[ENCODER]["mrr"], others, "mrr")


def _slices(
    dataset: PreparedDataset,
    measured: EvaluationSet,
    texts: Texts,
    rows: npt.NDArray[np.int64],
    values: Mapping[str, Values],
) -> dict[str, dict[str, dict[str, Any]]]:
    queries = [texts.queries[row] for row in rows]
    languages = dataset.languages_at("queries", np.asarray(measured.query_rows)[rows])
    kinds = query_slices(
        queries, languages, seen_in_training(dataset, queries), texts.relevance.counts.numpy()[rows].tolist()
    )
    return {kind: {name: _slice(mask, values) for name, mask in masks.items()} for kind, masks in kinds.items()}


def _slice(mask: Mask, values: Mapping[str, Values]) -> dict[str, Any]:
    systems = {name: {metric: float(own[metric][mask].mean()) for metric in _SLICED} for name, own in values.items()}
    return {"queries": int(mask.sum()), **systems}


def seen_in_training(dataset: PreparedDataset, queries: Sequence[str]) -> list[bool]:
    """Whether each normalised text is that of a training query; the training queries are read block by block."""
    keys = [normalise(text) for text in queries]
    wanted, found, begin = set(keys), set[str](), 0
    for block in dataset.texts("queries"):
        in_training = dataset.query_split[begin : begin + len(block)] == SPLITS["train"]
        found |= wanted.intersection(
            normalise(text) for text, chosen in zip(block, in_training.tolist(), strict=True) if chosen
        )
        begin += len(block)
    return [key in found for key in keys]
