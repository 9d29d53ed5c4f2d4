"""Tests of causal decoders and of encoders for long texts: the vectors of sentence-transformers, packed or padded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import processors
from torch import Tensor

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.tiny import Architecture

# Of unequal lengths, one beyond the windows of local attention, one beyond what is read.
TEXTS = ["HR", "Software engineer (m/w/d)", "nurse " * 12, "Повар-кондитер 5 разряда", "a long advert " * 9, "x" * 300]
PROMPTS = {"query": "Instruct: find the same work\nQuery: ", "document": ""}
LENGTH = 160
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 512,
}
GROUPED = {**SIZES, "num_key_value_heads": 2}
DECODERS: dict[str, dict[str, Any]] = {
    "Qwen2Model": GROUPED,
    "Qwen3Model": {**GROUPED, "head_dim": 8},
    "LlamaModel": GROUPED,
    "MistralModel": {**GROUPED, "head_dim": 8, "sliding_window": 24},
}
LONG: dict[str, dict[str, Any]] = {
    "ModernBertModel": {**SIZES, "local_attention": 16, "global_attn_every_n_layers": 2},
    "EuroBertModel": GROUPED,
}
Made = Callable[[str], Path]


@pytest.fixture(scope="module")
def made(folder: Callable[[Architecture], Path], tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A folder of a model with random weights; a decoder's tokenizer ends a text, begins none, and pads on the left."""
    root = tmp_path_factory.mktemp("families")

    def of(name: str) -> Path:
        path = root / name
        if path.exists():
            return path
        class_, causal = getattr(transformers, name), name in DECODERS
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder("bert"))
        if causal:
            end = processors.TemplateProcessing("$A [SEP]", special_tokens=[("[SEP]", tokenizer.sep_token_id)])
            tokenizer.backend_tokenizer.post_processor = end
            tokenizer.padding_side = "left"
        special = {
            "pad_token_id": 0,
            "bos_token_id": 2,
            "eos_token_id": 3,
            "cls_token_id": 2,
            "sep_token_id": 3,
            "mask_token_id": 4,
        }
        config = class_.config_class(vocab_size=len(tokenizer), **(DECODERS | LONG)[name], **special)
        torch.manual_seed(0)
        class_(config).save_pretrained(root / f"{name}-plain")
        tokenizer.save_pretrained(root / f"{name}-plain")
        reader = Transformer(str(root / f"{name}-plain"))
        reader.max_seq_length = LENGTH
        modules = [reader, Pooling(32, "lasttoken" if causal else "mean"), Normalize()]
        SentenceTransformer(modules=modules, prompts=PROMPTS, device="cpu").save_pretrained(
            str(path), create_model_card=False
        )
        return path

    return of


def vectors(folder: Path) -> list[Tensor]:
    """Of queries and documents, in one batch each."""
    model = SentenceTransformer(str(folder), device="cpu")
    encode = (model.encode_query, model.encode_document)
    return [one(TEXTS, batch_size=len(TEXTS), convert_to_tensor=True) for one in encode]


@pytest.mark.parametrize("name", [*DECODERS, *LONG])
def test_a_family_has_the_vectors_of_the_library(made: Made, tmp_path: Path, name: str) -> None:
    encoder, expected = Encoder(str(made(name))), vectors(made(name))
    assert encoder.pooling == ("lasttoken" if name in DECODERS else "mean")
    assert encoder.token_vectors.packed, encoder.token_vectors.reason
    padded = Encoder(str(made(name)), packing=False)
    encoder.save(tmp_path / "saved")
    for kind, own, saved in zip(("query", "document"), expected, vectors(tmp_path / "saved"), strict=True):
        torch.testing.assert_close(encoder.encode(TEXTS, kind), own, atol=1e-5, rtol=0)
        torch.testing.assert_close(padded.encode(TEXTS, kind), own, atol=1e-5, rtol=0)
        torch.testing.assert_close(saved, own, atol=1e-5, rtol=0)
    tokens, cut = encoder.tokenise(TEXTS, "document")
    assert cut == 1
    assert tokens.lengths.tolist()[-1] == LENGTH
    # Also where a text was cut, what is pooled is its end.
    assert set(tokens.ids[tokens.offsets[1:] - 1].tolist()) == {3}


@pytest.mark.parametrize("name", ["Qwen3Model", "ModernBertModel"])
def test_a_family_is_trained(made: Made, name: str) -> None:
    encoder = Encoder(str(made(name)))
    tokens, _ = encoder.tokenise(TEXTS[:3], "query")
    encoder(tokens).pow(3).sum().backward()
    idle = [name for name, weight in encoder.named_parameters() if weight.requires_grad and weight.grad is None]
    assert idle == []


def test_an_instruction_is_a_template(made: Made) -> None:
    own = Encoder(str(made("Qwen3Model")))
    assert own.wording["query_template"] == PROMPTS["query"] + "{text}"
    told = Encoder(str(made("Qwen3Model")), query_template=PROMPTS["query"] + "{text}")
    assert torch.equal(told.encode(TEXTS, "query"), own.encode(TEXTS, "query"))
