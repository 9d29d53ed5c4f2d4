"""A person is gone from every file that can be read, and what cannot is named."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.errors import UserError
from hr_retrieval.forget import __main__ as forget
from hr_retrieval.forget.person import Person
from hr_retrieval.index.corpus import Columns, Corpus
from hr_retrieval.index.indexing import make
from tests.conftest import Command

FIND = "find=[pilot 3]"


def test_a_person_is_told_by_words_in_any_form_and_by_a_number_in_any_form() -> None:
    person = Person(["Anna Petrova", "+7 (912) 345-67-89"])
    for text in ("ANNA PETROVA!", "cv of anna  petrova", "8 912 345 67 89", "tel 79123456789"):
        assert person.is_in(text)
    for text in ("Joanna Petrova", "Anna Petrovaya", "8 912 345 67 88", "", None):
        assert not person.is_in(text)
    for find in ([], ["a"], ["..."]):
        with pytest.raises(UserError, match="at least three letters"):
            Person(find)


def test_a_prepared_data_set_loses_the_rows_and_what_they_leave_without_an_answer(
    toy_dataset: Path, command: Command
) -> None:
    rejected = pa.table({"source": ["a", "b"], "row": [0, 1], "reason": ["x", "x"], "content": ["pilot 3", "cook"]})
    pq.write_table(rejected, toy_dataset / "rejected.parquet")
    (toy_dataset / "dataset.json").write_text(json.dumps({"name": "toy"}))
    before = PreparedDataset.open(toy_dataset)
    said = command(forget.main, FIND, "folders=[toy]")
    assert "toy: 2 rows of queries, 0 rows of corpus, 1 rows of rejected" in said
    assert "Nothing was changed" in said
    assert PreparedDataset.open(toy_dataset).fingerprint == before.fingerprint
    command(forget.main, "find=[pilot works at place 3]", "folders=[toy]", "apply=true")
    command(forget.main, FIND, "folders=[toy]", "apply=true")
    after = PreparedDataset.open(toy_dataset)
    assert after.fingerprint != before.fingerprint
    assert (after.query_count, after.document_count) == (before.query_count - 2, before.document_count - 2)
    assert after.info["forgotten"] == {"corpus": 2, "queries": 2, "qrels": 4, "rejected": 1, "dataset.json": 0}
    assert pq.read_table(toy_dataset / "rejected.parquet")["content"].to_pylist() == ["cook"]
    assert "pilot 3" not in str(pq.read_table(toy_dataset / "queries.parquet")["text"].to_pylist())


def test_what_is_said_of_a_data_set_loses_the_person_too(toy_dataset: Path, command: Command) -> None:
    info = {
        "name": "toy",
        "inputs": {"cv/Pilot 3.pdf": "aa", "cv/cook.pdf": "bb"},
        "counts": {"boilerplate": {"examples": [["Ask for Pilot 3!", 7], ["We offer tea.", 9]]}},
        "forgotten": {"queries": 1},
    }
    (toy_dataset / "dataset.json").write_text(json.dumps(info))
    # Nor in the name of a group.
    corpus = pq.read_table(toy_dataset / "corpus.parquet")
    groups = ["pilot 3" if row == 4 else group for row, group in enumerate(corpus["group_id"].to_pylist())]
    place = corpus.column_names.index("group_id")
    pq.write_table(corpus.set_column(place, "group_id", pa.array(groups)), toy_dataset / "corpus.parquet")
    said = command(forget.main, FIND, "folders=[toy]", "apply=true")
    assert "1 rows of corpus, 0 rows of rejected, 2 texts of dataset.json" in said
    mended = json.loads((toy_dataset / "dataset.json").read_text())
    assert mended["inputs"] == {"[forgotten] 1": "aa", "cv/cook.pdf": "bb"}
    assert mended["counts"]["boilerplate"]["examples"] == [["[forgotten]", 7], ["We offer tea.", 9]]
    assert mended["forgotten"] == {"queries": 4, "corpus": 1, "qrels": 6, "rejected": 0, "dataset.json": 2}
    assert "0 texts of dataset.json" in command(forget.main, FIND, "folders=[toy]")


def test_data_sets_below_a_folder_and_what_stopped_commands_left_beside_them(
    toy_dataset: Path, tmp_path: Path, command: Command
) -> None:
    """A table alone would leave judgements of what is gone."""
    (tmp_path / "all").mkdir()
    toy_dataset.rename(tmp_path / "all" / "toy")
    (tmp_path / "all" / "notes.md").write_text("Pilot 3")
    for name in (".toy.stage-12-reading", ".toy.ab.partial", ".toy.ab.old"):
        (tmp_path / "all" / name).mkdir()
        (tmp_path / "all" / name / "documents.texts").write_bytes(b"pilot 3")
    before = PreparedDataset.open(tmp_path / "all" / "toy").query_count
    said = command(forget.main, FIND, "folders=[all]", "apply=true")
    assert "all/toy: 2 rows of queries" in said
    assert "notes.md: holds it" in said
    assert said.count("if none runs, remove it by hand") == 2
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == [
        ".toy.ab.old", ".toy.ab.partial", "notes.md", "toy",
    ]  # fmt: skip
    assert PreparedDataset.open(tmp_path / "all" / "toy").query_count == before - 2


def test_of_a_run_tables_and_boards_are_mended_and_the_rest_is_named(tmp_path: Path, command: Command) -> None:
    run = tmp_path / "run"
    (run / "tensorboard").mkdir(parents=True)
    pq.write_table(
        pa.table({"query_id": ["pilot-3", "q1"], "ids": [["a"], ["b"]], "mrr": [1.0, 0.5]}), run / "per_query.parquet"
    )
    (run / "tensorboard" / "events.1").write_bytes(b"\xff\x00 pilot&#32;3 \x00")
    (run / "tensorboard" / "events.2").write_bytes(b"cook")
    (run / "notes.md").write_text("of Pilot, 3")
    (run / "last.ckpt").write_bytes(b"pilot 3")
    said = command(forget.main, FIND, "folders=[run]", "apply=true")
    assert pq.read_table(run / "per_query.parquet")["query_id"].to_pylist() == ["q1"]
    assert sorted(path.name for path in (run / "tensorboard").iterdir()) == ["events.2"]
    assert "notes.md: holds it; mend or remove it by hand" in said
    assert "train anew" in said


def test_an_index_loses_the_documents_and_says_what_stays(toy_dataset: Path, tmp_path: Path, command: Command) -> None:
    pytest.importorskip("lancedb")
    make(tmp_path / "index", "tiny", Corpus(str(toy_dataset), Columns()))
    said = command(forget.main, "find=[pilot works at place 3]", "folders=[index]", "apply=true")
    assert "2 documents of the index" in said
    assert "index the corpus anew" in said
    assert "0 documents of the index" in command(forget.main, "find=[pilot works at place 3]", "folders=[index]")


def test_what_is_no_folder_is_named(command: Command) -> None:
    assert "exit 1: Expected folders=[...] to list folders; got nowhere" in command(
        forget.main, FIND, "folders=[nowhere]"
    )
