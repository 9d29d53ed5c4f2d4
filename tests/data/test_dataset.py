"""Prepared folders made by hand, against plain loops."""

import json
import re
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.data import tables
from hr_retrieval.data.dataset import PreparedDataset, spaced
from hr_retrieval.errors import UserError
from hr_retrieval.program import called
from hr_retrieval.text import normalise

CORPUS = pd.DataFrame(
    {
        "document_id": ["d1", "d2", "d3"],
        "text": ["x", "y", "z"],
        "group_id": ["g", None, "h"],
        "duplicate_id": ["t", "t", None],
    }
)
QUERIES = pd.DataFrame(
    {"query_id": ["q1", "q2"], "text": ["a", "b"], "group_id": ["g", None], "split": ["train", "test"]}
)
QRELS = pd.DataFrame({"query_id": ["q2", "q1", "q2"], "document_id": ["d3", "d1", "d2"], "relevance": [1, 1, 0]})


def write(folder: Path, corpus: Any = CORPUS, queries: Any = QUERIES, qrels: Any = QRELS) -> Path:
    folder.mkdir(exist_ok=True)
    for name, frame in (("corpus", corpus), ("queries", queries), ("qrels", qrels)):
        frame.to_parquet(folder / f"{name}.parquet", row_group_size=2)
    return folder


def test_a_folder_made_by_hand_gets_its_rows(tmp_path: Path) -> None:
    data = PreparedDataset.open(write(tmp_path))
    assert (data.document_count, data.query_count, data.info) == (3, 2, {})
    # The third document is of its stated group, and of its query, which has none.
    assert groups_of(data) == [
        {int(data.query_group[0])},
        set(),
        {int(data.query_group[1]), 1 - int(data.query_group[0])},
    ]
    assert data.query_group.tolist() == [0, -2]
    assert (data.query_text.tolist(), data.document_text.tolist()) == ([0, 1], [-1, -1, -1])
    assert (data.text_offsets.tolist(), data.text_queries.tolist()) == ([0, 1, 2], [0, 1])
    assert data.document_duplicate[0] == data.document_duplicate[1]
    assert data.document_duplicate[2] == -3
    assert data.query_split.tolist() == [0, 2]
    assert (data.positive_offsets.tolist(), data.positive_documents.tolist()) == ([0, 1, 2], [0, 2])
    assert (data.negative_offsets.tolist(), data.negative_documents.tolist()) == ([0, 0, 1], [1])
    assert isinstance(data.positive_documents, np.memmap)
    dtypes = {name: getattr(data, name).dtype.name for name in ("query_group", "query_split", "positive_documents")}
    assert dtypes == {"query_group": "int64", "query_split": "int8", "positive_documents": "int32"}


def groups_of(data: PreparedDataset) -> list[set[int]]:
    offsets = data.group_offsets.tolist()
    return [set(data.document_groups[begin:end].tolist()) for begin, end in pairwise(offsets)]


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_rows_match_the_loop(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    names = st.sampled_from(["g", "h", "", None])
    documents, queries = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))
    corpus = pd.DataFrame(
        {
            "document_id": [f"d{row}" for row in range(documents)],
            "text": data.draw(st.lists(st.sampled_from(["a", "A!", "b", "x"]), min_size=documents, max_size=documents)),
            "group_id": pd.Series(data.draw(st.lists(names, min_size=documents, max_size=documents)), dtype="str"),
        }
    )
    asked = pd.DataFrame(
        {
            "query_id": [f"q{row}" for row in range(queries)],
            "text": data.draw(st.lists(st.sampled_from(["a", "A", "b", "c"]), min_size=queries, max_size=queries)),
            "group_id": pd.Series(data.draw(st.lists(names, min_size=queries, max_size=queries)), dtype="str"),
            "split": "train",
        }
    )
    every = [(query, document) for query in range(queries) for document in range(documents)]
    pairs = data.draw(st.lists(st.sampled_from(every), unique=True, min_size=1))
    relevance = data.draw(st.lists(st.integers(0, 1), min_size=len(pairs), max_size=len(pairs)))
    qrels = pd.DataFrame(
        {
            "query_id": [f"q{query}" for query, _ in pairs],
            "document_id": [f"d{document}" for _, document in pairs],
            "relevance": relevance,
        }
    )
    opened = PreparedDataset.open(write(tmp_path_factory.mktemp("made"), corpus, asked, qrels))
    texts = [normalise(text) for text in asked["text"]]
    stated = [None if pd.isna(name) else name for name in asked["group_id"]]
    marks = [("text", text) if name is None else ("group", name) for name, text in zip(stated, texts, strict=True)]
    code_of: dict[tuple[str, str], int] = {}
    for code, mark in zip(opened.query_group.tolist(), marks, strict=True):
        assert code_of.setdefault(mark, code) == code
        assert (code < 0) == (mark[0] == "text")
    assert len(set(code_of.values())) == len(code_of)
    for document, found in enumerate(groups_of(opened)):
        own = corpus["group_id"][document]
        expected = {
            code_of[marks[query]] for (query, to), sign in zip(pairs, relevance, strict=True) if to == document and sign
        }
        unasked = not pd.isna(own) and ("group", own) not in code_of
        expected |= set() if pd.isna(own) or unasked else {code_of["group", own]}
        assert {code for code in found if code in code_of.values()} == expected
        assert len(found) == len(expected) + unasked
        text = normalise(corpus["text"][document])
        number = int(opened.document_text[document])
        assert [row for row, own in enumerate(texts) if own == text] == (
            [] if number < 0 else opened.text_queries[slice(*opened.text_offsets[number : number + 2])].tolist()
        )
    assert not opened.document_duplicate.max() >= 0
    for sign, kind in ((1, "positive"), (0, "negative")):
        offsets, members = getattr(opened, f"{kind}_offsets"), getattr(opened, f"{kind}_documents")
        for query in range(queries):
            expected = sorted(
                pair[1] for pair, mark in zip(pairs, relevance, strict=True) if pair[0] == query and mark == sign
            )
            assert members[offsets[query] : offsets[query + 1]].tolist() == expected


