"""Several data sets as one: the guard says of them what it says of one folder that holds all their texts."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.guard import Guard
from hr_retrieval.data.joined import first_rows, joined
from hr_retrieval.data.tables import SCHEMAS

Rows = dict[str, list[dict[str, object]]]
SPLITS = ("train", "train", "train", "validation", "test")


def write(folder: Path, tables: Rows) -> PreparedDataset:
    folder.mkdir()
    for name, rows in tables.items():
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMAS[name]), folder / f"{name}.parquet")
    return PreparedDataset.open(folder)


def drawn(random: np.random.Generator, mark: str) -> Rows:
    """Texts, groups and judgements of few kinds, so that much is shared; no document states a group."""
    documents = random.choice(20, 12, replace=False)
    queries = random.choice(16, 10)
    groups = random.choice(["g0", "g1", "g2", "g3", "own"], 10)
    pairs = {(int(q), int(d)) for q, d in zip(random.integers(10, size=24), random.integers(12, size=24), strict=True)}
    split = {text: SPLITS[random.integers(5)] for text in range(16)}
    return {
        "corpus": [
            {"document_id": f"{mark}{row}", "text": f"Text {text}!", "group_id": None, "duplicate_id": None}
            for row, text in enumerate(documents)
        ],
        "queries": [
            {
                # Some queries have the text of a document.
                "query_id": f"{mark}{row}", "text": f"text {text}" if text < 8 else f"query {text}",
                "group_id": None if group == "own" else group, "split": split[int(text)],
            }
            for row, (text, group) in enumerate(zip(queries, groups, strict=True))
        ],
        "qrels": [
            {"query_id": f"{mark}{q}", "document_id": f"{mark}{d}", "relevance": int(random.integers(4)), "weight": random.choice([0.5, 2.0])}
            for q, d in sorted(pairs)
        ],
    }  # fmt: skip


def in_one_folder(parts: list[Rows]) -> Rows:
    """All of it in one data set, where documents of one text are one document."""
    ids: dict[object, object] = {}
    corpus: dict[object, dict[str, object]] = {}
    for part in parts:
        for row in part["corpus"]:
            ids[row["document_id"]] = corpus.setdefault(row["text"], row)["document_id"]
    return {
        "corpus": list(corpus.values()),
        "queries": [row for part in parts for row in part["queries"]],
        "qrels": [row | {"document_id": ids[row["document_id"]]} for part in parts for row in part["qrels"]],
    }


@pytest.mark.parametrize("seed", range(12))
def test_a_joined_guard_is_the_guard_of_one_folder_with_all_texts(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    parts = [drawn(random, mark) for mark in "abc"]
    datasets = [write(tmp_path / mark, part) for mark, part in zip("abc", parts, strict=True)]
    whole = write(tmp_path / "whole", in_one_folder(parts))
    row_of = {row["text"]: place for place, row in enumerate(in_one_folder(parts)["corpus"])}
    tables = joined(datasets)
    guards = Guard(tables), Guard(whole)
    first_query, first_document = first_rows(datasets)
    for part, query, document in zip(parts, first_query, first_document, strict=True):
        queries, documents = query + np.arange(10), document + np.arange(12)
        merged = np.array([row_of[row["text"]] for row in part["corpus"]])
        expected = guards[1].judge(queries, merged)
        found = guards[0].judge(queries, documents)
        worth = [
            guard.weights(*rows) for guard, rows in zip(guards, ((queries, documents), (queries, merged)), strict=True)
        ]
        for own, other in (*zip(found, expected, strict=True), worth):
            assert own.tolist() == other.tolist()
        codes = guards[0].identities(documents)
        assert len(set(codes.tolist())) == 12


def test_equal_texts_are_duplicates_across_data_sets_and_own_duplicates_stay(tmp_path: Path) -> None:
    parts = [drawn(np.random.default_rng(0), mark) for mark in "ab"]
    parts[0]["corpus"][0]["duplicate_id"] = parts[0]["corpus"][1]["duplicate_id"] = "same"
    datasets = [write(tmp_path / mark, part) for mark, part in zip("ab", parts, strict=True)]
    codes = joined(datasets).document_duplicate
    texts = [row["text"] for part in parts for row in part["corpus"]]
    for i, one in enumerate(texts):
        for j, other in enumerate(texts):
            if one == other or {i, j} == {0, 1}:
                assert codes[i] == codes[j]
    assert len(set(codes.tolist())) == len(set(texts)) - 1


def test_groups_are_shared_by_their_ids_or_not_at_all(tmp_path: Path) -> None:
    parts = [drawn(np.random.default_rng(1), mark) for mark in "ab"]
    datasets = [write(tmp_path / mark, part) for mark, part in zip("ab", parts, strict=True)]
    names = [row["group_id"] for part in parts for row in part["queries"]]
    for shared in (True, False):
        codes = joined(datasets, shared).query_group
        for i, one in enumerate(names):
            for j, other in enumerate(names):
                if one is not None and other is not None:
                    same = one == other and (shared or (i < 10) == (j < 10))
                    assert (codes[i] == codes[j]) == same


def test_one_data_set_is_its_own_tables(toy_dataset: Path) -> None:
    dataset = PreparedDataset.open(toy_dataset)
    assert joined([dataset]) is dataset
