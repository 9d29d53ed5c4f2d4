"""Benchmarks as tables of queries, corpus and judgements."""

from pathlib import Path

import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.readers.reader import RawBatch
from hr_retrieval.prepare.readers.trec import TrecReader
from tests.prepare.readers.sources import read, rows_of, write_text

WANTED = ["query", "positive", "negative", "query-id", "corpus-id", "split"]
MELO = {
    "queries.tsv": "Q1\tBäcker/Bäckerin\nQ2\tKoch\n",
    "corpus_elements.tsv": 'C1\tBäcker\nC2\tKonditor "K"\nC3\tKoch\n',
    "annotations.tsv": "Q1\t0\tC1\t1\nQ1\t0\tC2\t1\nQ2\t0\tC3\t1\nQ2\t0\tC1\t0\n",
}
SIMILARITY = {"queries.tsv": MELO["queries.tsv"], "corpus_documents.tsv": MELO["corpus_elements.tsv"]}
SIMILARITY["annotations.tsv"] = MELO["annotations.tsv"].replace("\t", " ")
TALENT_A = {
    "queries": "q_id\tjobtitle\n1\tbaker\n2\tcook\n",
    "corpus_elements": "c_id\tjobtitle\n1\tbread baker\n2\tchef\n",
    "qrels.tsv": "1 0 1 1\n2 0 2 1\n",
}
TALENT_B = {
    "queries": "q_id\tjobtitle\nq1\tbaker\n",
    "corpus_elements": "c_id\tesco_uri\tskill_aliases\ns1\tesco/1\t['bake bread', \"baker's work\"]\ns2\tesco/2\t['cook']\n",
    "qrels.tsv": "q1\t0\ts1\t1\n",
}


def write(folder: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        write_text(folder, text, name)
    return str(folder)


def stated(batches: list[RawBatch]) -> list[tuple[str, ...]]:
    """Query, positive and negative of each judgement."""
    return [(row["query"], row["positive"] or "", row["negative"] or "") for row in rows_of(batches) if row["query"]]


@pytest.mark.parametrize("files", [MELO, SIMILARITY])
def test_tables_without_a_header(tmp_path: Path, files: dict[str, str]) -> None:
    batches = read(TrecReader(write(tmp_path, files)), WANTED)
    assert [row["positive"] for row in rows_of(batches[:1])] == ["Bäcker", 'Konditor "K"', "Koch"]
    assert batches[0].corpus_only
    assert stated(batches) == [
        ("Bäcker/Bäckerin", "Bäcker", ""),
        ("Bäcker/Bäckerin", 'Konditor "K"', ""),
        ("Koch", "Koch", ""),
        ("Koch", "", "Bäcker"),
    ]
    assert rows_of(batches)[-1] | {"query-id": "Q2", "corpus-id": "C1", "split": "test"} == rows_of(batches)[-1]


def test_tables_with_a_header(tmp_path: Path) -> None:
    batches = read(TrecReader(write(tmp_path, TALENT_A), split="validation"), WANTED)
    assert stated(batches) == [("baker", "bread baker", ""), ("cook", "chef", "")]
    assert {row["split"] for row in rows_of(batches[1:])} == {"validation"}


@pytest.mark.parametrize(("aliases", "text"), [("joined", "bake bread, baker's work"), ("first", "bake bread")])
def test_aliases(tmp_path: Path, aliases: str, text: str) -> None:
    assert stated(read(TrecReader(write(tmp_path, TALENT_B), aliases=aliases), WANTED)) == [("baker", text, "")]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("annotations.tsv", "Q1\t0\tC9\t1\n", r"'C9', which is not there"),
        ("annotations.tsv", "Q9\t0\tC1\t1\n", r"in queries\.tsv.*'Q9'"),
        ("annotations.tsv", "Q1\tC1\t1\n", "query, 0, document and relevance"),
        ("annotations.tsv", "Q1\t0\tC1\tyes\n", "a number as the relevance"),
        ("annotations.tsv", "Q1\t0\tC1\t1\nQ1\t0\tC2\n", "as many cells in each line"),
        ("queries.tsv", "Q1\ta\nQ1\tb\n", "'Q1' again"),
        ("corpus_elements.tsv", "c_id\tname\nC1\ta\n", "a header with jobtitle"),
        ("corpus_elements.tsv", "C1\nC2\n", "ids and texts"),
    ],
)
def test_what_would_be_another_benchmark_is_an_error(tmp_path: Path, file: str, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(TrecReader(write(tmp_path, MELO | {file: text})), WANTED)


def test_missing_files_and_wrong_options(tmp_path: Path) -> None:
    folder = write(tmp_path, MELO)
    (tmp_path / "queries.tsv").unlink()
    (tmp_path / "annotations.tsv").unlink()
    with pytest.raises(UserError, match=r"no queries\.tsv or queries, no annotations\.tsv or qrels\.tsv"):
        TrecReader(folder).inputs()
    with pytest.raises(UserError, match="joined or first"):
        TrecReader(folder, aliases="all")
