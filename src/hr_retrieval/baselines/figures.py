"""What rankings by shared words reach, without training, on the test queries that runs were measured on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hr_retrieval.baselines.systems import BASELINES
from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.evaluation_set import EvaluationSet, evaluation_set
from hr_retrieval.data.guard import Guard
from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.metrics import per_query
from hr_retrieval.retrieval.ranking import ranking_by_scores

Values = dict[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Baseline:
    """One system without training.

    Attributes:
        name: as `BASELINES` has it.
        queries: ids of the queries that have a relevant document.
        values: each metric of these queries.
    """

    name: str
    queries: list[str]
    values: Values

    @property
    def figures(self) -> dict[str, float]:
        """Mean of each metric over the queries."""
        return {metric: float(values.mean()) for metric, values in self.values.items()}


def lexical_baselines(
    folder: Path, fingerprint: str, corpus: str, queries: int | None, identical_text: str
) -> list[Baseline]:
    """BM25 and character TF-IDF on the test queries of a prepared data set; the texts are held in memory.

    Args:
        fingerprint: that of the data which the runs were measured on.
        corpus: `datamodule.test_corpus` of the runs.
        queries: likewise `evaluation_queries`.
        identical_text: likewise.

    Raises:
        UserError: the folder is no prepared data set, or holds other data.
    """
    dataset = PreparedDataset.open(folder)
    if dataset.fingerprint != fingerprint:
        raise UserError(f"data {fingerprint} in {folder}", dataset.fingerprint, "Prepare the data of the runs anew.")
    guard = Guard(dataset, identical_text=identical_text)
    measured = evaluation_set(dataset, guard, "test", corpus, queries)
    ids = dataset.ids_at("queries", measured.query_rows[measured.relevance.counts.numpy() > 0])
    return [Baseline(name, ids, values) for name, values in lexical_values(dataset, measured).items()]


def lexical_values(dataset: PreparedDataset, measured: EvaluationSet) -> dict[str, Values]:
    """Metrics of each query that has a relevant document, by system."""
    relevance = measured.relevance
    queries = dataset.texts_at("queries", measured.query_rows)
    documents = dataset.texts_at("corpus", measured.document_rows)
    result = {}
    for name, system in BASELINES.items():
        ranks = ranking_by_scores(system(queries, documents).scores, relevance, len(documents), 1).ranks
        result[name] = {metric: values.numpy() for metric, values in per_query(ranks, relevance).items()}
    return result
