"""Writing an encoder's folder in the spelling that every version of Sentence Transformers reads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router
from sentence_transformers.sentence_transformer import modules as library
from tokenizers import Tokenizer
from torch import nn

from hr_retrieval.encoder.dimensions import full_dimension, selection
from hr_retrieval.encoder.loading import default_prompt, named_prompts
from hr_retrieval.encoder.pooling import POOLINGS, modes
from hr_retrieval.encoder.quiet import quiet
from hr_retrieval.encoder.reader import Reader
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
    readers: Mapping[Kind, Reader],
    heads: Mapping[Kind, nn.ModuleList],
    dimensions: int | None,
    prefixes: dict[Kind, str],
) -> None:
    """Write into an empty folder what `SentenceTransformer(folder)` turns into the same embeddings.

    Args:
        loaded: the library's model, whose prompts are written.
        readers: of each kind of text; their weights and tokenizers are written.
        heads: the dense layers and norms behind them. Where readers or heads differ, the folder has
            the routes `query` and `document`, which Sentence Transformers knows from version 5 on.
        dimensions: how many of the first dimensions are kept. The library would cut behind the
            normalisation, so they are a dense layer before it, which picks them; None for all.
        prefixes: written as the prompts `query` and `document`, and under each other name that the
            folder has for them.
    """
    query, document = (readers[kind] for kind in ("query", "document"))
    width = full_dimension(query.width, list(heads["query"]))
    if query is not document:
        routed = {kind: [*_reading(reader), *heads[kind]] for kind, reader in readers.items()}
        modules = [Router.for_query_document(routed["query"], routed["document"])]
    elif heads["query"] is not heads["document"]:
        # A layer that picks all dimensions stands where there is none, as a route is not empty.
        routed = {kind: [*own] or [selection(width, width)] for kind, own in heads.items()}
        modules = [*_reading(query), Router.for_query_document(routed["query"], routed["document"])]
    else:
        modules = [*_reading(query), *heads["query"]]
    if dimensions not in (None, width):
        modules.append(selection(width, dimensions))
    model = SentenceTransformer(
        modules=[*modules, library.Normalize()],
        prompts={**loaded.prompts, **named_prompts(prefixes, loaded.prompts)},
        default_prompt_name=default_prompt(loaded, prefixes),
        similarity_fn_name="cosine",
        device=str(next(query.transformer.parameters()).device),
    )
    with quiet():
        model.save_pretrained(str(folder), create_model_card=False)
    _spell_as_before(folder)


def _reading(reader: Reader) -> list[Any]:
    """The library's modules that read as a reader does."""
    if isinstance(reader.module, library.StaticEmbedding):
        own = Tokenizer.from_str(reader.module.tokenizer.to_str())
        own.enable_truncation(reader.max_length, direction=(own.truncation or {}).get("direction", "right"))
        return [library.StaticEmbedding(own, embedding_weights=reader.module.embedding.weight.detach())]
    reader.module.max_seq_length = reader.max_length
    layers = [] if reader.layers is None else [reader.layers]
    parts = tuple(modes(reader.pooling))
    return [reader.module, *layers, library.Pooling(reader.module.get_embedding_dimension(), parts)]


def _spell_as_before(folder: Path) -> None:
    """Replace names that Sentence Transformers before 5.4 and transformers before 5 do not know."""
    modules = read_json(folder / "modules.json")
    for module in modules:
        module["type"] = _spell(module["type"], folder / module["path"])
    write_json(folder / "modules.json", modules)


def _spell(kind: str, folder: Path) -> str:
    """Spell the files of a module as before.

    Returns:
        Its class.
    """
    name, path = kind.rsplit(".", 1)[1], folder / "config.json"
    assert name in MODULES
    if name == "Pooling":
        content = read_json(path)
        parts = content["pooling_mode"]
        parts = [parts] if isinstance(parts, str) else parts
        # Flags have no order of their own: what stands in another one needs version 5.4.
        if parts == [mode for mode in POOLINGS if mode in parts]:
            flags = {key: mode in parts for key, mode in _POOLING_KEYS.items()}
            write_json(
                path, {"word_embedding_dimension": content["embedding_dimension"], **flags, "include_prompt": True}
            )
    elif name == "Dense":
        names = ("module_input_name", "module_output_name")
        write_json(path, {key: value for key, value in read_json(path).items() if key not in names})
    elif name == "Transformer":
        length = read_json(folder / "tokenizer_config.json")["model_max_length"]
        write_json(folder / "sentence_bert_config.json", {"max_seq_length": length, "do_lower_case": False})
        tokenizer = read_json(folder / "tokenizer_config.json")
        if tokenizer.get("tokenizer_class") == "TokenizersBackend":
            write_json(folder / "tokenizer_config.json", {**tokenizer, "tokenizer_class": "PreTrainedTokenizerFast"})
    elif name == "Router":
        _spell_routes(folder)
    return f"sentence_transformers.models.{name}"


def _spell_routes(folder: Path) -> None:
    content = read_json(folder / "router_config.json")
    types = {name: _spell(kind, folder / name) for name, kind in content["types"].items()}
    # Version 5.0 knows no mappings.
    parameters = {key: value for key, value in content["parameters"].items() if key != "route_mappings" or value}
    write_json(folder / "router_config.json", {**content, "types": types, "parameters": parameters})
