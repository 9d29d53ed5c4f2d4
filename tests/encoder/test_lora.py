"""Tests of adapters: what they compute, what is trained, and that merged ones give the same vectors."""

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.lora import Lora
from hr_retrieval.encoder.tiny import Architecture, write_tiny
from hr_retrieval.errors import UserError

peft = pytest.importorskip("peft", reason="adapters are an extra")

TEXTS = ["Software engineer (m/w/d)", "Повар-кондитер 5 разряда", "HR", "nurse of the night shift"] * 8


def moved(encoder: Encoder) -> Encoder:
    """The encoder with adapters that change something."""
    with torch.no_grad():
        for name, weight in encoder.named_parameters():
            if "lora_B" in name:
                weight.copy_(torch.linspace(-0.2, 0.2, weight.numel()).view_as(weight))
    return encoder


def test_an_adapter_adds_its_product() -> None:
    encoder = moved(Encoder("tiny", lora=Lora(rank=2, alpha=6.0)))
    layer: Any = encoder.transformer.get_submodule("encoder.layer.1.attention.self.query")
    given = torch.randn(3, 64)
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    plain = given @ layer.base_layer.weight.T + layer.base_layer.bias
    torch.testing.assert_close(layer(given), plain + 3 * (given @ a.T) @ b.T)


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "mpnet"])
def test_merged_adapters_give_the_same_vectors(
    folder: Callable[[Architecture], Path], tmp_path: Path, architecture: Architecture
) -> None:
    plain = Encoder(str(folder(architecture)))
    encoder = Encoder(str(folder(architecture)), lora=Lora(rank=2))
    assert encoder.token_vectors.packed == plain.token_vectors.packed
    # They begin at zero.
    torch.testing.assert_close(encoder.encode(TEXTS, "query"), plain.encode(TEXTS, "query"))
    assert encoder.embedding_fingerprint() == plain.embedding_fingerprint()
    expected = moved(encoder).encode(TEXTS, "query")
    assert not torch.allclose(expected, plain.encode(TEXTS, "query"), atol=1e-2)
    encoder.save(tmp_path / "saved")
    saved = Encoder(str(tmp_path / "saved"))
    library = SentenceTransformer(str(tmp_path / "saved"), device="cpu").encode(TEXTS, convert_to_tensor=True)
    torch.testing.assert_close(library, expected, atol=1e-5, rtol=0)
    # Saving has left the adapters as they were.
    assert torch.equal(encoder.encode(TEXTS, "query"), expected)
    fingerprint = encoder.embedding_fingerprint()
    encoder.merge_adapters()
    assert encoder.state_dict().keys() == plain.state_dict().keys()
    torch.testing.assert_close(encoder.encode(TEXTS, "query"), expected, atol=1e-5, rtol=0)
    assert fingerprint == encoder.embedding_fingerprint()
    weights = saved.state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in encoder.state_dict().items())


@pytest.mark.parametrize("threads", [1, 2])
def test_adapters_and_heads_alone_are_trained(tmp_path: Path, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny(tmp_path / "dense", dense=24)
    encoder = Encoder(str(tmp_path / "dense"), lora=Lora(rank=2, targets=["query", "value"]), heads="separate")
    monkeypatch.setattr(Encoder, "_threads", lambda self: threads)
    trained = {name for name, weight in encoder.named_parameters() if weight.requires_grad}
    assert {name.split(".")[0] for name in trained} == {"transformer", "projections", "document_projections"}
    assert {name.split(".")[6] for name in trained if name.startswith("transformer")} == {"query", "value"}
    assert {name.split(".")[7] for name in trained if name.startswith("transformer")} == {"lora_A", "lora_B"}
    told = encoder.describe()
    assert told["trained_parameters"] == 2 * 2 * (2 * 2 * 64) + 2 * (64 * 24 + 24) < told["parameters"]
    both = encoder.tokenise(TEXTS, "query")[0].concatenate(encoder.tokenise(TEXTS, "document")[0])
    moved(encoder)(both).pow(3).sum().backward()
    assert {name for name, weight in encoder.named_parameters() if weight.grad is not None} == trained


def test_what_drops_in_adapters_is_not_dealt_to_threads() -> None:
    assert Encoder("tiny", lora=Lora(rank=2, dropout=0.3)).token_vectors.dropout == 0.3


def adapter(folder: Path, tmp_path: Path, **changes: Any) -> Path:
    """An adapter as peft writes it."""
    transformer = Encoder(str(folder)).transformer
    with warnings.catch_warnings():
        # It asks transformers by a name of before.
        warnings.simplefilter("ignore", FutureWarning)
        model = peft.get_peft_model(transformer, peft.LoraConfig(r=3, lora_alpha=6, target_modules=["query", "value"]))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.1)
    model.save_pretrained(str(tmp_path / "adapter"))
    config = tmp_path / "adapter" / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **changes}))
    return tmp_path / "adapter"


