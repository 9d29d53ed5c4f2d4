"""What an encoder finds for each query, as a table."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hr_retrieval.evaluate.summary import Values
from hr_retrieval.retrieval.ranking import Ranking
from hr_retrieval.retrieval.relevance import Relevance

# Documents of each query that are listed.
_SHOWN = 10


def write_per_query(
    path: Path,
    query_ids: Sequence[str],
    document_ids: Sequence[str],
    relevance: Relevance,
    ranking: Ranking,
    values: Values,
) -> None:
    """A row for each measured query: its relevant documents with their ranks, the best documents, the metrics."""
    rows = (relevance.counts > 0).nonzero().squeeze(1).numpy()
    ids = pa.array(document_ids, pa.string())
    counts = relevance.counts.numpy()[rows]
    offsets = pa.array(np.concatenate([[0], counts.cumsum()]).astype(np.int32))
    best, best_scores = ranking.rows[rows, :_SHOWN].numpy(), ranking.scores[rows, :_SHOWN].numpy()
    there = best >= 0
    best_offsets = pa.array(np.concatenate([[0], there.sum(axis=1).cumsum()]).astype(np.int32))
    columns = {
        "query_id": pa.array(query_ids, pa.string()).take(pa.array(rows)),
        "relevant_ids": pa.ListArray.from_arrays(offsets, ids.take(pa.array(relevance.documents.numpy()))),
        "ranks": pa.ListArray.from_arrays(offsets, pa.array(ranking.ranks.numpy())),
        "best_ids": pa.ListArray.from_arrays(best_offsets, ids.take(pa.array(best[there]))),
        "best_scores": pa.ListArray.from_arrays(best_offsets, pa.array(best_scores[there])),
    }
    pq.write_table(pa.table({**columns, **{name: pa.array(value) for name, value in values.items()}}), path)
