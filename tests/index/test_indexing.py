"""What an index holds after it was made, stopped, gone on with and changed."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.tiny import write_tiny
from hr_retrieval.errors import UserError
from hr_retrieval.index import indexing
from hr_retrieval.index.block import Block
from hr_retrieval.index.corpus import Columns, Corpus
from hr_retrieval.retrieval.index import top_k
from hr_retrieval.retrieval.mixing import Composition, DocumentMixing, HubCorrection, LexicalMixing, QueryMixing
from hr_retrieval.store.manifest import FILE, Manifest
from hr_retrieval.store.searcher import Asked, Searcher
from hr_retrieval.store.table import PassageTable
from tests.conftest import TRADES, small_disk_at

PLAIN = Composition()


def documents(count: int = 48) -> list[dict[str, Any]]:
    return [
        {
            "id": f"d{number}",
            "text": f"{TRADES[number % 12]} works at place {number} with tools",
            "city": ("Москва", "O'Fallon")[number % 2],
            "salary": 1000 * number,
            "remote": number % 3 == 0,
        }
        for number in range(count)
    ]


def write(path: Path, rows: list[dict[str, Any]]) -> Corpus:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return Corpus(str(path), Columns())


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return write(tmp_path / "vacancies.jsonl", documents())


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each text that is encoded, in order."""
    found: list[str] = []
    rows = Block.rows

    def counting(self: Block, *rest: Any) -> Any:
        found.extend(self.pieces)
        return rows(self, *rest)

    monkeypatch.setattr(Block, "rows", counting)
    return found


def made(tmp_path: Path, corpus: Corpus, **options: Any) -> Path:
    indexing.make(tmp_path / "index", "tiny", corpus, **{"mixing": PLAIN, **options})
    return tmp_path / "index"


def ids(hits: list[Any]) -> list[str]:
    return [hit.document for hit in hits]


def test_an_index_finds_what_exact_search_over_its_texts_finds(tmp_path: Path, corpus: Corpus) -> None:
    searcher = Searcher(made(tmp_path, corpus))
    queries = ["nurse 13", "водитель", "a welder with tools"]
    rows = documents()
    encoder = searcher.encoder
    expected = top_k(encoder.encode(queries, "query"), encoder.encode([row["text"] for row in rows], "document"), 5)
    for hits, scores, places in zip(searcher.search(queries, Asked(k=5)), *expected, strict=True):
        assert ids(hits) == [rows[place]["id"] for place in places.tolist()]
        assert [hit.score for hit in hits] == pytest.approx(scores.tolist(), abs=1e-5)
        first = rows[int(places[0])]
        assert hits[0].text == hits[0].passage == first["text"]
        assert hits[0].metadata == {"city": first["city"], "salary": first["salary"], "remote": first["remote"]}
    (similar,) = [searcher.similar("d3", Asked(k=4))]
    assert "d3" not in ids(similar)
    assert len(similar) == 4


@pytest.mark.parametrize(
    ("filters", "right"),
    [
        ({"city": "O'Fallon"}, lambda row: row["city"] == "O'Fallon"),
        ({"city": ["Москва", "Nowhere"]}, lambda row: row["city"] == "Москва"),
        ({"salary": {"from": 5000, "to": 9000}}, lambda row: 5000 <= row["salary"] <= 9000),
        ({"salary": {"from": 40_000}, "remote": True}, lambda row: row["salary"] >= 40_000 and row["remote"]),
        ({"city": "nowhere"}, lambda row: False),
    ],
)  # fmt: skip
def test_filters_leave_what_they_say(tmp_path: Path, corpus: Corpus, filters: dict[str, Any], right: Any) -> None:
    searcher = Searcher(made(tmp_path, corpus))
    hits = searcher.search(["nurse"], Asked(k=100, filters=filters))[0]
    assert set(ids(hits)) == {row["id"] for row in documents() if right(row)}
    hybrid = searcher.search(["nurse place"], Asked(k=100, filters=filters, hybrid="rank"))[0]
    assert set(ids(hybrid)) == set(ids(hits))


def test_single_documents_are_added_replaced_and_deleted(tmp_path: Path, corpus: Corpus, counted: list[str]) -> None:
    folder = made(tmp_path, corpus)
    before = Searcher(folder)
    counted.clear()
    rows = documents()
    changed = [{**rows[4], "text": "a judge in court"}, rows[5], {**rows[6], "id": "new", "city": "Тверь"}]
    indexing.change(folder, None, write(tmp_path / "more.jsonl", changed), ["d0", "d1"])
    assert sorted(counted) == sorted(["a judge in court", rows[6]["text"]])
    after = Searcher(folder)
    assert after.manifest.documents == 48 + 1 - 2
    found = {hit.document: hit for hit in after.search(["judge"], Asked(k=100))[0]}
    assert set(found) == {row["id"] for row in rows[2:]} | {"new"}
    assert found["d4"].text == "a judge in court"
    assert found["new"].metadata["city"] == "Тверь"
    # Who had it open goes on with what was there.
    assert len(before.search(["judge"], Asked(k=100))[0]) == 48


