"""Tests of finding an encoder's folder."""

import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest

from hr_retrieval.encoder.builtin import BUILTIN, BUILTINS
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.folder import encoder_folder, hub_name
from hr_retrieval.encoder.tiny import write_tiny
from hr_retrieval.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tiny(tmp_path / "model", dense=24)
    return tmp_path / "model"


def test_an_unknown_model_is_reported_with_the_ways_out() -> None:
    with pytest.raises(UserError) as caught:
        Encoder("nobody/no-such-model")
    for word in ("nobody/no-such-model", "HF_HOME", "HF_ENDPOINT", *BUILTINS):
        assert word in str(caught.value)


def test_a_model_out_of_reach_that_is_built_in_is_offered_as_such() -> None:
    with pytest.raises(UserError, match="or use builtin:multilingual-e5-small"):
        Encoder("intfloat/multilingual-e5-small")


@pytest.mark.parametrize("name", ["no-such-model", "/no/such/folder", "./no/such", "../such", "no/..", "a/b/c", "я/b"])
def test_names_that_are_no_hub_names(name: str) -> None:
    assert hub_name(name) is None
    with pytest.raises(UserError, match="not there"):
        Encoder(name)


def test_a_revision_that_leads_out_of_the_cache_is_refused() -> None:
    with pytest.raises(UserError, match="revision"):
        Encoder("owner/name", revision="../../../somewhere")


def test_what_is_on_the_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub_name(BUILTIN) == "sentence-transformers/all-MiniLM-L6-v2"
    assert hub_name("sentence-transformers/LaBSE") == "sentence-transformers/LaBSE"
    assert hub_name("builtin:multilingual-e5-small") == "intfloat/multilingual-e5-small"
    assert hub_name("builtin:other") is None
    assert hub_name("tiny") is None
    monkeypatch.chdir(folder.parent.parent)
    assert hub_name(f"{folder.parent.name}/{folder.name}") is None


def test_a_model_in_the_hub_cache_is_found_offline(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "a" * 40
    cached = tmp_path / "hub" / "models--owner--name"
    shutil.copytree(folder, cached / "snapshots" / commit)
    # The hub's cache keeps files apart, and links to them.
    (cached / "blobs").mkdir()
    (cached / "snapshots" / commit / "config.json").rename(cached / "blobs" / "abc")
    (cached / "snapshots" / commit / "config.json").symlink_to("../../blobs/abc")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert Encoder("owner/name").embedding_dimension == 24
    assert Encoder("owner/name", revision=commit).embedding_dimension == 24
    with pytest.raises(UserError, match="owner/name"):
        Encoder("owner/name", revision="b" * 40)


def test_tiny_is_removed_afterwards() -> None:
    with encoder_folder("tiny") as folder:
        assert (folder / "config.json").exists()
    assert not folder.exists()
