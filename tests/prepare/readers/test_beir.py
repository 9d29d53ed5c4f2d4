"""BEIR folders."""

import json
from itertools import chain
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.errors import UserError
from hr_retrieval.prepare.columns import Columns
from hr_retrieval.prepare.preparation import Preparation
from hr_retrieval.prepare.readers.beir import BeirReader

COLUMNS = Columns("query", "positive", "negative", anchor_id="query-id", positive_id="corpus-id", split="split")


def write(folder: Path, **changes: str | bytes) -> BeirReader:
    corpus = [
        {"_id": "d1", "title": "Engineer", "text": "builds"},
        {"_id": "d2", "title": "", "text": "cooks"},
        {"_id": "d3", "text": "unjudged"},
        {"_id": "d4", "text": "heals"},
    ]
    queries = [
        {"_id": f"q{number}", "text": text} for number, text in enumerate(["builder", "cook", "doctor", "nobody"])
    ]
    files: dict[str, str | bytes] = {
        "corpus.jsonl": "".join(json.dumps(line) + "\n" for line in corpus),
        "queries.jsonl": "".join(json.dumps(line) + "\n" for line in queries),
        "qrels/train.tsv": "query-id\tcorpus-id\tscore\nq0\td1\t2\nq0\td2\t0\n",
        "qrels/dev.tsv": "query-id\tcorpus-id\tscore\nq1\td2\t1\n",
        "qrels/test.tsv": "query-id\tcorpus-id\tscore\nq2\td4\t1\n",
    } | changes
    (folder / "qrels").mkdir(parents=True)
    for name, content in files.items():
        if content:
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
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
    data = prepare(write(tmp_path / "beir2"), tmp_path / "drawn", columns)
    assert sorted(data.query_split.tolist()) == [0, 1, 2]
    assert "seed" in data.info["split_rule"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corpus.jsonl": ""}, "corpus.jsonl"),
        ({"qrels/train.tsv": "", "qrels/dev.tsv": "", "qrels/test.tsv": ""}, "no file in qrels/"),
        ({"queries.jsonl": '{"_id": "q", "text": "a"}\n{"_id": "q", "text": "b"}\n'}, "'q' again"),
        ({"corpus.jsonl": '{"text": "a"}\n'}, r"its id is not in corpus\.jsonl \(4\).*no _id \(1\)"),
        ({"corpus.jsonl": '[{"_id": "d1", "text": "a"}]'}, r"not a JSON object \(1\)"),
        ({"qrels/dev.tsv": b"q1\td2\xe9\t1\n"}, r"dev\.tsv to be utf-8; got byte 0xe9 at offset 5"),
        ({"queries.jsonl": b'{"_id": "q1", "text": "caf\xe9"}\n'}, r"queries\.jsonl to be utf-8; got byte 0xe9"),
        ({"queries.jsonl": b"\x1f\x8b\x08\x00"}, "gzip"),
    ],
)
def test_broken_folders(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        prepare(write(tmp_path / "beir", **changes), tmp_path / "prepared")
    assert not (tmp_path / "prepared").exists()


def judgements(reader: BeirReader) -> list[tuple[str, str, str, bool]]:
    """Query, document and split of each judgement, and whether it is positive."""
    return [
        (row["query-id"], row["corpus-id"], row["split"], row["positive"] is not None)
        for batch in reader.batches(["query"])
        for row in batch.values
        if not batch.corpus_only
    ]


@pytest.mark.parametrize(
    "content",
    [
        "query-id\tcorpus-id\tscore\nq1\td2\t1\nq1\td4\t0\n",
        "\ufeffquery_id\tdoc_id\trelevance\r\nq1\td2\t1.0\r\nq1\td4\t0.0\r\n",
        "q1\td2\t2\nq1\td4\t-1\n",
        "q1 0 d2 1\nq1 0 d4 0\n",
        "q1\tQ0\td2\t1\n\nq1\tQ0\td4\t0\n",
    ],
)
def test_judgements_as_others_write_them(tmp_path: Path, content: str) -> None:
    reader = write(tmp_path / "beir", **{"qrels/train.tsv": "", "qrels/test.tsv": "", "qrels/dev.tsv": content})
    assert judgements(reader) == [("q1", "d2", "dev", True), ("q1", "d4", "dev", False)]


def test_a_judgement_of_what_is_not_there_is_rejected(tmp_path: Path) -> None:
    content = "query-id\tcorpus-id\tscore\nq1\td9\t1\nq9\td2\t1\nq1\td2\nq1\td2\tnan\nq1\td2\t1\n"
    data = prepare(write(tmp_path / "beir", **{"qrels/dev.tsv": content}), tmp_path / "prepared")
    rejected = pq.read_table(tmp_path / "prepared" / "rejected.parquet").to_pylist()
    assert [(row["row"], row["reason"]) for row in rejected if row["source"].endswith("dev.tsv")] == [
        (2, "no query-id, corpus-id and score"),
        (3, "no query-id, corpus-id and score"),
        (0, "its id is not in corpus.jsonl"),
        (1, "its id is not in queries.jsonl"),
    ]
    assert data.query_split.tolist() == [0, 1, 2]


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    files = [tmp_path / "beir" / name for name in ("corpus.jsonl", "queries.jsonl", "qrels/train.tsv")]
    reader = write(tmp_path / "beir")
    before = judgements(reader)
    for file in files:
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert judgements(reader) == before
    assert prepare(reader, tmp_path / "prepared").query_count == 3


def test_lines_that_are_no_texts_are_rejected_where_they_stand(tmp_path: Path) -> None:
    reader = write(tmp_path / "beir")
    with (tmp_path / "beir" / "queries.jsonl").open("ab") as file:
        file.write(b'\nbroken\n{"text": "no id"}\n{"_id": "q7", "text": "caf\xe9"}\n{"_id": "q8", "text": "late"}\n')
    with pytest.raises(UserError, match=r"errors=reject"):
        prepare(reader, tmp_path / "prepared")
    reader = BeirReader(reader.folder, errors="reject")
    prepare(reader, tmp_path / "prepared")
    rejected = pq.read_table(tmp_path / "prepared" / "rejected.parquet").to_pylist()
    assert [(row["row"], row["reason"]) for row in rejected] == [
        (3, "no judgement in qrels/"),
        (8, "no judgement in qrels/"),
        (5, "not a JSON object"),
        (6, "no _id"),
        (7, "broken bytes"),
    ]


def test_other_names_of_splits(tmp_path: Path) -> None:
    reader = write(tmp_path / "beir", **{"qrels/dev.tsv": "", "qrels/validation.tsv": "q1\td2\t1\n"})
    assert prepare(reader, tmp_path / "validation").query_split.tolist() == [0, 1, 2]
    reader = write(tmp_path / "other", **{"qrels/dev.tsv": "", "qrels/heldout.tsv": "q1\td2\t1\n"})
    with pytest.raises(UserError, match=r"split: not train, validation or test \(1\)"):
        prepare(reader, tmp_path / "heldout")


def test_a_set_without_dev_has_validation_drawn_from_train(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    corpus = "".join(json.dumps({"_id": f"d{number}", "text": f"text {number}"}) + "\n" for number in range(30))
    queries = "".join(json.dumps({"_id": f"q{number}", "text": f"query {number}"}) + "\n" for number in range(30))
    train = "".join(f"q{number}\td{number}\t1\n" for number in range(20))
    test = "".join(f"q{number}\td{number}\t1\n" for number in range(20, 30))
    files = {"corpus.jsonl": corpus, "queries.jsonl": queries, "qrels/train.tsv": train, "qrels/test.tsv": test}
    reader = write(tmp_path / "beir", **files, **{"qrels/dev.tsv": ""})
    options = {"columns": COLUMNS, "validation_share": 0.2}
    data = Preparation(reader, str(tmp_path / "drawn"), "beir", **options).run()
    assert [(data.query_split == number).sum() for number in range(3)] == [16, 4, 10]
    assert "The source states no validation split" in caplog.text
    assert "validation from its training split" in data.info["split_rule"]
    data = Preparation(reader, str(tmp_path / "none"), "beir", **options | {"validation_share": 0.0}).run()
    assert [(data.query_split == number).sum() for number in range(3)] == [20, 0, 10]
    assert "The source states no query for validation" in caplog.text
    error = data.empty_split("validation")
    assert "data=beir" in error.remedy
    assert "data.columns.split=null" in error.remedy
    assert "replace=true" in error.remedy
    (tmp_path / "beir" / "qrels" / "train.tsv").unlink()
    data = Preparation(reader, str(tmp_path / "test_only"), "beir", **options).run()
    assert set(data.query_split.tolist()) == {2}
    assert "The source states no query for train" in caplog.text