def test_what_was_stopped_goes_on_and_encodes_nothing_twice(
    tmp_path: Path, corpus: Corpus, counted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hr_retrieval.index.corpus.BATCH", 10)
    add = PassageTable.add

    def failing(self: PassageTable, rows: Any) -> None:
        if len(self.digests()) >= 20:
            raise KeyboardInterrupt
        add(self, rows)

    monkeypatch.setattr(PassageTable, "add", failing)
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path, corpus)
    with pytest.raises(UserError, match="whose making was stopped"):
        Searcher(tmp_path / "index")
    monkeypatch.setattr(PassageTable, "add", add)
    counted.clear()
    (tmp_path / "index" / ".passages-3.arrow.x.partial").touch()
    folder = made(tmp_path, corpus)
    assert sorted(path.suffix for path in folder.iterdir() if path.is_file()) == ["", ".arrow", ".json"]
    assert len([text for text in counted if "works" in text]) == 28
    hits = Searcher(folder).search(["nurse"], Asked(k=100))[0]
    assert sorted(ids(hits)) == sorted(row["id"] for row in documents())


# One Python that has all imported, and has touched neither the index nor its library, forks the
# writers: the one of each seed is killed at a moment drawn by it, the last one ends by itself.
KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import torch
import hr_retrieval.index.corpus as corpus
from hr_retrieval.index import indexing
from hr_retrieval.index.block import Block
from hr_retrieval.retrieval.mixing import Composition

torch.set_num_threads(1)
corpus.BATCH = 8
rows = Block.rows

def noted(self, *rest):
    with open("encoded", "a") as file:
        file.write("".join(own + "\\n" for own in self.columns["document_id"]))
    return rows(self, *rest)

Block.rows = noted
for seed in [*range(3), None]:
    writer = os.fork()
    if not writer:
        indexing.make(Path("index"), "tiny", corpus.Corpus("v.jsonl", corpus.Columns()), mixing=Composition())
        os._exit(0)
    if seed is not None:
        begun = time.monotonic()
        size = os.path.getsize("encoded") if os.path.exists("encoded") else 0
        # From the first new block on, or while the index is opened.
        while seed % 2 and time.monotonic() < begun + 60 and (os.path.getsize("encoded") if os.path.exists("encoded") else 0) <= size:
            time.sleep(0.005)
        time.sleep(random.Random(seed).uniform(0, 0.5))
        os.kill(writer, signal.SIGKILL)
    status = os.waitpid(writer, 0)[1]
