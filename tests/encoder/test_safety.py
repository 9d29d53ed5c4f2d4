"""Tests of what is refused in an encoder's folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.safety import check_folder
from hr_retrieval.encoder.tiny import write_tiny
from hr_retrieval.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tiny(tmp_path / "model", dense=24)
    return tmp_path / "model"


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()) if path.exists() else {})))


def module(number: int, **changes: str) -> Callable[[Any], Any]:
    return lambda modules: [{**entry, **(changes if entry["idx"] == number else {})} for entry in modules]


def test_a_folder_of_the_library_passes(folder: Path) -> None:
    check_folder(folder)
    for spelling in ("sentence_transformers.models.Pooling", "sentence_transformers.base.modules.pooling.Pooling"):
        edit(folder / "modules.json", module(1, type=spelling))
        check_folder(folder)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("modules.json", module(1, type="os.system"), "os.system"),
        ("modules.json", module(1, type="sentence_transformers.models.CNN"), "CNN"),
        ("modules.json", module(1, type="modeling.Pooling"), "modeling.Pooling"),
        ("modules.json", module(1, path="../other"), "other"),
        ("modules.json", module(1, path="/etc"), "/etc"),
        ("modules.json", module(1, path="C:\\models"), "C:"),
        ("modules.json", lambda modules: modules[:1], "Pooling"),
        ("modules.json", lambda modules: [modules[1], modules[0]], "Transformer"),
        ("modules.json", lambda modules: [], "none"),
        ("modules.json", lambda modules: {"modules": 1}, "list of modules"),
        ("modules.json", lambda modules: [{"type": entry["type"], "path": ""} for entry in modules], "with name"),
        ("modules.json", lambda modules: [*modules[:2], modules[3], modules[2]], "Normalize, Dense"),
        (
            "config_sentence_transformers.json",
            lambda config: {**config, "model_type": "SparseEncoder"},
            "SparseEncoder",
        ),
        ("config.json", lambda config: {**config, "auto_map": {"AutoModel": "code.Model"}}, "trust_remote_code"),
        ("config.json", lambda config: {**config, "attn_implementation": "someone/kernel"}, "trust_remote_code"),
        ("config.json", lambda config: {**config, "text": {"_attn_implementation_internal": "a/b"}}, "trust_remote"),
        ("config.json", lambda config: {**config, "parts": [{"auto_map": {}}]}, "trust_remote_code"),
        ("config.json", lambda config: {**config, "transformers_weights": "../x.safetensors"}, "transformers_weights"),
        ("tokenizer_config.json", lambda config: {**config, "auto_map": {}}, "trust_remote_code"),
        (
            "tokenizer_config.json",
            lambda config: {**config, "fast_tokenizer_files": ["../../tokenizer.5.0.json"]},
            "points out of itself",
        ),
        ("sentence_bert_config.json", lambda config: {**config, "model_kwargs": {"x": 1}}, "model_kwargs"),
        ("sentence_bert_config.json", lambda config: {**config, "transformer_task": "fill-mask"}, "fill-mask"),
        ("sentence_xlnet_config.json", lambda config: {"tokenizer_name_or_path": "/x"}, "tokenizer_name_or_path"),
        ("2_Dense/config.json", lambda config: {**config, "activation_function": "os.system"}, "os.system"),
        ("adapter_config.json", lambda config: {}, "adapter"),
        ("model.safetensors.index.json", lambda config: {"weight_map": {"a": "../b.safetensors"}}, "safetensors"),
        ("model.safetensors.index.json", lambda config: {"weight_map": {"a": "b.bin"}}, "safetensors"),
        ("model.safetensors.index.json", lambda config: {"weight_map": ["a"]}, "safetensors"),
    ],
)
def test_unsafe_and_unknown_folders_are_refused(
    folder: Path, file: str, change: Callable[[Any], Any], message: str
) -> None:
    edit(folder / file, change)
    with pytest.raises(UserError, match=message.replace("\\", ".")):
        Encoder(str(folder))


@pytest.mark.parametrize(
    "name", ["tokenizer.json", "model.safetensors", "modules.json", "2_Dense", "1_Pooling/config.json"]
)
def test_links_out_of_a_folder_are_refused(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="a link to"):
        Encoder(str(folder))


def test_links_within_a_folder_and_to_it_are_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "tokenizer.json").rename(folder / "kept.json")
    (folder / "tokenizer.json").symlink_to("kept.json")
    (tmp_path / "link").symlink_to(folder)
    assert Encoder(str(tmp_path / "link")).embedding_dimension == 24


def test_an_adapter_beside_a_transformer_in_a_folder_of_its_own_is_refused(tmp_path: Path) -> None:
    write_tiny(tmp_path / "model")
    names = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "sentence_bert_config.json")
    (tmp_path / "model" / "0_Transformer").mkdir()
    for name in names:
        (tmp_path / "model" / name).rename(tmp_path / "model" / "0_Transformer" / name)
    edit(tmp_path / "model" / "modules.json", module(0, path="0_Transformer"))
    assert Encoder(str(tmp_path / "model")).embedding_dimension == 64
    for place in (".", "0_Transformer"):
        (tmp_path / "model" / place / "adapter_config.json").write_text("{}")
        with pytest.raises(UserError, match="adapter"):
            Encoder(str(tmp_path / "model"))
        (tmp_path / "model" / place / "adapter_config.json").unlink()


def test_where_transformers_has_a_class_it_says_how_to_do_without_code(folder: Path) -> None:
    code = {"auto_map": {"AutoModel": "code.Model"}}
    edit(folder / "config.json", lambda config: {**config, **code})
    with pytest.raises(UserError, match=r"transformers knows bert without it: .* take auto_map out of config\.json"):
        check_folder(folder)
    edit(folder / "config.json", lambda config: {**config, "model_type": "none_of_its_own"})
    with pytest.raises(UserError, match=r"Read that code: set model\.encoder\.trust_remote_code=true only"):
        check_folder(folder)


def test_trusted_code_passes_the_check(folder: Path) -> None:
    edit(folder / "config.json", lambda config: {**config, "auto_map": {"AutoModel": "code.Model"}})
    with pytest.raises(UserError):
        check_folder(folder)
    check_folder(folder, trust_remote_code=True)


@pytest.mark.parametrize("place", [".", "2_Dense"])
def test_pickled_weights_are_never_opened(folder: Path, place: str) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (folder / "ran",)

    (folder / place / "model.safetensors").unlink()
    torch.save(Trap(), folder / place / "pytorch_model.bin")
    with pytest.raises(UserError, match="safetensors"):
        Encoder(str(folder))
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(("missing", "message"), [("config.json", "config.json"), ("tokenizer.json", "tokenizer")])
def test_missing_files_are_named(folder: Path, missing: str, message: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(UserError, match=message):
        Encoder(str(folder))


def test_missing_weights_are_not_drawn_at_random(folder: Path) -> None:
    edit(folder / "config.json", lambda config: {**config, "num_hidden_layers": 3})
    with pytest.raises(UserError, match=r"encoder\.layer\.2"):
        Encoder(str(folder))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("tokenizer.json", {}),
        ("tokenizer.json", {"model": {"type": "Odd"}}),
        ("tokenizer_config.json", []),
        ("tokenizer_config.json", {"truncation_side": "up"}),
        ("config.json", {"model_type": "odd"}),
        ("config.json", {"model_type": "bert", "hidden_size": "many"}),
        ("1_Pooling/config.json", {"odd": 1}),
        ("2_Dense/config.json", []),
        ("3_Normalize/config.json", []),
        ("config_sentence_transformers.json", {"prompts": None}),
        ("config_sentence_transformers.json", {"default_prompt_name": "odd"}),
    ],
)
def test_files_that_say_something_odd_are_an_error_for_the_user(folder: Path, file: str, content: Any) -> None:
    (folder / file).write_text(json.dumps(content))
    with pytest.raises(UserError):
        Encoder(str(folder))


def test_damaged_weights_are_an_error_for_the_user(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(UserError, match="load"):
        Encoder(str(folder))
