"""The file of a chosen mixing: what it holds, and whom it refuses."""

import json
from pathlib import Path

import pytest

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.mixing import Composition, DocumentMixing
from hr_retrieval.runs.ranking import FILE, RankingChoice, chosen_mixing, sentences

CHOICE = RankingChoice("abc", Composition(documents=DocumentMixing(k=3, weight=0.3)), {"metric": "map"})
WORTH = {
    "metric": "map", "queries": 1200, "without": 0.5, "mixed": 0.52, "helped": 700, "hurt": 300, "p": 0.0006,
    "hubness": (3.0, 2.5),
}  # fmt: skip


def test_a_choice_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert RankingChoice.read(tmp_path) is None
    CHOICE.write(tmp_path)
    assert RankingChoice.read(tmp_path) == CHOICE
    assert json.loads(CHOICE.text) == json.loads((tmp_path / FILE).read_text()) == CHOICE.content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"version": 2}, r"version 1 in .*got 2\. A newer hr_retrieval"),
        ({}, r"got None\. Export the encoder anew"),
        ([], "got None"),
        ({"version": 1, "mixing": {"stars": {}}}, "strategies of mixing"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_refused(tmp_path: Path, content: object, message: str) -> None:
    (tmp_path / FILE).write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        RankingChoice.read(tmp_path)


def test_a_choice_for_another_encoder_is_refused(tmp_path: Path) -> None:
    encoder = Encoder("tiny")
    assert chosen_mixing(tmp_path, encoder) == Composition()
    CHOICE.write(tmp_path)
    with pytest.raises(UserError, match=r"ranking\.json was chosen for \(fingerprint abc\).*ranking/mixing=none"):
        chosen_mixing(tmp_path, encoder)
    RankingChoice(encoder.embedding_fingerprint(), CHOICE.mixing).write(tmp_path)
    assert chosen_mixing(tmp_path, encoder) == CHOICE.mixing


def test_what_was_chosen_is_said_with_its_worth() -> None:
    ranking = {
        "mixing": str(CHOICE.mixing), "parts": CHOICE.mixing.to_json(), "tried": 6, "validation": WORTH, "test": None,
    }  # fmt: skip
    assert sentences(ranking) == [
        "Mixing at ranking time, chosen on validation of 6 settings: each document moved by 0.3 to its 3 nearest documents.",
        "On validation it is worth +0.0200 map (0.5000 without, 0.5200 with it; p = 0.0006, adjusted for the settings tried): "
        "700 of 1,200 queries gain, 300 lose. Hubness (skewness of how often a document is among the first ten): 3.00 "
        "without, 2.50 with it.",
        "Figures before training (zero-shot) are without mixing.",
    ]
    assert "none raised the map of 1,200 validation queries" in sentences({**ranking, "parts": {}})[0]
    assert sentences(None) == ["Mixing at ranking time: none was chosen from."]
