"""What an encoder reads from its folder, and the options that can overrule it."""

from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules as library
from tokenizers import Tokenizer
from torch import nn

from hr_retrieval.errors import UserError
from hr_retrieval.model.pooling import POOLINGS
from hr_retrieval.model.quiet import quiet

Kind = Literal["query", "document"]


def load(folder: Path, trust_remote_code: bool) -> Any:
    """The library's model of a checked folder, in float32 on the CPU."""
    try:
        with quiet():
            loaded = SentenceTransformer(
                str(folder),
                device="cpu",
                trust_remote_code=trust_remote_code,
                local_files_only=True,
                # float32 whatever the folder holds: weights are trained in it, and autocast does the rest.
                model_kwargs={"dtype": torch.float32, "use_safetensors": True},
            )
    except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
        raise UserError(
            f"a model in {folder} that transformers can load",
            f"{type(error).__name__}: {error}",
            "Get the folder anew.",
        ) from error
    if loaded.tokenizer is None or not loaded.tokenizer.is_fast:
        raise UserError(f"a fast tokenizer in {folder}", "none", "Save the tokenizer as tokenizer.json.")
    for module in list(loaded)[1:]:
        names = {getattr(module, name, "sentence_embedding") for name in ("module_input_name", "module_output_name")}
        if names != {"sentence_embedding"}:
            raise UserError(
                f"one embedding a text from {folder}", f"a module for {sorted(names)}", "Use another model."
            )
    _check_complete(folder, loaded[0].auto_model)
    # The pooler is for other tasks. It gets no gradient, and DistributedDataParallel waits for each that is due.
    if getattr(loaded[0].auto_model, "pooler", None) is not None:
        loaded[0].auto_model.pooler.requires_grad_(False)
    return loaded


def _check_complete(folder: Path, transformer: nn.Module) -> None:
    """Raise `UserError` if weights are missing in the files: the library draws them at random and only prints so."""
    names: list[str] = []
    for path in folder.rglob("*.safetensors"):
        with safe_open(path, "pt") as file:
            # BERT's first checkpoints name the two weights of a layer norm so.
            names += [name.replace(".gamma", ".weight").replace(".beta", ".bias") for name in file.offset_keys()]
    # Checkpoints of a task's model carry a prefix.
    known = {suffix for name in names for suffix in _suffixes(name)}
    missing = [name for name in transformer.state_dict() if name not in known and not name.startswith("pooler.")]
    if missing:
        raise UserError(
            f"all weights of {type(transformer).__name__} in {folder}",
            f"{len(missing)} missing, such as {missing[0]}",
            "Get the folder anew, or correct the architecture in its config.json.",
        )


def _suffixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[begin:]) for begin in range(len(parts))]


def choose_pooling(pooling: str | None, module: Any) -> Any:
    chosen = module.pooling_mode if pooling is None else pooling
    if chosen not in POOLINGS or not module.include_prompt:
        raise UserError(
            f"a pooling of {', '.join(POOLINGS)} over all tokens",
            f"{chosen}" + ("" if module.include_prompt else " without the prompt's tokens"),
            "Set pooling to one of these.",
        )
    return chosen


def choose_length(max_length: int | None, loaded: Any) -> int:
    table, own = _positions(loaded[0].auto_model), loaded.max_seq_length
    limits = [limit for limit in (table, own) if limit is not None and limit < 1 << 30]
    if max_length is None and not limits:
        raise UserError("a model that says how much it reads", "one that does not", "Set max_length.")
    least = len(loaded.tokenizer("").input_ids) + 1
    chosen = min(limits) if max_length is None else max_length
    if chosen < least or (table is not None and chosen > table):
        raise UserError(
            f"a max_length from {least} to {table or 'what the model was trained for'}", str(chosen), "Set max_length."
        )
    return chosen


def choose_prefixes(query: str | None, document: str | None, prompts: dict[str, str | None]) -> dict[Kind, str]:
    own_query, own_document = prompts.get("query") or "", prompts.get("document") or prompts.get("passage") or ""
    return {
        "query": own_query if query is None else query,
        "document": own_document if document is None else document,
    }


def choose_dimensions(dimensions: int | None, loaded: Any) -> int | None:
    chosen: int | None = loaded.truncate_dim if dimensions is None else dimensions
    full = full_dimension(loaded)
    if chosen is not None and not 1 <= chosen <= full:
        raise UserError(f"dimensions from 1 to {full}", str(chosen), "Set dimensions within what the model gives.")
    return chosen


def full_dimension(loaded: Any) -> int:
    dense = [module for module in loaded if isinstance(module, library.Dense)]
    size: int = (dense[-1] if dense else loaded[1]).get_embedding_dimension()
    return size


def _positions(transformer: Any) -> int | None:
    """How many positions the transformer has for tokens; None if it has no table of them."""
    for module in transformer.modules():
        table = getattr(module, "position_embeddings", None)
        if isinstance(table, nn.Embedding):
            return table.num_embeddings - first_position(transformer)
    limit: int | None = getattr(transformer.config, "max_position_embeddings", None)
    return limit if limit is not None and limit > 0 else None


def first_position(transformer: Any) -> int:
    """0, but in the RoBERTa family and MPNet positions are counted from behind the padding token's number."""
    padding = getattr(getattr(transformer, "embeddings", None), "padding_idx", None)
    return 0 if padding is None else padding + 1


def set_dropout(transformer: nn.Module, dropout: float) -> None:
    if not 0 <= dropout < 1:
        raise UserError("a dropout of at least 0 and below 1", str(dropout), "Set dropout to 0 or 0.1, for example.")
    for module in transformer.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout


def copy_tokenizer(loaded: Any, max_length: int) -> Tokenizer:
    """A copy of the folder's tokenizer: the library changes truncation and padding of its own with each call."""
    tokenizer = Tokenizer.from_str(loaded.tokenizer.backend_tokenizer.to_str())
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    return tokenizer
