"""Writing an encoder's folder in the spelling that every version of Sentence Transformers reads."""

from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules as library

from hr_retrieval.encoder.dimensions import full_dimension, selection
from hr_retrieval.encoder.loading import default_prompt, named_prompts
from hr_retrieval.encoder.pooling import Pooling
from hr_retrieval.encoder.quiet import quiet
from hr_retrieval.encoder.safety import MODULES
from hr_retrieval.encoder.wording import Kind
from hr_retrieval.files import read_json, write_json

# The names of version 1 to 5.3, which later ones read too.
_POOLING_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


def save_encoder(
    folder: Path,
    loaded: Any,
    projections: list[Any],
    pooling: Pooling,
    max_length: int,
    dimensions: int | None,
    prefixes: dict[Kind, str],
) -> None:
    """Write into an empty folder what `SentenceTransformer(folder)` turns into the same embeddings.

    Args:
        loaded: the library's model, whose transformer and tokenizer are written.
        projections: the dense layers behind the pooling.
        max_length: tokens read of each text.
        dimensions: how many of the first dimensions are kept. The library would cut behind the
            normalisation, so they are a dense layer before it, which picks them; None for all.
        prefixes: written as the prompts `query` and `document`, and under each other name that the
            folder has for them.
    """
    transformer = loaded[0]
    transformer.max_seq_length = max_length
    width = full_dimension(loaded)
    picked = [] if dimensions in (None, width) else [selection(width, dimensions)]
    model = SentenceTransformer(
        modules=[
            transformer,
            library.Pooling(transformer.get_embedding_dimension(), pooling),
            *projections,
            *picked,
            library.Normalize(),
        ],
        prompts={**loaded.prompts, **named_prompts(prefixes, loaded.prompts)},
        default_prompt_name=default_prompt(loaded, prefixes),
        similarity_fn_name="cosine",
        device=str(transformer.auto_model.device),
    )
    with quiet():
        model.save_pretrained(str(folder), create_model_card=False)
    _spell_as_before(folder, pooling, max_length)


def _spell_as_before(folder: Path, pooling: Pooling, max_length: int) -> None:
    """Replace names that Sentence Transformers before 5.4 and transformers before 5 do not know."""
    modules = read_json(folder / "modules.json")
    for module in modules:
        name = module["type"].rsplit(".", 1)[1]
        assert name in MODULES
        module["type"] = f"sentence_transformers.models.{name}"
        path = folder / module["path"] / "config.json"
        if name == "Pooling":
            width = read_json(path)["embedding_dimension"]
            flags = {key: mode == pooling for key, mode in _POOLING_KEYS.items()}
            write_json(path, {"word_embedding_dimension": width, **flags, "include_prompt": True})
        elif name == "Dense":
            names = ("module_input_name", "module_output_name")
            write_json(path, {key: value for key, value in read_json(path).items() if key not in names})
    write_json(folder / "modules.json", modules)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": False})
    tokenizer = read_json(folder / "tokenizer_config.json")
    if tokenizer.get("tokenizer_class") == "TokenizersBackend":
        write_json(folder / "tokenizer_config.json", {**tokenizer, "tokenizer_class": "PreTrainedTokenizerFast"})