sys.exit(status)
"""


def test_a_kill_at_any_moment_loses_nothing_and_encodes_no_more_than_its_block_again(tmp_path: Path) -> None:
    write(tmp_path / "v.jsonl", documents(160))
    subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, check=True, capture_output=True)
    manifest = Manifest.read(tmp_path / "index")
    table = PassageTable(manifest.table_place(tmp_path / "index"), version=manifest.table)
    assert table.counts() == (manifest.documents, manifest.passages) == (160, 160)
    assert set(table.digests()) == {row["id"] for row in documents(160)}
    encoded = (tmp_path / "encoded").read_text().split()
    assert set(encoded) == set(table.digests())
    assert len(encoded) <= 160 + 3 * 8


@pytest.mark.parametrize(
    "mixing",
    [
        Composition.of(DocumentMixing(k=3), QueryMixing(k=2, first=5, last=9)),
        Composition.of(HubCorrection(k=4), LexicalMixing(weight=0.3)),
    ],
    ids=str,
)
def test_a_mixing_ranks_as_it_does_in_evaluation(tmp_path: Path, corpus: Corpus, mixing: Composition) -> None:
    from hr_retrieval.ranking.sides import Sides
    from hr_retrieval.retrieval.relevance import Relevance

    searcher = Searcher(made(tmp_path, corpus, mixing=mixing))
    # The order of the table: by id.
    rows = sorted(documents(), key=lambda row: row["id"])
    texts, queries = [row["text"] for row in rows], ["nurse 13 place", "водитель", "cook"]
    encoder = searcher.encoder
    sides = Sides(mixing, encoder, lambda: texts, encoder.encode(texts, "document"))
    mixed = mixing(sides.queries(lambda: queries, encoder.encode(queries, "query")), sides.corpus)
    ranking = mixed.ranking(Relevance.from_lists([[0]] * 3), 6)
    for hits, places, scores in zip(searcher.search(queries, Asked(k=6)), ranking.rows, ranking.scores, strict=True):
        assert ids(hits) == [rows[place]["id"] for place in places.tolist()]
        assert [hit.score for hit in hits] == pytest.approx(scores.tolist(), abs=1e-5)


def test_a_long_text_is_found_by_any_of_its_passages(tmp_path: Path) -> None:
    filler = " ".join(f"word{number}" for number in range(400))
    rows = [*documents(6), {**documents(1)[0], "id": "long", "text": f"{filler}. повар готовит суп. {filler}"}]
    folder = made(tmp_path, write(tmp_path / "v.jsonl", rows), overlap=8)
    searcher = Searcher(folder)
    assert searcher.manifest.passages > searcher.manifest.documents == 7
    for pooled in ("max", "mean"):
        hits = searcher.search(["повар готовит суп"], Asked(k=7, passages=pooled))[0]
        (found,) = [hit for hit in hits if hit.document == "long"]
        assert len(hits) == 7
        assert found.text.count("word") == 800
        assert 0 < len(found.passage) < len(found.text)
    spans = searcher.encoder.passages([rows[-1]["text"]], "document", 8)[0]
    embeddings = searcher.encoder.encode([rows[-1]["text"][begin:end] for begin, end in spans], "document")
    query = searcher.encoder.encode(["повар готовит суп"], "query")
    assert found.score == pytest.approx(float((embeddings @ query[0]).mean()), abs=1e-5)


# One bit a number takes dimensions that 8 divides.
@pytest.mark.parametrize("dimension", [None, 20])
def test_a_corpus_beyond_exact_search_reports_its_recall(
    tmp_path: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch, dimension: int | None
) -> None:
    from hr_retrieval.store import searcher as module

    write_tiny(tmp_path / "tiny", dense=dimension)
    indexing.make(tmp_path / "index", str(tmp_path / "tiny"), corpus, mixing=PLAIN)
    exact = Searcher(tmp_path / "index")
    monkeypatch.setattr(indexing, "MOST", 10)
    monkeypatch.setattr(module, "MOST", 10)
    indexing.make(tmp_path / "large", str(tmp_path / "tiny"), corpus, mixing=PLAIN)
    large = Searcher(tmp_path / "large")
    assert (exact.exact, large.exact) == (True, False)
    for asked in (
        Asked(k=5),
        Asked(k=5, filters={"city": "Москва"}),
        Asked(k=5, hybrid="score"),
        Asked(k=5, passages="mean"),
    ):
        one, other = (one.search(["nurse 13"], asked)[0] for one in (exact, large))
        assert large.recall(["nurse 13"], asked) >= 0.8
        assert len(set(ids(one)) & set(ids(other))) >= 4
        assert other[0].metadata == one[0].metadata or ids(one)[0] != ids(other)[0]


def test_the_table_may_lie_at_an_address(tmp_path: Path, corpus: Corpus) -> None:
    address = f"file://{tmp_path}/store"
    folder = made(tmp_path, corpus, place=address)
    assert {path.name for path in folder.iterdir()} == {
        ".lock", FILE, f"passages-{Manifest.read(folder).table}.arrow"
    }  # fmt: skip
    assert Manifest.read(folder).place == address
    indexing.change(folder, None, None, ["d0"])
    elsewhere = Searcher(folder).search(["nurse 13"], Asked(k=100, hybrid="rank", explain=True))[0]
    indexing.change(made(tmp_path / "own", corpus), None, None, ["d0"])
    assert (
        elsewhere
        == Searcher(tmp_path / "own" / "index").search(["nurse 13"], Asked(k=100, hybrid="rank", explain=True))[0]
    )
    with pytest.raises(UserError, match="47 of another index"):
        indexing.make(tmp_path / "other", "tiny", corpus, mixing=PLAIN, place=address)
    assert not (tmp_path / "other" / FILE).exists()


def test_hybrid_search_finds_what_words_alone_find(tmp_path: Path, corpus: Corpus) -> None:
    searcher = Searcher(made(tmp_path, corpus))
    for hybrid in ("rank", "score"):
        hits = searcher.search(["судья place 17"], Asked(k=48, hybrid=hybrid, weight=0.9))[0]
        plain = ids(searcher.search(["судья place 17"], Asked(k=48))[0])
        assert ids(hits).index("d17") <= plain.index("d17")
        assert hybrid == "rank" or hits[0].document == "d17"
        assert set(hits[0].scores) == {"meaning", "words"}
    pieces = Searcher(made(tmp_path / "other", corpus, lexical="ngrams"))
    hits = pieces.search(["водителя"], Asked(k=5, hybrid="score", weight=1.0))[0]
    assert all("водитель" in hit.text for hit in hits[:4])


def test_why_a_document_was_found(tmp_path: Path) -> None:
    text = "Клиника ищет людей. Медсестра делает перевязки. Платим вовремя."
    folder = made(tmp_path, write(tmp_path / "v.jsonl", [{**documents(1)[0], "text": text}]))
    (hit,) = Searcher(folder).search(["медсестры"], Asked(explain=True))[0]
    ((begin, end),) = hit.marks
    assert hit.text[begin:end] in ("Клиника ищет людей.", "Медсестра делает перевязки.", "Платим вовремя.")
    assert hit.words == ("медсестры",)


def test_another_encoder_is_refused_by_fingerprint(tmp_path: Path, corpus: Corpus) -> None:
    folder = made(tmp_path, corpus)
    Encoder("tiny", max_length=7).save(tmp_path / "other")
    with pytest.raises(UserError, match="the encoder that made the index") as raised:
        Searcher(folder, str(tmp_path / "other"))
    assert Manifest.read(folder).fingerprint[:16] in str(raised.value)


def test_two_writers_are_one_too_many(tmp_path: Path, corpus: Corpus) -> None:
    with indexing._writing(tmp_path / "index"), pytest.raises(UserError, match="another process that writes"):
        made(tmp_path, corpus)
    assert made(tmp_path, corpus).is_dir()


def test_a_full_disk_is_one_error_and_room_lets_it_go_on(tmp_path: Path) -> None:
    corpus = write(tmp_path / "v.jsonl", documents(1500))
    with small_disk_at(tmp_path / "small", "200k") as disk:
        with pytest.raises(UserError, match=r"(?i)to write .*|space"):
            indexing.make(disk / "index", "tiny", corpus, mixing=PLAIN)
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert indexing.make(disk / "index", "tiny", corpus, mixing=PLAIN).documents == 1500


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"text": "a"}], "the column 'document_id' or 'id'"),
        ([{"id": "1", "text": "a"}, {"id": "1", "text": "b"}], "'1' twice"),
        ([{"id": "1", "text": "a"}, {"id": None, "text": "b"}], "none in row 1"),
        ([{"id": "1", "text": " . "}], r"none in row 0 \(id '1'\)"),
        ([{"id": "1", "text": "a", "begin": 1}], "other metadata columns"),
        ([{"id": "1", "text": "a", "tags": ["x"]}], "plain values in the metadata column 'tags'"),
    ],
)
def test_a_corpus_that_cannot_be_indexed_is_refused_before_work(
    tmp_path: Path, counted: list[str], rows: list[dict[str, Any]], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        made(tmp_path, write(tmp_path / "v.jsonl", rows))
    assert counted == []


def test_a_whole_index_is_not_written_over(tmp_path: Path, corpus: Corpus) -> None:
    folder = made(tmp_path, corpus)
    with pytest.raises(UserError, match="which holds a whole one"):
        made(tmp_path, corpus)
    with pytest.raises(UserError, match="metadata columns of the index"):
        indexing.change(folder, None, write(tmp_path / "o.jsonl", [{"id": "1", "text": "a"}]), [])
    with pytest.raises(UserError, match="ids of documents of the index to delete"):
        indexing.change(folder, None, None, ["nobody"])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="already holds something"):
        indexing.make(tmp_path / "full", "tiny", corpus, mixing=PLAIN)
    assert os.listdir(tmp_path / "full") == ["notes.txt"]


@pytest.mark.parametrize(
    ("asked", "query", "said"),
    [
        ({}, " ", "a query with a word"),
        ({}, "слово " * 20_000, "at most 50,000 letters"),
        ({"filters": {"town": "x"}}, "a", "There are: city, salary, remote"),
        ({"filters": {"salary": "much"}}, "a", "a number for the filter salary"),
        ({"filters": {"city": {"from": 1}}}, "a", "on one of text"),
    ],
)
def test_a_query_that_cannot_be_answered_is_one_error(
    tmp_path: Path, corpus: Corpus, asked: dict[str, Any], query: str, said: str
) -> None:
    searcher = Searcher(made(tmp_path, corpus))
    with pytest.raises(UserError, match=said):
        searcher.search([query], Asked(**asked))
    for wrong in ({"k": 0}, {"hybrid": "both"}, {"passages": "sum"}, {"weight": 2.0}):
        with pytest.raises(UserError, match="to be"):
            Asked(**wrong)
