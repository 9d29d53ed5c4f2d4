"""Tests of the small random encoders."""

from pathlib import Path

import pytest
from safetensors.torch import load_file

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.tiny import write_tiny
from hr_retrieval.errors import UserError


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        write_tiny(tmp_path / name, seed=seed)
    first, again, other = (load_file(tmp_path / name / "model.safetensors") for name in ("first", "again", "other"))
    word = "embeddings.word_embeddings.weight"
    assert all(first[name].equal(again[name]) for name in first)
    assert not first[word].equal(other[word])


def test_sizes_are_as_asked(tmp_path: Path) -> None:
    write_tiny(tmp_path / "small", "roberta", hidden=32, layers=1, max_length=16)
    encoder = Encoder(str(tmp_path / "small"))
    assert (encoder.embedding_dimension, encoder.max_length) == (32, 16)
    assert len(encoder.transformer.encoder.layer) == 1


def test_latin_cyrillic_and_digits_are_known_and_case_is_not_seen(tmp_path: Path) -> None:
    encoder = Encoder("tiny")
    tokens, _ = encoder.tokenise(["Инженер-ёлка 5, C++ (m/w/d) №1"], "query")
    unknown = encoder.tokenise(["漢"], "query")[0].ids[1]
    assert unknown not in tokens.ids
    lower, upper = (encoder.tokenise([text], "query")[0].ids for text in ("повар nurse", "ПОВАР Nurse"))
    assert lower.equal(upper)


def test_a_full_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="new or empty"):
        write_tiny(tmp_path)
