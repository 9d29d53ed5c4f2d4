"""What a split is measured on, by plain loops over the tables."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.evaluation_set import EvaluationSet, check_corpus, evaluation_set
from hr_retrieval.data.guard import Guard
from hr_retrieval.data.keys import keys_of
from hr_retrieval.data.tables import SCHEMAS, Split
from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.metrics import per_query
from hr_retrieval.retrieval.ranking import exact_ranks
from hr_retrieval.text import normalise
from tests.conftest import chance, write_toy_dataset


def make(folder: Path, split: Split = "test", corpus: str = "all", queries: int | None = None) -> EvaluationSet:
    dataset = PreparedDataset.open(folder)
    return evaluation_set(dataset, Guard(dataset), split, corpus, queries)


def hash_of(text: str) -> int:
    return int(keys_of([text])[0, 0])


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
    rows.sort(key=lambda row: hash_of(normalise(queries[row]["text"])))
    ranked.sort(key=lambda row: hash_of(normalise(documents[row]["text"])))
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
    assert left_out.counts.tolist() == (found.query_rows == 18).astype(int).tolist()
    assert found.document_rows[left_out.documents.numpy()].tolist() == [120]
    assert all(120 not in found.document_rows[relevant_to(found, row)] for row in range(len(found.query_rows)))


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


def named(folder: Path, **options: Any) -> tuple[list[str], list[str], list[list[str]]]:
    """Ids of the queries and of the documents in their order, and of the relevant ones of each query in theirs."""
    dataset, found = PreparedDataset.open(folder), make(folder, **options)
    documents = dataset.ids_at("corpus", found.document_rows)
    relevant = [[documents[place] for place in relevant_to(found, row)] for row in range(len(found.query_rows))]
    return dataset.ids_at("queries", found.query_rows), documents, relevant


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 999), few=st.sampled_from([None, 5]))
@pytest.mark.parametrize("corpus", ["split", "all"])
def test_the_order_of_rows_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, toy_dataset: Path, corpus: str, seed: int, few: int | None
) -> None:
    other = tmp_path_factory.mktemp("other")
    for table in ("corpus", "queries", "qrels"):
        rows = pq.read_table(toy_dataset / f"{table}.parquet")
        order = np.random.default_rng(seed).permutation(len(rows))
        pq.write_table(rows.take(order), other / f"{table}.parquet")
    assert named(other, corpus=corpus, queries=few) == named(toy_dataset, corpus=corpus, queries=few)


def test_scores_that_all_tie_give_what_chance_gives(tmp_path: Path) -> None:
    """On the mean over corpora of other words, with the relevant documents at the head of the rows."""
    reciprocal, shares = [], []
    for salt in range(16):
        folder = tmp_path / str(salt)
        folder.mkdir()
        corpus = [{"document_id": f"d{row:03}", "text": f"text {salt} {row}"} for row in range(60)]
        queries = [{"query_id": f"q{row:03}", "text": f"ask {salt} {row}", "split": "test"} for row in range(10)]
        judged = [{"query_id": f"q{row // 3:03}", "document_id": f"d{row:03}", "relevance": 1} for row in range(30)]
        for table, rows in (("corpus", corpus), ("queries", queries), ("qrels", judged)):
            pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMAS[table]), folder / f"{table}.parquet")
        found = make(folder, corpus="all")
        ranks = exact_ranks(torch.ones(10, 4), torch.ones(60, 4), found.relevance)
        values = per_query(ranks, found.relevance)
        reciprocal.append(float(values["mrr"].mean()))
        shares.append(float(values["recall@10"].mean()))
    for figures, expected in ((reciprocal, chance(3, 60)), (shares, 10 / 60)):
        assert abs(np.mean(figures) - expected) < 4 * np.std(figures, ddof=1) / len(figures) ** 0.5


def test_equal_texts_stand_in_the_order_of_their_ids_hashes(toy_dataset: Path) -> None:
    documents = pq.read_table(toy_dataset / "corpus.parquet").to_pylist()
    alike = pa.Table.from_pylist([{**row, "text": "welder"} for row in documents], schema=SCHEMAS["corpus"])
    pq.write_table(alike, toy_dataset / "corpus.parquet")
    ids = named(toy_dataset, corpus="all")[1]
    assert ids == sorted((row["document_id"] for row in documents), key=hash_of)


def test_rows_of_an_earlier_version_without_lots_are_written_anew(toy_dataset: Path) -> None:
    expected = named(toy_dataset)
    (toy_dataset / "rows" / "document_lots.npy").unlink()
    assert named(toy_dataset) == expected


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
