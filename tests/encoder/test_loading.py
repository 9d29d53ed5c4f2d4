"""Tests of what an encoder reads from its folder, and of the options that overrule it."""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.tiny import Architecture, write_tiny
from hr_retrieval.errors import UserError
from tests.encoder.conftest import edit, reference

TEXTS = ["Software engineer (m/w/d)", "Повар-кондитер 5 разряда", "HR"]
ENCODER = Encoder("tiny")


def said(caplog: pytest.LogCaptureFixture, folder: Path, **options: Any) -> list[str]:
    """What the log says of the folder beside what is done."""
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="hr_retrieval"):
        Encoder(str(folder), **options)
    return [record.message for record in caplog.records if "in the folder" in record.message]


@pytest.mark.parametrize(
    ("prompts", "prefixes"),
    [
        ({"search_query": "q: ", "search_document": "d: "}, ("q: ", "d: ")),
        ({"Query": "q: ", "corpus": "d: "}, ("q: ", "d: ")),
        ({"query": "first: ", "search_query": "second: ", "passage": "d: "}, ("first: ", "d: ")),
        ({"clustering": "c: "}, ("", "")),
    ],
)
def test_prompts_under_other_names(tmp_path: Path, prompts: dict[str, str], prefixes: tuple[str, str]) -> None:
    write_tiny(tmp_path / "own", prompts=prompts)
    assert tuple(Encoder(str(tmp_path / "own")).prefixes.values()) == prefixes


def test_the_default_prompt_is_put_before_all_texts_without_one_of_their_own(tmp_path: Path) -> None:
    write_tiny(tmp_path / "own", prompts={"retrieval": "find: "})
    edit(tmp_path / "own" / "config_sentence_transformers.json", default_prompt_name="retrieval")
    encoder = Encoder(str(tmp_path / "own"))
    assert encoder.prefixes == {"query": "find: ", "document": "find: "}
    torch.testing.assert_close(encoder.encode(TEXTS, "query"), reference(tmp_path / "own", TEXTS), atol=1e-5, rtol=0)
    # A query's prompt is no document's, whatever the default is.
    write_tiny(tmp_path / "other", prompts={"query": "q: "})
    edit(tmp_path / "other" / "config_sentence_transformers.json", default_prompt_name="query")
    assert Encoder(str(tmp_path / "other")).prefixes == {"query": "q: ", "document": ""}


def test_a_pooler_that_the_folder_lacks_is_not_drawn(tmp_path: Path) -> None:
    write_tiny(tmp_path / "own")
    path = tmp_path / "own" / "model.safetensors"
    weights = {name: weight for name, weight in load_file(path).items() if not name.startswith("pooler.")}
    save_file(weights, path, metadata={"format": "pt"})
    fingerprints = set()
    for seed in (1, 2):
        torch.manual_seed(seed)
        fingerprints.add(Encoder(str(tmp_path / "own")).embedding_fingerprint())
    assert len(fingerprints) == 1


@pytest.mark.parametrize("place", ["tokenizer_config.json", "tokenizer.json"])
def test_texts_are_cut_where_the_folder_cuts_them(tmp_path: Path, place: str) -> None:
    write_tiny(tmp_path / "left")
    cut = {"direction": "Left", "max_length": 128, "strategy": "LongestFirst", "stride": 0}
    changes = {"tokenizer_config.json": {"truncation_side": "left"}, "tokenizer.json": {"truncation": cut}}
    edit(tmp_path / "left" / place, **changes[place])
    encoder, texts = Encoder(str(tmp_path / "left")), ["a beginning " * 30 + "and the end"]
    found = encoder.encode(texts, "query")
    assert not torch.allclose(found, ENCODER.encode(texts, "query"), atol=1e-3)
    torch.testing.assert_close(found, reference(tmp_path / "left", texts), atol=1e-5, rtol=0)
    encoder.save(tmp_path / "saved")
    torch.testing.assert_close(found, reference(tmp_path / "saved", texts), atol=1e-5, rtol=0)
    assert encoder.fingerprint != ENCODER.fingerprint


def test_each_thing_that_a_folder_says_in_vain_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_tiny(tmp_path / "own", prompts={"query": "q: ", "cluster": "c: "})
    assert said(caplog, tmp_path / "own", document_prefix="d: ") == []
    edit(
        tmp_path / "own" / "config_sentence_transformers.json",
        similarity_fn_name="dot",
        truncate_dim=32,
        default_prompt_name="query",
    )
    options = {"pooling": "cls", "max_length": 20, "dimensions": 16, "query_prefix": "other: "}
    lines = said(caplog, tmp_path / "own", **options)
    words = [
        "dot: ",
        "mean: cls",
        "128 tokens",
        "truncate_dim is 32",
        "'q: ': here 'other: '",
        "cluster",
        "default_pro",
    ]
    for word in words:
        assert len([line for line in lines if word in line]) == 1, word
    assert said(caplog, tmp_path / "own", **options) == []


