"""BEIR folders."""

import json
from itertools import chain
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hr_retrieval.data.beir import BeirReader
from hr_retrieval.data.clean import Columns
from hr_retrieval.data.preparation import Preparation
from hr_retrieval.data.tables import PreparedDataset
from hr_retrieval.errors import UserError

COLUMNS = Columns("query", "positive", "negative", anchor_id="query-id", positive_id="corpus-id", split="split")


def write(folder: Path, **changes: str) -> BeirReader:
    corpus = [
        {"_id": "d1", "title": "Engineer", "text": "builds"},
        {"_id": "d2", "title": "", "text": "cooks"},
        {"_id": "d3", "text": "unjudged"},
        {"_id": "d4", "text": "heals"},
    ]
    queries = [
        {"_id": f"q{number}", "text": text} for number, text in enumerate(["builder", "cook", "doctor", "nobody"])
    ]
    files = {
        "corpus.jsonl": "".join(json.dumps(line) + "\n" for line in corpus),
        "queries.jsonl": "".join(json.dumps(line) + "\n" for line in queries),
        "qrels/train.tsv": "query-id\tcorpus-id\tscore\nq0\td1\t2\nq0\td2\t0\n",
        "qrels/dev.tsv": "query-id\tcorpus-id\tscore\nq1\td2\t1\n",
        "qrels/test.tsv": "query-id\tcorpus-id\tscore\nq2\td4\t1\n",
    } | changes
    (folder / "qrels").mkdir(parents=True)
    for name, content in files.items():
        if content:
            (folder / name).write_text(content)
    return BeirReader(str(folder))


def prepare(reader: BeirReader, folder: Path, columns: Columns = COLUMNS) -> PreparedDataset:
    return Preparation(reader, str(folder), "beir", columns=columns, validation_share=0.4, test_share=0.4).run()


def test_texts_ids_scores_and_splits_are_kept(tmp_path: Path) -> None:
    data = prepare(write(tmp_path / "beir"), tmp_path / "prepared")
    corpus = list(chain.from_iterable(data.texts("corpus")))
    assert sorted(corpus) == ["Engineer builds", "cooks", "heals", "unjudged"]
    assert list(chain.from_iterable(data.texts("queries"))) == ["builder", "cook", "doctor"]
    assert data.query_split.tolist() == [0, 1, 2]
    assert [corpus[row] for row in data.positive_documents] == ["Engineer builds", "cooks", "heals"]
    assert data.negative_offsets.tolist() == [0, 1, 1, 1]
    assert corpus[data.negative_documents[0]] == "cooks"
    assert pq.read_table(tmp_path / "prepared" / "corpus.parquet").column("document_id").to_pylist() == [
        {"Engineer builds": "d1", "cooks": "d2", "unjudged": "d3", "heals": "d4"}[text] for text in corpus
    ]
    assert data.info["counts"]["rejected"] == {"no judgement in qrels/": 1}
    assert len(data.info["inputs"]) == 5


def test_the_split_may_be_drawn_instead(tmp_path: Path) -> None:
    columns = Columns("query", "positive", "negative", anchor_id="query-id", positive_id="corpus-id")
    data = prepare(write(tmp_path / "beir", **{"qrels/dev.tsv": ""}), tmp_path / "none")
    assert data.query_split.tolist() == [0, 2]
    data = prepare(write(tmp_path / "beir2"), tmp_path / "drawn", columns)
    assert sorted(data.query_split.tolist()) == [0, 1, 2]
    assert "seed" in data.info["split_rule"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corpus.jsonl": ""}, "corpus.jsonl"),
        ({"qrels/train.tsv": "", "qrels/dev.tsv": "", "qrels/test.tsv": ""}, "no file in qrels/"),
        ({"qrels/dev.tsv": "q1\td2\t1\n"}, "header"),
        ({"qrels/dev.tsv": "query-id\tcorpus-id\tscore\nq1\td9\t1\n"}, "'d9'"),
        ({"qrels/dev.tsv": "query-id\tcorpus-id\tscore\nq1\td2\n"}, "row 0"),
        ({"queries.jsonl": '{"_id": "q", "text": "a"}\n{"_id": "q", "text": "b"}\n'}, "'q' again"),
        ({"corpus.jsonl": '{"text": "a"}\n'}, "_id"),
    ],
)
def test_broken_folders(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        prepare(write(tmp_path / "beir", **changes), tmp_path / "prepared")
    assert not (tmp_path / "prepared").exists()
