"""The texts that are timed."""

from dataclasses import dataclass
from pathlib import Path

from hr_retrieval.data.dataset import PreparedDataset, spaced

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
