"""The table of passages: what its inverted file is after changes."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hr_retrieval.store import table as tables
from hr_retrieval.store.table import PassageTable, schema

DIMENSION, CITIES = 64, 4


def rows(numbers: range) -> pa.Table:
    """A passage a document, whose vectors follow from their numbers."""
    vectors = np.stack([np.random.default_rng(number).standard_normal(DIMENSION) for number in numbers])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    count = len(numbers)
    columns = {
        "document_id": [str(number) for number in numbers],
        "passage": [0] * count,
        "begin": [0] * count,
        "end": [4] * count,
        "text": ["cook"] * count,
        "digest": [str(number) for number in numbers],
        "vector": vectors.astype(np.float32).tolist(),
        "sentences": [None] * count,
        "city": [f"city {number % CITIES}" for number in numbers],
    }
    return pa.table(columns, schema=schema(DIMENSION, {"city": pa.string()}))


def parts(folder: Path) -> int:
    """Of the newest inverted file, whose centres fill the file of the index but for a few kilobytes."""
    newest = max(folder.rglob("index.idx"), key=lambda path: path.stat().st_mtime_ns)
    return newest.stat().st_size // (DIMENSION * 4)


def files(table: PassageTable) -> int:
    """Inverted files that a query reads."""
    return next(index.num_segments for index in table._table.list_indices() if index.name == "vector_idx")


def nearest(table: PassageTable, number: int, where: str | None = None) -> str:
    """The id of the passage nearest to one's own vector."""
    query = np.asarray(rows(range(number, number + 1))["vector"].to_pylist()[0], np.float32)
    found = table.nearest(query, 1, where, ["document_id"])
    assert found["_score"].to_pylist() == pytest.approx([1.0], abs=1e-5)
    document: str = found["document_id"][0].as_py()
    return document


def test_parts_keep_their_size_when_the_table_is_put_together(tmp_path: Path) -> None:
    table = PassageTable(tmp_path, schema(DIMENSION, {"city": pa.string()}))
    for begin in range(0, 12_000, 1500):
        table.add(rows(range(begin, begin + 1500)))
    table.tidy(None, approximate=True)
    assert parts(tmp_path) >= 12_000 // tables.PART
    table.add(rows(range(12_000, 12_100)))
    table.tidy(None, approximate=True)
    assert parts(tmp_path) >= 12_000 // tables.PART
    for number in (0, 5001, 11_999, 12_099):
        for where in (None, f"city = 'city {number % CITIES}'"):
            assert nearest(table, number, where) == str(number)


def test_small_changes_do_not_pile_up_inverted_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_FILES", 3)
    table = PassageTable(tmp_path, schema(DIMENSION, {"city": pa.string()}))
    table.add(rows(range(2000)))
    table.tidy(None, approximate=True)
    counts = []
    for begin in range(2000, 2060, 10):
        table.add(rows(range(begin, begin + 10)))
        table.tidy(None, approximate=True)
        counts.append(files(table))
    assert counts == [2, 3, 1, 2, 3, 1]
    assert [nearest(table, number) for number in (0, 2000, 2055)] == ["0", "2000", "2055"]


def test_the_few_that_fulfil_a_condition_are_all_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "PROBES", 1)
    table = PassageTable(tmp_path, schema(DIMENSION, {"city": pa.string()}))
    table.add(rows(range(8000)))
    table.tidy(None, approximate=True)
    few = rows(range(1, 8000, CITIES))
    query = np.random.default_rng(9000).standard_normal(DIMENSION).astype(np.float32)
    scores = np.stack(few["vector"].to_pylist()) @ query
    right = [few["document_id"][int(place)].as_py() for place in np.argsort(-scores)[:10]]

    def found() -> list[str]:
        ids: list[str] = table.nearest(query, 10, "city = 'city 1'", ["document_id"])["document_id"].to_pylist()
        return ids

    assert found() == right
    monkeypatch.setattr(tables, "FEW", len(few) - 1)
    assert found() != right
