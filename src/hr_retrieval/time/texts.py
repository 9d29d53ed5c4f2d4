"""The texts that are timed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hr_retrieval.data.dataset import PreparedDataset

# Queries, some of which are searched one by one and all of which are searched together.
QUERIES = 256


@dataclass(frozen=True)
class Texts:
    """Texts of queries and documents, and where they come from."""

    source: str
    queries: list[str]
    documents: list[str]

    @classmethod
    def of(cls, folder: Path, count: int) -> "Texts":
        """Those of a prepared data set, `count` documents at most."""
        dataset = PreparedDataset.open(folder)
        queries, documents = spaced(dataset.query_count, QUERIES), spaced(dataset.document_count, count)
        return cls(str(folder), dataset.texts_at("queries", queries), dataset.texts_at("corpus", documents))


def spaced(size: int, count: int) -> npt.NDArray[np.int64]:
    """At most `count` of so many rows, evenly spaced."""
    taken = max(min(count, size), 0)
    return np.arange(taken) * size // max(taken, 1)
