"""How sure the test figures of a run are."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from hr_retrieval.retrieval.significance import bootstrap_interval

# Columns of `per_query.parquet` that are no metric.
_OTHERS = ("query_id", "rank", "weight")


def intervals_of(folder: Path) -> dict[str, tuple[float, float]]:
    """Of each figure with the best checkpoint, 95 % over queries; none where `per_query.parquet` was not written."""
    path = folder / "per_query.parquet"
    if not path.is_file():
        return {}
    table = pq.read_table(path)
    weight = table["weight"].to_numpy() if "weight" in table.column_names else np.ones(len(table))
    return {
        name: bootstrap_interval(table[name].to_numpy() * weight) for name in table.column_names if name not in _OTHERS
    }
