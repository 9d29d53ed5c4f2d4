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


def make(folder: Path, split: Split = "test", corpus: str = "all", queries: int | None = None) -> EvaluationSet:
    dataset = PreparedDataset.open(folder)
    return evaluation_set(dataset, Guard(dataset), split, corpus, queries)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("corpus", ["split", "all"])
def test_queries_documents_and_relevance_are_those_of_the_split(toy_dataset: Path, split: Split, corpus: str) -> None:
    add_documents(toy_dataset, ["nobody asks for this"])
    queries = pq.read_table(toy_dataset / "queries.parquet").to_pylist()
    documents = pq.read_table(toy_dataset / "corpus.parquet").to_pylist()
    found = make(toy_dataset, split, corpus)
    rows = [row for row, query in enumerate(queries) if query["split"] == split]
    elsewhere = {query["group_id"] for query in queries if query["split"] != split}
    ranked = [row for row, document in enumerate(documents) if corpus == "all" or document["group_id"] not in elsewhere]
    assert len(documents) - 1 in ranked
    assert (found.split, found.query_rows.tolist(), found.document_rows.tolist()) == (split, rows, ranked)
    for place, row in enumerate(rows):
        own = queries[row]["group_id"]
        relevant = [at for at, document in enumerate(ranked) if documents[document]["group_id"] == own]
        assert relevant_to(found, place) == relevant
    words = (
        "the whole corpus of 121" if corpus == "all" else f"{len(ranked)} of 121 documents: those of the {split} split"
    )
    assert found.corpus.startswith(words)


def test_a_document_of_the_querys_own_text_takes_no_part(toy_dataset: Path) -> None:
    text = pq.read_table(toy_dataset / "queries.parquet").to_pylist()[18]["text"]
    add_documents(toy_dataset, [text.upper() + "!"])
    found = make(toy_dataset, "test")
    left_out = found.relevance.left_out
    assert left_out is not None
    assert left_out.counts.tolist() == [1] + [0] * (len(found.query_rows) - 1)
    assert left_out.documents.tolist() == [120]
    assert 120 not in relevant_to(found, 0)


def relevant_to(found: EvaluationSet, place: int) -> list[int]:
    offsets = found.relevance.offsets
    return found.relevance.documents[offsets[place] : offsets[place + 1]].tolist()


def add_documents(folder: Path, texts: list[str]) -> None:
    table = pq.read_table(folder / "corpus.parquet")
    rows = [{"document_id": f"new{number}", "text": text} for number, text in enumerate(texts)]
    pq.write_table(
        pa.concat_tables([table, pa.Table.from_pylist(rows, schema=SCHEMAS["corpus"])]), folder / "corpus.parquet"
    )


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
