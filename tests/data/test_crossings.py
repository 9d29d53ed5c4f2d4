"""What two splits of a data set share, by kind, against loops."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hr_retrieval.data.crossings import KINDS, crossings
from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.tables import SCHEMAS

CORPUS = [
    ("d0", "one", None, None, None),
    ("d1", "two", None, "t", None),
    ("d2", "Two", None, "t", None),
    ("d3", "cook", None, None, None),
    ("d4", "five", None, None, None),
]


def dataset(folder: Path, queries: list[tuple[str, str | None, str]], right: list[str]) -> PreparedDataset:
    """Queries of text, group and split, each with one right document."""
    folder.mkdir()
    rows = [(f"q{number}", *query, None) for number, query in enumerate(queries)]
    qrels = [(f"q{number}", name, 1, None) for number, name in enumerate(right)]
    for name, content in (("corpus", CORPUS), ("queries", rows), ("qrels", qrels)):
        columns = [
            pa.array(column, field.type)
            for column, field in zip(zip(*content, strict=True), SCHEMAS[name], strict=True)
        ]
        pq.write_table(pa.Table.from_arrays(columns, schema=SCHEMAS[name]), folder / f"{name}.parquet")
    return PreparedDataset.open(folder)


@pytest.mark.parametrize(
    ("second", "document", "kind"),
    [
        (("Welder!", None, "test"), "d1", "query text"),
        (("nurse", None, "test"), "d0", "document"),
        (("nurse", "g", "validation"), "d1", "group"),
        (("nurse", None, "test"), "d4", None),
        (("Welder!", "g", "train"), "d0", None),
    ],
)
def test_a_measured_query_that_shares_something_with_training(
    tmp_path: Path, second: tuple[str, str | None, str], document: str, kind: str | None
) -> None:
    found = crossings(dataset(tmp_path / "data", [("welder", "g", "train"), second], ["d0", document]))
    assert [(own.kind, own.queries) for own in found] == ([] if kind is None else [(kind, 1)])
    assert all({own.example, own.other} == {"welder", second[0]} for own in found)


def test_near_duplicates_and_texts_of_documents_count_and_shared_documents_do_not(tmp_path: Path) -> None:
    queries = [
        ("welder", None, "train"),
        ("nurse", None, "test"),
        ("pilot", None, "train"),
        ("cook", None, "validation"),
    ]
    data = dataset(tmp_path / "data", queries, ["d1", "d2", "d3", "d4"])
    assert {own.kind: own.queries for own in crossings(data)} == {"near-duplicate document": 1, "query text": 1}
    assert crossings(data, shared_documents=True) == []
    assert set(KINDS) >= {own.kind for own in crossings(data)}
