"""What is only related to a right answer is neither relevant nor a negative, and a plain document in evaluation."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.guard import Guard
from hr_retrieval.prepare.columns import Columns
from hr_retrieval.prepare.preparation import Preparation
from hr_retrieval.prepare.readers.json_lines import JsonLinesReader

# Titles of occupations with their unit groups: two bakers, one cook of another group, and a title
# that is of both.
ROWS = [
    {"code": "1", "unit": "7512", "titles": ["baker", "bread maker"]},
    {"code": "2", "unit": "7512", "titles": ["confectioner", "kitchen hand"]},
    {"code": "3", "unit": "5120", "titles": ["cook", "kitchen hand"]},
]


def prepare(folder: Path, related: str | None) -> PreparedDataset:
    folder.mkdir()
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    columns = Columns("titles", "titles", group="code", related=related)
    reader = JsonLinesReader(str(folder / "rows.jsonl"))
    options = {"validation_share": 0.0, "test_share": 0.0}
    return Preparation(reader, str(folder / "prepared"), "made", columns=columns, **options).run()


def judged(data: PreparedDataset, query: str) -> dict[str, str]:
    """Each document of another text than the query's own, as training takes it."""
    texts, titles = (
        pq.read_table(data.folder / f"{table}.parquet").column("text").to_pylist() for table in ("queries", "corpus")
    )
    relevant, negative = Guard(data).judge(np.array([texts.index(query)]), np.arange(len(titles)))
    return {
        title: "relevant" if relevant[0, place] else "negative" if negative[0, place] else "neither"
        for place, title in enumerate(titles)
        if title != query
    }


def test_a_title_of_the_same_unit_group_is_neither(tmp_path: Path) -> None:
    without, with_units = prepare(tmp_path / "without", None), prepare(tmp_path / "with", "unit")
    right = {"bread maker": "relevant", "confectioner": "negative", "cook": "negative", "kitchen hand": "negative"}
    assert judged(without, "baker") == right
    # Of two unit groups, and so of none.
    assert judged(with_units, "baker") == right | {"confectioner": "neither"}
    assert judged(with_units, "cook") == {
        "kitchen hand": "relevant",
        "baker": "negative",
        "bread maker": "negative",
        "confectioner": "neither",
    }


def test_evaluation_knows_nothing_of_it_and_neither_does_the_split(tmp_path: Path) -> None:
    without, with_units = prepare(tmp_path / "without", None), prepare(tmp_path / "with", "unit")
    rows = np.arange(len(pq.read_table(without.folder / "queries.parquet")))
    documents = np.arange(len(pq.read_table(without.folder / "corpus.parquet")))
    for one, other in zip(
        Guard(without).relevant(rows, documents), Guard(with_units).relevant(rows, documents), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    groups = pq.read_table(with_units.folder / "corpus.parquet").column("group_id").to_pylist()
    assert sorted(set(filter(None, groups))) == ["unit: 5120", "unit: 7512"]
