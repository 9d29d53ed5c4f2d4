"""What a split is measured on, by plain loops over the tables."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hr_retrieval.data.evaluation_set import EvaluationSet, Split, check_corpus, evaluation_set
from hr_retrieval.data.relevance import Guard
from hr_retrieval.data.tables import SCHEMAS, PreparedDataset
from hr_retrieval.errors import UserError
from tests.conftest import write_toy_dataset


def make(folder: Path, split: Split = "test", corpus: str = "split", queries: int | None = None) -> EvaluationSet:
    dataset = PreparedDataset.open(folder)
    return evaluation_set(dataset, Guard(dataset), split, corpus, queries)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("corpus", ["split", "all"])
def test_queries_documents_and_relevance_are_those_of_the_split(toy_dataset: Path, split: Split, corpus: str) -> None:
    queries = pq.read_table(toy_dataset / "queries.parquet").to_pylist()
    documents = pq.read_table(toy_dataset / "corpus.parquet").to_pylist()
    found = make(toy_dataset, split, corpus)
    rows = [row for row, query in enumerate(queries) if query["split"] == split]
    groups = {queries[row]["group_id"] for row in rows}
    ranked = [row for row, document in enumerate(documents) if corpus == "all" or document["group_id"] in groups]
    assert (found.split, found.query_rows.tolist(), found.document_rows.tolist()) == (split, rows, ranked)
    for place, row in enumerate(rows):
        relevant = found.relevant[found.offsets[place] : found.offsets[place + 1]].tolist()
        own = queries[row]["group_id"]
        assert relevant == [at for at, document in enumerate(ranked) if documents[document]["group_id"] == own]


def test_drawn_queries_keep_their_documents_and_are_the_same_each_time(toy_dataset: Path) -> None:
    whole = make(toy_dataset, "train")
    drawn = make(toy_dataset, "train", queries=20)
    assert len(drawn.query_rows) == 20
    assert set(drawn.query_rows) < set(whole.query_rows)
    assert np.array_equal(drawn.document_rows, whole.document_rows)
    assert np.array_equal(drawn.query_rows, make(toy_dataset, "train", queries=20).query_rows)
    assert np.array_equal(make(toy_dataset, "train", queries=1000).query_rows, whole.query_rows)


@pytest.mark.parametrize("corpus", ["split", "all"])
def test_a_split_with_nothing_to_measure_is_refused(tmp_path: Path, toy_dataset: Path, corpus: str) -> None:
    with pytest.raises(UserError, match="queries in the test split"):
        make(write_toy_dataset(tmp_path / "few", groups=5), corpus=corpus)
    documents = pq.read_table(toy_dataset / "corpus.parquet").to_pylist()
    alone = pa.Table.from_pylist([{**row, "group_id": None} for row in documents], schema=SCHEMAS["corpus"])
    pq.write_table(alone, toy_dataset / "corpus.parquet")
    pq.write_table(SCHEMAS["qrels"].empty_table(), toy_dataset / "qrels.parquet")
    with pytest.raises(UserError, match="a relevant document for at least one query of the test split"):
        make(toy_dataset, corpus=corpus)


def test_an_unknown_corpus_is_named_by_its_key() -> None:
    check_corpus("all", "corpus")
    with pytest.raises(UserError, match="evaluation_corpus to be 'split' or 'all'; got 'some'"):
        check_corpus("some", "evaluation_corpus")
