"""Mined negatives: the hardest of the allowed ones, and files that are whole and of the right data set."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.guard import Guard
from hr_retrieval.data.guidance import Guidance
from hr_retrieval.data.negatives import (
    Hardest,
    MinedNegatives,
    MiningOptions,
    candidate_documents,
    hardest_allowed,
    mine,
    mined_queries,
)
from hr_retrieval.data.tokens import TokenTable
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.ragged import Ragged
from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.index import ExactIndex
from tests.conftest import write_toy_dataset
from tests.data.test_datamodule import make
from tests.data.test_guard import Tables
from tests.data.test_guard import naive as kind


def drawn_tables(generator: np.random.Generator, queries: int, documents: int) -> Tables:
    """Each query with one to three positives; a few groups and duplicates."""
    positives = [
        set(generator.choice(documents, generator.integers(1, 4), replace=False).tolist()) for _ in range(queries)
    ]
    groups = [f"g{number}" for number in generator.integers(0, documents, documents + queries)]
    return Tables(
        list(groups[:documents]),
        generator.integers(0, documents, documents).tolist(),
        [f"d{row}" for row in range(documents)],
        list(groups[documents:]),
        [f"q{row}" for row in range(queries)],
        positives,
        [set(generator.choice(documents, 1).tolist()) - own for own in positives],
    )


def naive(
    tables: Tables,
    candidates: list[int],
    embeddings: list[list[int]],
    query: list[int],
    row: int,
    options: MiningOptions,
) -> list[tuple[int, int, float, float]]:
    """Document, rank, score and the positive's score of one query's hardest allowed negatives, by loops.

    `embeddings` are those of the candidates.
    """
    score = {
        document: float(sum(a * b for a, b in zip(query, vector, strict=True)))
        for document, vector in zip(candidates, embeddings, strict=True)
    }
    best = max(score[document] for document in tables.positives[row])
    kept: list[tuple[int, int, float, float]] = []
    rank = 0
    for document in sorted(score, key=lambda document: (-score[document], document))[: options.depth]:
        if kind(tables, row, document) not in ("negative", "nothing stated"):
            continue
        rank += 1
        if rank <= options.skip or len(kept) == options.per_query:
            continue
        share = options.positive_share
        if share is None or score[document] < best - (1 - share) * abs(best):
            kept.append((document, rank, score[document], best))
    return kept


def listed(found: Hardest) -> list[tuple[int, int, int, float, float]]:
    columns = (found.query_rows, found.document_rows, found.ranks, found.scores, found.positive_scores)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    depth=st.integers(1, 40),
    skip=st.integers(0, 3),
    share=st.sampled_from([None, 0.5, 0.95, 1.0]),
)
def test_the_hardest_are_those_of_a_loop_with_ties_guard_and_positives_below_zero(
    seed: int, depth: int, skip: int, share: float | None
) -> None:
    """Small whole numbers: many ties, and scores without rounding."""
    generator = np.random.default_rng(seed)
    tables = drawn_tables(generator, 6, 30)
    claimed = set(tables.positive_documents.tolist())
    candidates = np.array(sorted(claimed | set(generator.choice(30, 12).tolist())), np.int64)
    documents, queries = generator.integers(-2, 3, (len(candidates), 3)), generator.integers(-2, 3, (6, 3))
    options = MiningOptions(depth + skip, min(depth, 4), share, skip)
    rows = np.array([0, 2, 3, 5])
    index = ExactIndex(torch.from_numpy(documents).float())
    found = hardest_allowed(index, candidates, torch.from_numpy(queries[rows]).float(), rows, Guard(tables), options)
    expected = [
        (row, *kept)
        for row in rows.tolist()
        for kept in naive(tables, candidates.tolist(), documents.tolist(), queries[row].tolist(), row, options)
    ]
    assert listed(found) == expected


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.1, 1.0), skip=st.integers(0, 5))
def test_never_relevant_never_too_close_always_sorted(seed: int, share: float, skip: int) -> None:
    generator = np.random.default_rng(seed)
    tables = drawn_tables(generator, 10, 50)
    guard, rows, candidates = Guard(tables), np.arange(10), np.arange(50)
    documents, queries = (torch.from_numpy(generator.standard_normal((n, 4))).float() for n in (50, 10))
    options = MiningOptions(30, 5, share, skip)
    found = hardest_allowed(ExactIndex(documents), candidates, queries, rows, guard, options)
    _, negative = guard.judge(rows, candidates)
    assert negative[found.query_rows, found.document_rows].all()
    positive = found.positive_scores.astype(np.float64)
    assert (found.scores < positive - (1 - share) * np.abs(positive)).all()
    assert (found.ranks > skip).all()
    order = np.lexsort((-found.scores, found.query_rows))
    assert (order == np.arange(len(order))).all()
    assert np.bincount(found.query_rows, minlength=10).max() <= 5
    assert found.looked_at == 10 * 30
    assert found.relevant + found.close + len(found.scores) <= found.looked_at


@pytest.fixture
def dataset(toy_dataset: Path) -> PreparedDataset:
    return PreparedDataset.open(toy_dataset)


def test_candidates_are_what_no_measured_query_has_for_an_answer(dataset: PreparedDataset) -> None:
    candidates = candidate_documents(dataset, Guard(dataset))
    ids = dataset.ids_at("corpus", candidates)
    groups = {int(name[1:].split("-")[0]) for name in ids}
    assert groups == {group for group in range(60) if group % 10 < 8}
    assert len(ids) == 2 * len(groups)


def test_a_positive_of_a_training_query_is_a_candidate_whoever_else_claims_it(tmp_path: Path) -> None:
    folder = write_toy_dataset(tmp_path / "toy")
    qrels = pq.read_table(folder / "qrels.parquet").to_pylist()
    # A validation query's positive is a training query's as well.
    qrels.append({"query_id": "q8-0", "document_id": "d0-0", "relevance": 1})
    columns = pq.read_schema(folder / "qrels.parquet")
    pq.write_table(pq.read_table(folder / "qrels.parquet").from_pylist(qrels, schema=columns), folder / "qrels.parquet")
    dataset = PreparedDataset.open(folder)
    candidates = dataset.ids_at("corpus", candidate_documents(dataset, Guard(dataset)))
    assert {"d0-0", "d0-1"} <= set(candidates)
    assert not {"d8-0", "d8-1"} & set(candidates)


def test_queries_are_of_the_training_split_and_drawn_anew_each_epoch(dataset: PreparedDataset) -> None:
    every = mined_queries(dataset, MiningOptions(), 0)
    assert every.tolist() == np.flatnonzero(np.asarray(dataset.query_split) == 0).tolist()
    few = [
        mined_queries(dataset, MiningOptions(queries=10, seed=seed), epoch) for seed, epoch in ((1, 0), (1, 1), (2, 0))
    ]
    assert all(len(rows) == 10 and (np.diff(rows) > 0).all() and np.isin(rows, every).all() for rows in few)
    assert len({tuple(rows.tolist()) for rows in few}) == 3
    assert few[0].tolist() == mined_queries(dataset, MiningOptions(queries=10, seed=1), 0).tolist()


def mined(folder: Path, encoder: Encoder, batch_tokens: int = 200, **options: Any) -> MinedNegatives:
    module = make(folder, encoder)
    tables: tuple[TokenTable, TokenTable] = (module.query_tokens, module.document_tokens)

    def embed(tokens: Ragged) -> torch.Tensor:
        with torch.no_grad():
            embeddings: torch.Tensor = encoder(tokens)
        return embeddings

    return mine(module.dataset, Guard(module.dataset), *tables, embed, MiningOptions(**options), 0, 7, batch_tokens)


def test_mining_with_an_encoder_is_a_ranking_of_its_embeddings(toy_dataset: Path, tiny_encoder: Encoder) -> None:
    """Whatever the blocks; an expected figure for each of the diagnostics."""
    found = mined(toy_dataset, tiny_encoder, depth=96, per_query=96, positive_share=0.9)
    dataset = PreparedDataset.open(toy_dataset)
    texts = {table: [text for block in dataset.texts(table) for text in block] for table in ("queries", "corpus")}
    rows, candidates = mined_queries(dataset, found.options, 0), candidate_documents(dataset, Guard(dataset))
    queries = tiny_encoder.encode([texts["queries"][row] for row in rows], "query")
    documents = tiny_encoder.encode([texts["corpus"][row] for row in candidates], "document")
    scores = (queries @ documents.T).numpy()
    relevant, _ = Guard(dataset).judge(rows, candidates)
    own = [dataset.positive_documents[dataset.positive_offsets[row]] for row in rows]
    positive = scores[np.arange(len(rows)), np.searchsorted(candidates, own)]
    # The limit is far from rounding for nearly all; the rest may fall on either side.
    allowed = ~relevant & (scores < 0.9 * positive[:, None])
    assert abs(len(found) - allowed.sum()) <= 2
    assert found.diagnostics["kept_per_query"] == len(found) / len(rows)
    assert found.diagnostics["relevant_dropped"] == 2 / 96
    assert found.diagnostics["too_close_dropped"] == pytest.approx((~relevant & ~allowed).mean(), abs=1e-3)
    at = np.searchsorted(rows, found.query_rows), np.searchsorted(candidates, found.document_rows)
    np.testing.assert_allclose(found.scores, scores[at], atol=1e-5)
    np.testing.assert_allclose(found.positive_scores, positive[at[0]], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "value"), [("depth", 8), ("per_query", 1), ("positive_share", 0.9), ("skip", 5), ("queries", 10)]
)
def test_each_option_changes_what_is_mined(toy_dataset: Path, tiny_encoder: Encoder, name: str, value: Any) -> None:
    plain = mined(toy_dataset, tiny_encoder, positive_share=None)
    changed = mined(toy_dataset, tiny_encoder, **{"positive_share": None, name: value})
    pairs = [set(zip(some.query_rows.tolist(), some.document_rows.tolist(), strict=True)) for some in (changed, plain)]
    assert pairs[0] != pairs[1]


@pytest.mark.parametrize(
    "options",
    [{"depth": 7}, {"per_query": 0}, {"skip": -1}, {"skip": 93}, {"positive_share": 0.0}, {"positive_share": 1.1}, {"queries": 0}],
)  # fmt: skip
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"callbacks.mine_negatives with .*{next(iter(options))}"):
        MiningOptions(**options)


def test_a_file_gives_back_what_was_written_and_reads_as_ids(
    toy_dataset: Path, tiny_encoder: Encoder, dataset: PreparedDataset, tmp_path: Path
) -> None:
    written, path = mined(toy_dataset, tiny_encoder, queries=20), tmp_path / "run" / "epoch-0001.parquet"
    written.write(path, dataset)
    found = MinedNegatives.open(path, dataset)
    for name in ("query_rows", "document_rows", "ranks", "scores", "positive_scores"):
        assert np.array_equal(getattr(found, name), getattr(written, name))
        assert getattr(found, name).dtype == getattr(written, name).dtype
    assert (found.step, found.options, found.diagnostics) == (7, written.options, written.diagnostics)
    table = pq.read_table(path)
    assert table.column_names[:5] == ["query_id", "document_id", "rank", "score", "positive_score"]
    assert table.column("query_id").to_pylist() == dataset.ids_at("queries", written.query_rows)
    assert table.column("document_id").to_pylist() == dataset.ids_at("corpus", written.document_rows)
    offsets = found.offsets(dataset.query_count)
    for query in range(dataset.query_count):
        own = found.document_rows[offsets[query] : offsets[query + 1]].tolist()
        assert own == [d for q, d in zip(found.query_rows, found.document_rows, strict=True) if q == query]


def test_a_file_of_another_data_set_or_a_damaged_one_is_refused(
    toy_dataset: Path, tiny_encoder: Encoder, dataset: PreparedDataset, tmp_path: Path
) -> None:
    path = tmp_path / "epoch-0001.parquet"
    mined(toy_dataset, tiny_encoder).write(path, dataset)
    other = PreparedDataset.open(write_toy_dataset(tmp_path / "other", groups=50))
    with pytest.raises(UserError, match=f"{other.fingerprint}.*{dataset.fingerprint}"):
        MinedNegatives.open(path, other)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"epoch-0001.parquet"):
        MinedNegatives.open(path, dataset)
    os.truncate(path, len(content) // 2)
    with pytest.raises(UserError, match=r"epoch-0001.parquet"):
        MinedNegatives.open(path, dataset)
    pq.write_table(pq.read_table(toy_dataset / "qrels.parquet"), path)
    with pytest.raises(UserError, match="other columns"):
        MinedNegatives.open(path, dataset)
    with pytest.raises(UserError, match="no such file"):
        MinedNegatives.open(tmp_path / "absent.parquet", dataset)


def test_what_a_guide_finds_as_close_as_the_positive_is_not_mined() -> None:
    generator = np.random.default_rng(0)
    documents, queries = (
        values / np.linalg.norm(values, axis=1, keepdims=True)
        for values in (generator.normal(size=(20, 8)), generator.normal(size=(5, 8)))
    )
    tables, rows = drawn_tables(generator, 5, 20), np.arange(5)
    index, options = ExactIndex(torch.from_numpy(documents).float()), MiningOptions(depth=20, positive_share=None)
    candidates = np.arange(20)

    def mined_by(guard: Guard) -> set[tuple[int, int]]:
        found = hardest_allowed(index, candidates, torch.from_numpy(queries).float(), rows, guard, options)
        return set(zip(found.query_rows.tolist(), found.document_rows.tolist(), strict=True))

    guidance = Guidance(queries.astype(np.float16), documents.astype(np.float16), margin=0.4)
    guided = Guard(tables, guidance)
    _, negative = guided.judge(rows, candidates)
    plain = mined_by(Guard(tables))
    assert mined_by(guided) != plain
    assert all(negative[query, document] for query, document in mined_by(guided))
