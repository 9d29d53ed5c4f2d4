"""Quality by bytes a document: what shorter and rounded vectors of the same encoder find."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from hr_retrieval.evaluate.summary import CONFIDENCE
from hr_retrieval.markdown import Rows
from hr_retrieval.retrieval.compression import Size, compressed_ranks
from hr_retrieval.retrieval.metrics import per_query
from hr_retrieval.retrieval.relevance import Relevance
from hr_retrieval.retrieval.significance import bootstrap_interval

_METRICS = ("mrr", "ndcg@10", "recall@100")
TITLE = "Quality by bytes a document"


def compression(queries: Tensor, documents: Tensor, relevance: Relevance, kept: Sequence[Size]) -> list[dict[str, Any]]:
    """Figures of each size of a document, ranked without mixing, and what its MRR is to that of the
    first one, with an interval.
    """
    rows: list[dict[str, Any]] = []
    whole = None
    for size in kept:
        ranks = compressed_ranks(queries, documents, relevance.to(queries.device), size).cpu()
        values = {name: value.numpy() for name, value in per_query(ranks, relevance).items()}
        whole = values["mrr"] if whole is None else whole
        difference = values["mrr"] - whole
        rows.append(
            {
                "dimensions": size.dimensions,
                "form": size.form,
                "rescored": size.rescored,
                "searched_bytes": size.searched_bytes,
                "further_bytes": size.further_bytes,
                "metrics": {name: float(values[name].mean()) for name in _METRICS},
                "mrr_difference": float(difference.mean()),
                "interval": list(bootstrap_interval(difference, CONFIDENCE)),
            }
        )
    return rows


def compression_rows(found: Sequence[Mapping[str, Any]]) -> Rows:
    """The table of it, with a header."""
    header = ["dimensions", "form", "bytes", "and on a disk", *_METRICS, "mrr to whole vectors (95 % interval)"]
    body = [
        [
            str(one["dimensions"]),
            one["form"],
            f"{one['searched_bytes']:,}",
            f"{one['further_bytes']:,}",
            *(f"{one['metrics'][name]:.4f}" for name in _METRICS),
            f"{one['mrr_difference']:+.4f} ({one['interval'][0]:+.4f} to {one['interval'][1]:+.4f})",
        ]
        for one in found
    ]
    return [header, *body]