def test_nothing_is_said_of_a_folder_that_is_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_tiny(tmp_path / "own", prompts={"query": "q: ", "passage": "p: ", "cluster": "c: "})
    assert said(caplog, tmp_path / "own") == []


def test_another_pooling_than_the_folder_s_is_taken_by_name_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_tiny(tmp_path / "own")
    edit(tmp_path / "own" / "1_Pooling" / "config.json", include_prompt=False)
    with pytest.raises(UserError, match="another encoder"):
        Encoder(str(tmp_path / "own"))
    lines = said(caplog, tmp_path / "own", pooling="mean")
    assert len([line for line in lines if "mean makes another encoder of the weights" in line]) == 1
    with pytest.raises(UserError, match="null for the folder's own"):
        Encoder(str(tmp_path / "own"), pooling="median")


def test_the_length_of_vectors_is_that_of_the_weights(tmp_path: Path) -> None:
    write_tiny(tmp_path / "own")
    edit(tmp_path / "own" / "1_Pooling" / "config.json", embedding_dimension=32)
    torch.testing.assert_close(
        Encoder(str(tmp_path / "own")).encode(TEXTS, "query"), reference(tmp_path / "own", TEXTS), atol=1e-5, rtol=0
    )


def test_texts_that_are_read_otherwise_are_refused(tmp_path: Path) -> None:
    write_tiny(tmp_path / "own")
    reading = {"text": {"method": "forward", "method_output_name": "pooler_output"}}
    edit(tmp_path / "own" / "sentence_bert_config.json", modality_config=reading)
    with pytest.raises(UserError, match="pooler_output"):
        Encoder(str(tmp_path / "own"))


T5 = {"d_model": 32, "d_ff": 64, "num_layers": 2, "num_heads": 4, "d_kv": 8, "pad_token_id": 1}
BERT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 66,
    "pad_token_id": 1,
}


@pytest.mark.parametrize(
    ("model", "config", "weight"),
    [
        ("T5EncoderModel", T5, "encoder.final_layer_norm.weight"),
        ("T5ForConditionalGeneration", {**T5, "decoder_start_token_id": 1}, "encoder.final_layer_norm.weight"),
        ("MT5EncoderModel", T5, "encoder.final_layer_norm.weight"),
        ("UMT5EncoderModel", T5, "encoder.block.1.layer.1.DenseReluDense.wo.weight"),
        ("NomicBertModel", BERT, "encoder.layers.1.norm2.weight"),
        ("JinaEmbeddingsV3Model", BERT, "encoder.layers.1.norm2.weight"),
        ("BertForMaskedLM", BERT, "bert.encoder.layer.1.output.dense.weight"),
    ],
)
def test_tied_and_renamed_weights_are_there_and_missing_ones_are_not(
    folder: Callable[[Architecture], Path], tmp_path: Path, model: str, config: dict[str, Any], weight: str
) -> None:
    own, class_ = tmp_path / "own", getattr(transformers, model)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder("roberta"))
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        class_(class_.config_class(vocab_size=len(tokenizer), **config)).save_pretrained(own)
    tokenizer.save_pretrained(own)
    encoder = Encoder(str(own), max_length=40)
    expected = torch.nn.functional.normalize(reference(own, TEXTS), dim=1)
    torch.testing.assert_close(encoder.encode(TEXTS, "query"), expected, atol=1e-5, rtol=0)
    encoder.save(tmp_path / "saved")
    torch.testing.assert_close(reference(tmp_path / "saved", TEXTS), expected, atol=1e-5, rtol=0)
    weights = load_file(own / "model.safetensors")
    del weights[weight]
    save_file(weights, own / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="1 missing"):
        Encoder(str(own))


def test_prompts_of_the_folder_are_the_prefixes(tmp_path: Path) -> None:
    write_tiny(tmp_path / "e5", prompts={"query": "query: ", "passage": "passage: "})
    encoder = Encoder(str(tmp_path / "e5"))
    assert encoder.prefixes == {"query": "query: ", "document": "passage: "}
    assert Encoder(str(tmp_path / "e5"), query_prefix="").prefixes["query"] == ""
    torch.testing.assert_close(
        encoder.encode(TEXTS, "query"), reference(tmp_path / "e5", TEXTS, "query"), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("pooling", ["cls", "max", "lasttoken", "weightedmean", "mean_sqrt_len_tokens"])
def test_pooling_of_the_folder_and_of_the_option(tmp_path: Path, pooling: str) -> None:
    write_tiny(tmp_path / "own", pooling=pooling)
    own = Encoder(str(tmp_path / "own")).encode(TEXTS, "query")
    torch.testing.assert_close(own, reference(tmp_path / "own", TEXTS), atol=1e-5, rtol=0)
    assert torch.equal(Encoder("tiny", pooling=pooling).encode(TEXTS, "query"), own)
    # The root of the length changes the length of a vector, not where it points.
    alike = pooling == "mean_sqrt_len_tokens"
    assert torch.allclose(ENCODER.encode(TEXTS, "query"), own, atol=1e-2) == alike


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
    edit(copy / "tokenizer_config.json", model_max_length=10**30)
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
