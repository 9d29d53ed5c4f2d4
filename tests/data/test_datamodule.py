"""Batches of a prepared data set: no relevant text is ever a negative, and any worker or restart gives the same."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from hr_retrieval.data.batch import Batch
from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.data.tables import SPLITS
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.guide import EncoderGuide
from hr_retrieval.errors import UserError
from tests.conftest import write_toy_dataset


def make(folder: Path, encoder: Encoder, **options: Any) -> RetrievalDataModule:
    module = RetrievalDataModule(folder, encoder, **{"batch_size": 8, **options})
    module.prepare_data()
    module.setup("fit")
    return module


def batches(module: RetrievalDataModule, count: int | None = None) -> list[Batch]:
    taken = []
    for batch in module.train_dataloader():
        taken.append(batch)
        if len(taken) == count:
            break
    return taken


def same(first: list[Batch], second: list[Batch]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(a.query_rows, b.query_rows)
        and torch.equal(a.document_rows, b.document_rows)
        and torch.equal(a.relevance, b.relevance)
        and torch.equal(a.negative, b.negative)
        and torch.equal(a.anchors.ids, b.anchors.ids)
        and torch.equal(a.documents.ids, b.documents.ids)
        for a, b in zip(first, second, strict=True)
    )


def test_a_batch_is_anchors_documents_and_their_relevance(toy_dataset: Path, tiny_encoder: Encoder) -> None:
    module = make(toy_dataset, tiny_encoder, positives_per_anchor=2)
    queries = pq.read_table(toy_dataset / "queries.parquet").to_pylist()
    corpus = pq.read_table(toy_dataset / "corpus.parquet").to_pylist()
    for batch in batches(module):
        assert batch.relevance.shape == (len(batch.anchors), len(batch.documents))
        assert batch.relevance.diagonal().all()
        anchors = [queries[row] for row in batch.query_rows.tolist()]
        documents = [corpus[row] for row in batch.document_rows.tolist()]
        assert {anchor["split"] for anchor in anchors} == {"train"}
        expected = [[anchor["group_id"] == document["group_id"] for document in documents] for anchor in anchors]
        assert batch.relevance.tolist() == expected
        assert torch.equal(batch.negative, ~batch.relevance)
        tokens, _ = tiny_encoder.tokenise([document["text"] for document in documents], "document")
        assert torch.equal(batch.documents.ids, tokens.ids)
        assert torch.equal(batch.documents.offsets, tokens.offsets)


def test_the_length_is_the_true_number_of_batches(toy_dataset: Path, tiny_encoder: Encoder) -> None:
    module = make(toy_dataset, tiny_encoder)
    assert len(batches(module)) == len(module.train_dataloader()) == 96 // 8


def test_stated_negatives_and_further_positives_come_where_asked(toy_dataset: Path, tiny_encoder: Encoder) -> None:
    dataset = make(toy_dataset, tiny_encoder).sources[0].dataset
    stated = {
        (query, int(document))
        for query in range(dataset.query_count)
        for document in dataset.negative_documents[
            dataset.negative_offsets[query] : dataset.negative_offsets[query + 1]
        ]
    }

    def added(**options: Any) -> set[tuple[int, int]]:
        found = set()
        for batch in batches(make(toy_dataset, tiny_encoder, **options)):
            rows = batch.document_rows[len(batch.anchors) :].tolist()
            found |= {(query, row) for query in batch.query_rows.tolist() for row in rows}
        return found

    assert added(negatives_per_anchor=1) & stated
    assert not added(negatives_per_anchor=0)


def test_batches_are_the_same_for_any_number_of_workers_and_differ_by_seed(
    toy_dataset: Path, tiny_encoder: Encoder
) -> None:
    alone = batches(make(toy_dataset, tiny_encoder))
    assert same(alone, batches(make(toy_dataset, tiny_encoder, workers=2)))
    assert not same(alone, batches(make(toy_dataset, tiny_encoder, seed=2)))


@pytest.mark.parametrize("repeats", [True, False])
def test_without_repeats_no_query_and_no_own_positive_stands_in_a_batch_twice(
    toy_dataset: Path, tiny_encoder: Encoder, repeats: bool
) -> None:
    path = toy_dataset / "qrels.parquet"
    qrels = pq.read_table(path)
    second = [{"query_id": f"q{group}-0", "document_id": f"d{group}-1", "relevance": 1} for group in range(60)]
    pq.write_table(pa.concat_tables([qrels, pa.Table.from_pylist(second, schema=qrels.schema)]), path)
    repeated = [
        len(set(rows.tolist())) < len(rows)
        for batch in batches(make(toy_dataset, tiny_encoder, batch_size=12, repeats=repeats))
        for rows in (batch.query_rows, batch.document_rows[: len(batch.anchors)])
    ]
    assert any(repeated) == repeats


def test_pairs_are_those_of_the_tables_however_many_are_looked_at_together(
    toy_dataset: Path, tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make(toy_dataset, tiny_encoder, repeats=False)
    data = whole.sources[0].dataset
    first = data.positive_offsets
    pairs = [
        (query, int(document))
        for query in np.flatnonzero(data.query_split == SPLITS["train"]).tolist()
        for document in data.positive_documents[first[query] : first[query + 1]]
    ]
    texts = [[int(data.query_text[query]), int(data.document_duplicate[document])] for query, document in pairs]
    assert whole.pairs[0].texts().T.tolist() == texts
    lengths = [len(whole.tokens[0][0].take(np.array([query])).ids) for query, _ in pairs]
    lengths = [
        length + len(whole.tokens[0][1].take(np.array([document])).ids)
        for length, (_, document) in zip(lengths, pairs, strict=True)
    ]
    assert whole.pairs[0].lengths().tolist() == lengths
    monkeypatch.setattr("hr_retrieval.data.pairs._BLOCK", 7)
    parts = make(toy_dataset, tiny_encoder, repeats=False)
    assert same(batches(parts), batches(whole))
    for name in ("lengths", "texts"):
        assert np.array_equal(getattr(parts.pairs[0], name)(), getattr(whole.pairs[0], name)())


def test_a_resumed_loader_goes_on_behind_what_was_consumed(toy_dataset: Path, tiny_encoder: Encoder) -> None:
    whole = make(toy_dataset, tiny_encoder, workers=1)
    expected = batches(whole) + batches(whole)
    first = make(toy_dataset, tiny_encoder, workers=1)
    taken = batches(first, 5)
    resumed = make(toy_dataset, tiny_encoder)
    resumed.train_dataloader().load_state_dict(first.train_dataloader().state_dict())
    taken += batches(resumed)
    assert same(taken, expected[: len(taken)])


def test_evaluation_covers_each_text_of_the_split_once(toy_dataset: Path, tiny_encoder: Encoder) -> None:
    module = make(toy_dataset, tiny_encoder, evaluation_tokens=40)
    evaluation = module.evaluation_sets("validation")[0]
    assert len(evaluation.query_rows) == len(evaluation.document_rows) == 12
    assert evaluation.relevance.counts.tolist() == [2] * 12
    loaded = list(module.val_dataloader())
    assert len(loaded) > 2
    for kind, count in (("query", 12), ("document", 12)):
        rows = [row for batch in loaded if batch.kind == kind for row in batch.rows.tolist()]
        assert sorted(rows) == list(range(count))


def test_the_corpus_and_the_number_of_queries_can_be_chosen(toy_dataset: Path, tiny_encoder: Encoder) -> None:
    module = make(toy_dataset, tiny_encoder, validation_corpus="all", test_corpus="split", evaluation_queries=5)
    evaluation = module.evaluation_sets("test")[0]
    assert len(evaluation.query_rows) == 5
    assert len(evaluation.document_rows) == 12
    assert len(module.evaluation_sets("validation")[0].document_rows) == 120
    plain = make(toy_dataset, tiny_encoder)
    assert [len(plain.evaluation_sets(split)[0].document_rows) for split in ("validation", "test")] == [12, 120]
    # Runs of several seeds measure the same queries.
    other = make(toy_dataset, tiny_encoder, evaluation_queries=5, seed=2)
    assert np.array_equal(other.evaluation_sets("test")[0].query_rows, evaluation.query_rows)
    with pytest.raises(UserError, match=r"datamodule\.test_corpus to be 'split' or 'all'"):
        make(toy_dataset, tiny_encoder, test_corpus="some")


def test_bad_sizes_and_data_are_refused_before_any_work(
    tmp_path: Path, toy_dataset: Path, tiny_encoder: Encoder
) -> None:
    with pytest.raises(UserError, match="batch no larger than the training data"):
        make(toy_dataset, tiny_encoder, batch_size=97)
    with pytest.raises(UserError, match="positives_per_anchor"):
        make(toy_dataset, tiny_encoder, positives_per_anchor=0)
    with pytest.raises(UserError, match="two groups"):
        RetrievalDataModule(write_toy_dataset(tmp_path / "one", groups=1), tiny_encoder, batch_size=2)
    with pytest.raises(UserError, match="queries in the test split"):
        make(write_toy_dataset(tmp_path / "few", groups=5), tiny_encoder, batch_size=4).evaluation_sets("test")[0]


def test_what_the_guide_finds_as_close_as_the_positive_is_no_negative(toy_dataset: Path, tiny_encoder: Encoder) -> None:
    guide = EncoderGuide(Encoder("tiny"))
    module = make(toy_dataset, tiny_encoder, guide=guide)
    queries, documents = (
        [text for block in module.sources[0].dataset.texts(name) for text in block] for name in ("queries", "corpus")
    )
    embedded = guide.encoder.encode(queries, "query"), guide.encoder.encode(documents, "document")
    scores = embedded[0].double() @ embedded[1].double().T
    ignored = 0
    for batch in batches(module):
        for i, query in enumerate(batch.query_rows.tolist()):
            for j, document in enumerate(batch.document_rows.tolist()):
                # Query `q` states document `q` alone.
                above = float(scores[query, document] - scores[query, query])
                stated = document in stated_negatives(module, query)
                if not batch.relevance[i, j] and not stated and abs(above) > 2e-3:
                    assert bool(batch.negative[i, j]) == (above < 0)
                assert not (batch.relevance[i, j] and batch.negative[i, j])
        ignored += int((~batch.negative & ~batch.relevance).sum())
    assert ignored > 0
    wider = batches(make(toy_dataset, tiny_encoder, guide=guide, guide_margin=0.1))
    assert sum(int((~batch.negative & ~batch.relevance).sum()) for batch in wider) > ignored


def stated_negatives(module: RetrievalDataModule, query: int) -> list[int]:
    begin, end = module.sources[0].dataset.negative_offsets[query : query + 2]
    rows: list[int] = module.sources[0].dataset.negative_documents[begin:end].tolist()
    return rows


def test_twins_and_own_texts_train_nobody_wrongly(toy_dataset: Path, tiny_encoder: Encoder) -> None:
    path = toy_dataset / "queries.parquet"
    queries, corpus = pq.read_table(path).to_pylist(), pq.read_table(toy_dataset / "corpus.parquet").to_pylist()
    # Two groups ask with one text, and another query is the text of its own positive.
    queries[2]["text"] = queries[0]["text"].upper()
    queries[4]["text"] = corpus[4]["text"]
    pq.write_table(pa.Table.from_pylist(queries, schema=pq.read_schema(path)), path)
    module = make(toy_dataset, tiny_encoder, batch_size=96 - 1)
    (batch,) = batches(module)
    query, document = (
        {row: place for place, row in reversed(list(enumerate(rows.tolist())))}
        for rows in (batch.query_rows, batch.document_rows)
    )
    for one, other in ((0, 2), (2, 0)):
        assert batch.relevance[query[one], document[other]]
        assert not batch.negative[query[one], document[other]]
    assert 4 not in query
    # Its text is another query's question too, in another batch: it is neither.
    relevance, negative = module.guard.judge(np.array([4]), np.array([4, 5]))
    assert (relevance.tolist(), negative.tolist()) == ([[False, True]], [[False, False]])
    with_it = batches(make(toy_dataset, tiny_encoder, batch_size=96, identical_text="count"))[0]
    assert 4 in with_it.query_rows


def test_a_margin_needs_a_guide(toy_dataset: Path, tiny_encoder: Encoder) -> None:
    with pytest.raises(UserError, match="a guide for the guide_margin"):
        make(toy_dataset, tiny_encoder, guide_margin=0.1)
    with pytest.raises(UserError, match="guide_margin of at least 0"):
        make(toy_dataset, tiny_encoder, guide_margin=-0.1)


@pytest.mark.parametrize("processes", [1, 3, 20])
def test_every_process_has_a_batch_of_the_validation_and_all_have_every_text_once(
    toy_dataset: Path, tiny_encoder: Encoder, processes: int
) -> None:
    module = make(toy_dataset, tiny_encoder)
    module.processes = processes
    evaluation = module.evaluation_sets("validation")[0]
    rows: dict[str, list[int]] = {"query": [], "document": []}
    for module.process in range(processes):
        part = list(module.val_dataloader())
        assert part
        for batch in part:
            assert len(batch.rows) == len(batch.tokens) > 0
            rows[batch.kind] += batch.rows.tolist()
    assert sorted(rows["query"]) == list(range(len(evaluation.query_rows)))
    assert sorted(rows["document"]) == list(range(len(evaluation.document_rows)))


def test_more_processes_than_texts_are_refused(toy_dataset: Path, tiny_encoder: Encoder) -> None:
    module = make(toy_dataset, tiny_encoder)
    module.processes = 1000
    with pytest.raises(UserError, match=r"trainer\.devices"):
        module.val_dataloader()


def test_a_curriculum_takes_short_pairs_first(toy_dataset: Path, tiny_encoder: Encoder) -> None:
    def tokens(curriculum: str | None) -> list[int]:
        module = make(toy_dataset, tiny_encoder, curriculum=curriculum)
        lengths = module.pairs[0].lengths()
        return [int(lengths[pairs].sum()) for _, _, pairs in module.train_dataloader().source_sampler]

    ordered, plain = tokens("length"), tokens(None)
    middle = len(ordered) // 2
    assert sum(ordered[:middle]) < sum(plain[:middle]) < sum(ordered[-middle:])


def test_a_curriculum_takes_what_weighs_most_first(tmp_path: Path, toy_dataset: Path, tiny_encoder: Encoder) -> None:
    with pytest.raises(UserError, match=r"different weights.*1 for all"):
        make(toy_dataset, tiny_encoder, curriculum="weight")
    with pytest.raises(UserError, match="length, weight or null; got 'hard'"):
        make(toy_dataset, tiny_encoder, curriculum="hard")
    shutil.copytree(toy_dataset, tmp_path / "graded")
    path = tmp_path / "graded" / "qrels.parquet"
    table = pq.read_table(path)
    graded = np.arange(len(table)) % 3 + 1
    place = table.schema.get_field_index("relevance")
    pq.write_table(table.set_column(place, table.schema.field(place), pa.array(graded, pa.int8())), path)
    module = make(tmp_path / "graded", tiny_encoder, curriculum="weight")
    source = module.pairs[0]
    grades = [
        source.dataset.positive_grades[source.places[pairs]].mean()
        for _, _, pairs in module.train_dataloader().source_sampler
    ]
    assert grades[0] > 2 > grades[-1]
