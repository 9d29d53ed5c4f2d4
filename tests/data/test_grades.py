"""Grades and weights of relevant documents against loops over what is stated."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.evaluation_set import evaluation_set
from hr_retrieval.data.guard import Guard
from tests.data.test_guard import Tables, csr, tables


def graded(own: Tables, seed: int) -> Tables:
    random = np.random.default_rng(seed)
    own.positive_grades = random.integers(1, 4, len(own.positive_documents)).astype(np.int8)
    own.positive_weights = random.choice([0.25, 1.0, 3.0], len(own.positive_documents)).astype(np.float32)
    return own


def naive(own: Tables, query: int, document: int, values: list[float]) -> float:
    """Of this very pair what is stated, else the highest of twins and duplicates, else 1."""

    def stated(owner: int) -> dict[int, float]:
        begin, end = own.positive_offsets[owner : owner + 2]
        return dict(zip(own.positive_documents[begin:end].tolist(), values[begin:end], strict=True))

    if document in stated(query):
        return stated(query)[document]
    twins = [other for other, text in enumerate(own.query_texts) if text == own.query_texts[query]]
    alike = [
        value
        for twin in twins
        for other, value in stated(twin).items()
        if own.duplicates[other] == own.duplicates[document]
    ]
    return max(alike, default=1)


@settings(max_examples=100, deadline=None)
@given(tables(), st.integers(0, 99))
def test_grades_and_weights_are_those_of_a_loop(own: Tables, seed: int) -> None:
    guard = Guard(graded(own, seed))
    queries, documents = np.arange(len(own.query_texts)), np.arange(len(own.texts))[::-1].copy()
    offsets, places = guard.relevant(queries, documents)
    grades, weights = guard.grades(queries, documents, (offsets, places)), guard.weights(queries, documents)
    grade_list = [float(grade) for grade in own.positive_grades]
    worth = [float(grade * weight) for grade, weight in zip(own.positive_grades, own.positive_weights, strict=True)]
    expected = [
        naive(own, query, int(documents[place]), grade_list)
        for query in queries
        for place in places[offsets[query] : offsets[query + 1]]
    ]
    assert (grades is None) == (set(grade_list) <= {1})
    assert grades is None or grades.tolist() == expected
    assert (weights is None) == (set(worth) <= {1} and set(grade_list) <= {1})
    if weights is not None:
        for query in queries:
            for place in places[offsets[query] : offsets[query + 1]]:
                assert weights[query, place] == pytest.approx(naive(own, query, int(documents[place]), worth))


def test_data_of_one_grade_and_weight_have_none() -> None:
    own = Tables([None], [0], ["x"], [None], ["a"], [{0}], [set()])
    rows = np.array([0])
    assert Guard(own).grades(rows, rows, csr([[0]])) is None
    assert Guard(own).weights(rows, rows) is None
    own.positive_weights = np.array([2], np.float32)
    assert Guard(own).grades(rows, rows, csr([[0]])) is None
    assert Guard(own).weights(rows, rows) == np.array([[2]])
    assert Guard(own, weighted=False).weights(rows, rows) is None


def test_a_prepared_folder_has_them(tmp_path: Path) -> None:
    frames = {
        "corpus": pd.DataFrame({"document_id": ["d0", "d1", "d2"], "text": ["x", "y", "z"]}),
        "queries": pd.DataFrame({"query_id": ["q0", "q1"], "text": ["a", "b"], "split": ["test", "train"]}),
        "qrels": pd.DataFrame(
            {
                "query_id": ["q1", "q0", "q0", "q1"], "document_id": ["d2", "d2", "d0", "d1"],
                "relevance": [2, 3, 1, 0], "weight": [0.5, None, 2.0, 9.0],
            }
        ),
    }  # fmt: skip
    for name, frame in frames.items():
        frame.to_parquet(tmp_path / f"{name}.parquet")
    data = PreparedDataset.open(tmp_path)
    assert data.positive_documents.tolist() == [0, 2, 2]
    assert data.positive_grades.tolist() == [1, 3, 2]
    assert data.positive_weights.tolist() == [2.0, 1.0, 0.5]
    ranked = evaluation_set(data, Guard(data), "test")
    assert ranked.relevance.grades is not None
    found = zip(ranked.document_rows[ranked.relevance.documents], ranked.relevance.grades.tolist(), strict=True)
    assert sorted(found) == [(0, 1), (2, 3)]
