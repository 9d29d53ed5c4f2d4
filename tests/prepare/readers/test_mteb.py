"""Retrieval data sets of MTEB as Parquet."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.readers.mteb import MtebReader
from tests.prepare.readers.sources import read, rows_of

WANTED = ["query", "positive", "negative", "query-id", "corpus-id", "split"]
CORPUS = [{"_id": "d1", "title": "Oven", "text": "bakes"}, {"_id": "d2", "title": "", "text": "cooks"}]
QUERIES = [{"_id": "1", "text": "baking"}]


def write(folder: Path, files: dict[str, list[dict[str, Any]]]) -> str:
    for name, rows in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), folder / name)
    return str(folder)


def files(judgements: str = "qrels", **score: Any) -> dict[str, list[dict[str, Any]]]:
    stated = {"query-id": "1", "corpus-id": "d1", "score": 1} | score
    return {
        "corpus/corpus-00000-of-00001.parquet": CORPUS,
        "queries/queries-00000-of-00001.parquet": QUERIES,
        f"{judgements}/test-00000-of-00001.parquet": [stated, stated | {"corpus-id": "d2", "score": 0}],
    }


@pytest.mark.parametrize("judgements", ["qrels", "default", "data"])
def test_a_snapshot(tmp_path: Path, judgements: str) -> None:
    batches = read(MtebReader(write(tmp_path, files(judgements))), WANTED)
    assert [row["positive"] for row in rows_of(batches[:1])] == ["Oven bakes", "cooks"]
    assert batches[0].corpus_only
    base = {"query": "baking", "query-id": "1", "split": "test"}
    assert rows_of(batches[1:]) == [
        base | {"corpus-id": "d1", "positive": "Oven bakes", "negative": None, "relevance": 1},
        base | {"corpus-id": "d2", "positive": None, "negative": "cooks", "relevance": 0},
    ]


def test_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'d9', which is not there"):
        read(MtebReader(write(tmp_path, files(**{"corpus-id": "d9"}))), WANTED)
    write(tmp_path, files() | {"queries/more.parquet": QUERIES})
    with pytest.raises(UserError, match="'1' again"):
        read(MtebReader(str(tmp_path)), WANTED)
    (tmp_path / "queries" / "more.parquet").unlink()
    write(tmp_path, {"qrels/all.parquet": [{"query-id": "1", "corpus-id": "d1", "score": 1}]})
    with pytest.raises(UserError, match=r"all\.parquet"):
        read(MtebReader(str(tmp_path)), WANTED)
    with pytest.raises(UserError, match="none in corpus, none in queries"):
        MtebReader(str(tmp_path / "nowhere")).inputs()
