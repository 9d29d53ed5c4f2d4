"""Tests of what an encoder reads from its folder, and of the options that overrule it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hr_retrieval.errors import UserError
from hr_retrieval.model.encoder import Encoder
from hr_retrieval.model.tiny import Architecture, write_tiny
from tests.model.conftest import reference

TEXTS = ["Software engineer (m/w/d)", "Повар-кондитер 5 разряда", "HR"]
ENCODER = Encoder("tiny")


def test_prompts_of_the_folder_are_the_prefixes(tmp_path: Path) -> None:
    write_tiny(tmp_path / "e5", prompts={"query": "query: ", "passage": "passage: "})
    encoder = Encoder(str(tmp_path / "e5"))
    assert encoder.prefixes == {"query": "query: ", "document": "passage: "}
    assert Encoder(str(tmp_path / "e5"), query_prefix="").prefixes["query"] == ""
    torch.testing.assert_close(
        encoder.encode(TEXTS, "query"), reference(tmp_path / "e5", TEXTS, "query"), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("pooling", ["cls", "max", "lasttoken"])
def test_pooling_of_the_folder_and_of_the_option(tmp_path: Path, pooling: str) -> None:
    write_tiny(tmp_path / "own", pooling=pooling)
    own = Encoder(str(tmp_path / "own")).encode(TEXTS, "query")
    torch.testing.assert_close(own, reference(tmp_path / "own", TEXTS), atol=1e-5, rtol=0)
    assert torch.equal(Encoder("tiny", pooling=pooling).encode(TEXTS, "query"), own)
    assert not torch.allclose(ENCODER.encode(TEXTS, "query"), own, atol=1e-2)


def test_a_plain_hugging_face_folder_gets_mean_pooling(folder: Callable[[Architecture], Path], tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (plain / name).write_bytes((folder("xlm-roberta") / name).read_bytes())
    encoder = Encoder(str(plain))
    assert encoder.pooling == "mean"
    expected = Encoder(str(folder("xlm-roberta"))).encode(TEXTS, "query")
    torch.testing.assert_close(encoder.encode(TEXTS, "query"), expected)


@pytest.mark.parametrize("architecture", ["roberta", "mpnet"])
def test_length_never_above_the_position_table(
    folder: Callable[[Architecture], Path], tmp_path: Path, architecture: Architecture
) -> None:
    copy = tmp_path / "long"
    write_tiny(copy, architecture, max_length=32)
    settings_path = copy / "tokenizer_config.json"
    content = json.loads(settings_path.read_text())
    settings_path.write_text(json.dumps({**content, "model_max_length": 10**30}))
    encoder = Encoder(str(copy))
    assert encoder.max_length == 32
    encoder.encode(["a" * 100], "query")
    with pytest.raises(UserError, match="32"):
        Encoder(str(copy), max_length=33)


@pytest.mark.parametrize(
    "options", [{"pooling": "median"}, {"max_length": 2}, {"dimensions": 65}, {"dimensions": 0}, {"dropout": 1.0}]
)
def test_options_out_of_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UserError):
        Encoder("tiny", **options)