def test_texts_in_order_and_at_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = pd.DataFrame({"document_id": map(str, range(9)), "text": [f"t{row}" for row in range(9)]})
    qrels = pd.DataFrame({"query_id": ["q1", "q2"], "document_id": ["0", "8"], "relevance": [1, 1]})
    monkeypatch.setattr(tables, "_BATCH_ROWS", 4)
    data = PreparedDataset.open(write(tmp_path, corpus, QUERIES, qrels))
    blocks = list(data.texts("corpus"))
    assert max(map(len, blocks)) <= 4
    assert list(chain.from_iterable(blocks)) == corpus["text"].tolist()
    assert data.texts_at("corpus", np.array([7, 0, 7, 3])) == ["t7", "t0", "t7", "t3"]
    assert data.texts_at("queries", np.array([1])) == ["b"]
    assert data.texts_at("queries", np.array([], np.int64)) == []


def test_rows_follow_the_tables(tmp_path: Path) -> None:
    first = PreparedDataset.open(write(tmp_path))
    again = PreparedDataset.open(tmp_path)
    assert again.fingerprint == first.fingerprint
    changed = PreparedDataset.open(write(tmp_path, queries=QUERIES.assign(split="validation")))
    assert changed.query_split.tolist() == [1, 1]
    assert changed.fingerprint != first.fingerprint


@pytest.mark.parametrize(
    ("table", "frame", "message"),
    [
        ("corpus", CORPUS.drop(columns="text"), r"'text' in .*corpus.*document_id, group_id"),
        ("corpus", CORPUS.assign(text=1), "'text'.*to be string; got int64"),
        ("corpus", CORPUS.assign(document_id=["d1", "d2", "d2"]), "'d2' again in row 2"),
        ("corpus", CORPUS.assign(document_id=["d1", None, "d3"]), "none in row 1"),
        ("queries", QUERIES.assign(split=["train", "dev"]), "'dev'"),
        ("queries", QUERIES.assign(query_id="q1"), "'q1' again"),
        ("qrels", QRELS.assign(document_id=["d3", "d1", "d9"]), "'d9'"),
        ("qrels", QRELS.assign(query_id=["q2", "q8", "q2"]), "'q8'"),
        ("qrels", QRELS.assign(document_id=["d3", "d1", "d3"]), "query row 1 and document row 2"),
        ("qrels", QRELS.assign(relevance="1"), "'relevance'"),
        ("qrels", QRELS.assign(relevance=[4, 1, 0]), "every relevance in .*qrels.* up to 3; got 4"),
        ("qrels", QRELS.assign(weight=[1.0, 0.0, None]), "every weight in .*qrels.* above 0 and finite; got 0.0"),
        ("qrels", QRELS.assign(weight="1"), "'weight'.*to be float"),
    ],
)
def test_faults_are_named(tmp_path: Path, table: str, frame: pd.DataFrame, message: str) -> None:
    write(tmp_path, **{table: frame})
    with pytest.raises(UserError, match=message):
        PreparedDataset.open(tmp_path)
    assert not (tmp_path / "rows").exists()


@pytest.mark.parametrize("table", ["corpus", "queries", "qrels"])
def test_a_missing_or_broken_table(tmp_path: Path, table: str) -> None:
    path, command = write(tmp_path) / f"{table}.parquet", re.escape(called("prepare"))
    path.write_text("not parquet")
    with pytest.raises(UserError, match=f"{table}.*{command}"):
        PreparedDataset.open(tmp_path)
    path.unlink()
    with pytest.raises(UserError, match=f"{table}.*no such file.*{command}"):
        PreparedDataset.open(tmp_path)


def test_another_schema_version(tmp_path: Path) -> None:
    (write(tmp_path) / "dataset.json").write_text(json.dumps({"schema_version": 1}))
    with pytest.raises(UserError, match="schema version 2"):
        PreparedDataset.open(tmp_path)


def test_rows_are_evenly_spaced() -> None:
    assert spaced(10, 4).tolist() == [0, 2, 5, 7]
    assert spaced(3, 5).tolist() == [0, 1, 2]
    assert spaced(0, 5).tolist() == spaced(3, -1).tolist() == []
