"""Tests of the spelling of an exported folder: what older versions of Sentence Transformers can read."""

import json
from pathlib import Path
from typing import Any

import pytest

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.pooling import POOLINGS, Pooling
from hr_retrieval.encoder.tiny import write_tiny


def content(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_names_are_those_that_every_version_knows(tmp_path: Path, pooling: Pooling) -> None:
    write_tiny(tmp_path / "own", dense=24)
    Encoder(str(tmp_path / "own"), pooling, max_length=50, dimensions=8).save(tmp_path / "saved")
    modules = content(tmp_path / "saved" / "modules.json")
    names = ["Transformer", "Pooling", "Dense", "Dense", "Normalize"]
    assert [module["type"] for module in modules] == [f"sentence_transformers.models.{name}" for name in names]
    flags = {mode: f"{mode}_token" for mode in ("cls", "max", "mean", "weightedmean")}
    flags |= {mode: f"{flag}s" for mode, flag in flags.items() if mode != "cls"}
    flags |= {mode: mode for mode in ("lasttoken", "mean_sqrt_len_tokens")}
    assert content(tmp_path / "saved" / "1_Pooling" / "config.json") == {
        "word_embedding_dimension": 64,
        **{f"pooling_mode_{flag}": mode == pooling for mode, flag in flags.items()},
        "include_prompt": True,
    }
    # Constructors of before refuse a key that they do not know.
    known = {"in_features", "out_features", "bias", "activation_function"}
    assert all(content(tmp_path / "saved" / name / "config.json").keys() == known for name in ("2_Dense", "3_Dense"))
    assert content(tmp_path / "saved" / "sentence_bert_config.json") == {"max_seq_length": 50, "do_lower_case": False}
    assert content(tmp_path / "saved" / "tokenizer_config.json")["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert "truncate_dim" not in content(tmp_path / "saved" / "config_sentence_transformers.json")


def test_prompts_keep_their_names_and_get_the_prefixes(tmp_path: Path) -> None:
    write_tiny(tmp_path / "own", prompts={"search_query": "q: ", "passage": "p: ", "Corpus": "c: ", "cluster": "k: "})
    Encoder(str(tmp_path / "own"), query_prefix="find: ").save(tmp_path / "saved")
    stated = content(tmp_path / "saved" / "config_sentence_transformers.json")
    assert stated["prompts"] == {
        "search_query": "find: ",
        "query": "find: ",
        "passage": "p: ",
        "document": "p: ",
        "Corpus": "p: ",
        "cluster": "k: ",
    }
    assert stated["similarity_fn_name"] == "cosine"


@pytest.mark.parametrize(("options", "kept"), [({}, "retrieval"), ({"query_prefix": "q: "}, None)])
def test_a_default_prompt_is_kept_where_all_texts_get_it(
    tmp_path: Path, options: dict[str, str], kept: str | None
) -> None:
    write_tiny(tmp_path / "own", prompts={"retrieval": "find: "})
    path = tmp_path / "own" / "config_sentence_transformers.json"
    path.write_text(json.dumps({**content(path), "default_prompt_name": "retrieval"}))
    Encoder(str(tmp_path / "own"), **options).save(tmp_path / "saved")
    assert content(tmp_path / "saved" / path.name)["default_prompt_name"] == kept