def test_an_adapter_of_peft_is_begun_with(folder: Callable[[Architecture], Path], tmp_path: Path) -> None:
    own, base = adapter(folder("bert"), tmp_path), Encoder(str(folder("bert")))
    encoder = Encoder(str(folder("bert")), lora=Lora(folder=str(own)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        expected = peft.PeftModel.from_pretrained(base.transformer, str(own))
    ids = torch.tensor([[2, 9, 20, 3]])
    with torch.no_grad():
        hidden = expected.eval()(ids).last_hidden_state
        found = encoder.eval().token_vectors.padded(ids, torch.ones_like(ids))
    torch.testing.assert_close(found, hidden, atol=1e-5, rtol=0)
    assert not torch.equal(encoder.encode(TEXTS, "query"), Encoder(str(folder("bert"))).encode(TEXTS, "query"))


@pytest.mark.parametrize(
    ("changes", "architecture", "said"),
    [
        ({"base_model_name_or_path": "google-bert/bert-base-uncased"}, "roberta", "made for google-bert/bert-base-unc"),
        ({}, "distilbert", "linear layers"),
        ({"r": 2}, "bert", "does not fit"),
        ({"use_dora": True}, "bert", "use_dora"),
        ({"bias": "all"}, "bert", "bias"),
        ({"peft_type": "IA3"}, "bert", "IA3"),
    ],
)
def test_an_adapter_for_another_base_is_refused(
    folder: Callable[[Architecture], Path],
    tmp_path: Path,
    changes: dict[str, Any],
    architecture: Architecture,
    said: str,
) -> None:
    own = adapter(folder("bert"), tmp_path, **changes)
    base = folder(architecture)
    if architecture == "roberta":
        write_tiny(tmp_path / "wide", "roberta", hidden=32)
        base = tmp_path / "wide"
    with pytest.raises(UserError, match=said):
        Encoder(str(base), lora=Lora(folder=str(own)))


def test_a_named_base_must_be_the_encoder(
    folder: Callable[[Architecture], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = adapter(folder("bert"), tmp_path, base_model_name_or_path="google-bert/bert-base-uncased")
    monkeypatch.setattr("hr_retrieval.encoder.folder._from_hub", lambda name, revision: folder("bert"))
    with pytest.raises(UserError, match=r"sentence-transformers/LaBSE; got .*google-bert/bert-base-uncased"):
        Encoder("sentence-transformers/LaBSE", lora=Lora(folder=str(own)))
    Encoder("google-bert/bert-base-uncased", lora=Lora(folder=str(own)))


@pytest.mark.parametrize(
    ("options", "said"),
    [({"rank": -1}, "rank"), ({"alpha": 0.0}, "alpha"), ({"dropout": 1.0}, "dropout"), ({"folder": "none"}, "neither")],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Encoder("tiny", lora=Lora(**options))


@pytest.mark.parametrize("targets", [["nowhere"], ["word_embeddings"]])
def test_targets_are_linear_layers(targets: list[str]) -> None:
    with pytest.raises(UserError, match="linear layers of tiny"):
        Encoder("tiny", lora=Lora(rank=2, targets=targets))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match=r"pip install -e '\.\[lora\]'"):
        Encoder("tiny", lora=Lora(rank=2))


def test_a_table_of_words_takes_none(folder: Callable[[Architecture], Path], tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder("bert") / "tokenizer.json"))
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)], device="cpu")
    model.save_pretrained(str(tmp_path / "words"), create_model_card=False)
    with pytest.raises(UserError, match="a table of words"):
        Encoder(str(tmp_path / "words"), lora=Lora(rank=2))
