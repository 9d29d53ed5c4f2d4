"""Sentences that many documents share: the counts of a loop, what is left out, and what is kept whole."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.errors import UserError
from hr_retrieval.prepare.boilerplate import Boilerplate, check_boilerplate, common_sentences, sentences_of
from hr_retrieval.prepare.columns import Columns
from hr_retrieval.prepare.preparation import Preparation
from hr_retrieval.prepare.readers.json_lines import JsonLinesReader
from hr_retrieval.text import normalise

OFFER = "Мы предлагаем:\nдружный коллектив"
EQUAL = "We are an equal opportunity employer."


def rows() -> list[dict[str, Any]]:
    """Forty documents, of which ten offer the same, twelve have a clause, and one says nothing else."""
    made = []
    for number in range(40):
        text = f"Task {number} is done. It takes {number} hours!"
        if number < 10:
            text += f"\n{OFFER}"
        if number % 4 == 0:
            text += f"\n{EQUAL.upper() if number else EQUAL}"
        made.append({"a": f"title {number}", "p": text})
    return [*made, {"a": "title 40", "p": f"{EQUAL}\n{OFFER}"}, {"a": "another title", "p": made[39]["p"]}]


def prepare(folder: Path, name: str, **options: Any) -> PreparedDataset:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()))
    reader = JsonLinesReader(str(folder / "rows.jsonl"))
    return Preparation(reader, str(folder / name), "made", columns=Columns("a", "p"), **options).run()


def texts(data: PreparedDataset) -> list[str]:
    own: list[str] = pq.read_table(data.folder / "corpus.parquet")["text"].to_pylist()
    return own


def test_what_many_documents_share_is_left_out_and_counted(tmp_path: Path) -> None:
    plain, swept = prepare(tmp_path, "plain"), prepare(tmp_path, "swept", boilerplate="drop", boilerplate_share=0.2)
    assert texts(plain)[:2] == [
        f"Task 0 is done. It takes 0 hours! {' '.join(OFFER.split())} {EQUAL}",
        f"Task 1 is done. It takes 1 hours! {' '.join(OFFER.split())}",
    ]
    # What holds nothing else stays, on one line; what stands in one document alone does too.
    assert texts(swept) == [
        *(f"Task {number} is done. It takes {number} hours!" for number in range(40)),
        f"{EQUAL} {' '.join(OFFER.split())}",
    ]
    assert plain.info["counts"]["boilerplate"] == {}
    found = swept.info["counts"]["boilerplate"]
    assert found == {
        "sentences": 3,
        "left_out": 30,
        "documents": 17,
        "kept_whole": 1,
        "examples": sorted(found["examples"], key=lambda example: -example[1]),
    }
    assert dict(found["examples"]) == {"Мы предлагаем:": 11, "дружный коллектив": 11, EQUAL: 11}
    assert swept.info["counts"]["documents"] == 41


def test_a_share_that_nothing_reaches_changes_nothing(tmp_path: Path) -> None:
    plain, swept = prepare(tmp_path, "plain"), prepare(tmp_path, "swept", boilerplate="drop", boilerplate_share=0.5)
    for name in ("corpus", "queries", "qrels"):
        assert pq.read_table(plain.folder / f"{name}.parquet").equals(pq.read_table(swept.folder / f"{name}.parquet"))
    assert swept.info["counts"]["boilerplate"]["sentences"] == 0


SENTENCES = st.lists(st.sampled_from([f"{letter}." for letter in "abcdefgh"]), min_size=1, max_size=4)


def held_by(found: Boilerplate, piece: str) -> bool:
    return int(sentences_of([piece])[0][0]) in found.hashes.tolist()


@settings(max_examples=60, deadline=None)
@given(st.lists(SENTENCES, min_size=1, max_size=60), st.floats(0.05, 0.9), st.integers(1, 20), st.integers(1, 4))
def test_the_counts_are_those_of_a_loop(documents: list[list[str]], share: float, size: int, held: int) -> None:
    whole = [" ".join(own) for own in documents]
    blocks = [sentences_of(whole[begin : begin + size]) for begin in range(0, len(whole), size)]
    expected = Counter(piece for own in documents for piece in set(own))
    common = {piece for piece, count in expected.items() if count > share * len(whole) and count >= 5}
    with pytest.MonkeyPatch.context() as patch:
        # So few counts that some have to go: what is surely found is what stands in more than their share.
        number = sum(map(len, map(set, documents)))
        patch.setattr("hr_retrieval.prepare.boilerplate._HELD", held)
        found = common_sentences(lambda: blocks, share)
        sure = {piece for piece in common if expected[piece] > number / (held + 1)}
        holds = {piece for piece in expected if held_by(found, piece)}
        assert sure <= holds <= common
        patch.setattr("hr_retrieval.prepare.boilerplate._HELD", 100)
        found = common_sentences(lambda: blocks, share)
    assert {piece for piece in expected if held_by(found, piece)} == common
    assert sorted(found.documents.tolist()) == sorted(expected[piece] for piece in common)
    assert np.array_equal(found.hashes, np.unique(found.hashes))
    assert all(normalise(piece) for piece in common)


@pytest.mark.parametrize(("choice", "share"), [("lose", 0.1), ("drop", 0.0), ("drop", 1.0)])
def test_other_choices_are_errors(choice: str, share: float) -> None:
    with pytest.raises(UserError, match=r"data\.boilerplate"):
        check_boilerplate(choice, share)
