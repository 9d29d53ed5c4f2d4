"""What an encoder reads from its folder, and the options that can overrule it."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from sentence_transformers import SentenceTransformer
from torch import nn
from transformers import PreTrainedModel

from hr_retrieval.encoder.pooling import POOLINGS, modes
from hr_retrieval.encoder.quiet import quiet
from hr_retrieval.encoder.wording import Kind
from hr_retrieval.errors import UserError

# Names of the prompt of each kind, in any case; the first that says something is taken.
_PROMPTS: dict[Kind, tuple[str, ...]] = {
    "query": ("query", "search_query"),
    "document": ("document", "passage", "corpus", "search_document"),
}
# What the libraries raise where a file of the folder is not what they expect.
_UNREADABLE = (
    OSError, ValueError, ImportError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError,
    StrictDataclassError,
)  # fmt: skip

_log = logging.getLogger(__name__)


def load(folder: Path, trust_remote_code: bool) -> Any:
    """The library's model of a checked folder, in float32 on the CPU."""
    try:
        with quiet(), _missing_weights() as (missing, classes):
            loaded = SentenceTransformer(
                str(folder),
                device="cpu",
                trust_remote_code=trust_remote_code,
                local_files_only=True,
                # float32 whatever the folder holds: weights are trained in it, and autocast does
                # the rest.
                model_kwargs={"dtype": torch.float32, "use_safetensors": True},
            )
    except _UNREADABLE as error:
        raise UserError(
            f"a model in {folder} that transformers can load",
            f"{type(error).__name__}: {error}",
            "Install what is named there." if isinstance(error, ImportError) else "Get the folder anew.",
        ) from error
    if missing:
        # The library draws them at random and only prints so.
        raise UserError(
            f"all weights of {' and '.join(sorted(classes))} in {folder}",
            f"{len(missing)} missing, such as {missing[0]}",
            "Get the folder anew, or correct the architecture in its config.json.",
        )
    return loaded


@contextmanager
def _missing_weights() -> Iterator[tuple[list[str], set[str]]]:
    """The weights that transformers does not find while it loads models, other than a pooler's, and whose they are.

    transformers knows which weights are tied and which have had other names. It tells whoever calls
    `from_pretrained`, which is the library here, so what it answers is noted on the way.
    """
    missing: list[str] = []
    classes: set[str] = set()
    own = vars(PreTrainedModel)["from_pretrained"]

    def noted(cls: Any, *args: Any, **options: Any) -> Any:
        model, told = own.__func__(cls, *args, **options, output_loading_info=True)
        poolers = {name for name in told["missing_keys"] if name.startswith("pooler.")}
        # Nothing reads them. Drawn, they would give the same folder another fingerprint with each seed.
        for name in poolers:
            nn.init.zeros_(model.get_parameter(name))
        found = sorted(set(told["missing_keys"]) - poolers)
        missing.extend(found)
        classes.update([type(model).__name__] if found else [])
        return model

    PreTrainedModel.from_pretrained = classmethod(noted)
    try:
        yield missing, classes
    finally:
        PreTrainedModel.from_pretrained = own


def choose_pooling(pooling: str | None, own: str) -> str:
    """The pooling by name; the folder's own where none is named."""
    chosen = own if pooling is None else pooling
    if all(mode in POOLINGS for mode in modes(chosen)):
        return chosen
    if pooling is None:
        raise UserError(
            f"a folder whose pooling is {', '.join(POOLINGS)}, over all tokens",
            own,
            "Use another model. A pooling that you name (model.encoder.pooling=mean) makes another encoder of these "
            "weights than was trained: something to train from, no measurement of the model.",
        )
    raise UserError(
        f"a pooling of {', '.join(POOLINGS)}, or several such as cls+mean",
        pooling,
        f"Set one of these, or null for the folder's own: {own}.",
    )


def own_pooling(module: Any) -> str:
    """What the folder says of the pooling, in the words of the option."""
    own = module.pooling_mode
    named = own if isinstance(own, str) else "+".join(own)
    return named if module.include_prompt else f"{named} without the prompt's tokens"


def choose_length(max_length: int | None, module: Any, least: int) -> int:
    """Tokens read of each text, special tokens included, by a transformer of the library, but at least `least`."""
    table, own = positions(module.auto_model), own_length(module)
    chosen = own if max_length is None else max_length
    if chosen is None:
        raise UserError("a model that says how much it reads", "one that does not", "Set max_length.")
    if chosen < least or (table is not None and chosen > table):
        raise UserError(
            f"a max_length from {least} to {table or 'what the model was trained for'}", str(chosen), "Set max_length."
        )
    return chosen


def own_length(module: Any) -> int | None:
    """What the folder says that a transformer of the library reads; None if it says nothing."""
    limits = (positions(module.auto_model), module.max_seq_length)
    return min((limit for limit in limits if limit is not None and limit < 1 << 30), default=None)


def choose_prefixes(query: str | None, document: str | None, loaded: Any) -> dict[Kind, str]:
    """What is put before each text: the option, the folder's prompt of that kind, its default prompt, or nothing."""
    given: dict[Kind, str | None] = {"query": query, "document": document}
    own = own_prefixes(loaded)
    return {kind: own[kind] if prefix is None else prefix for kind, prefix in given.items()}


def own_prefixes(loaded: Any) -> dict[Kind, str]:
    """The prompt of each kind that the folder states."""
    # A default prompt of one kind is not for the other.
    name = loaded.default_prompt_name
    default = "" if name is None or _kind_of(name) else loaded.prompts[name]
    return {
        kind: next(
            (text for wanted in names for name, text in loaded.prompts.items() if name.lower() == wanted and text),
            default,
        )
        for kind, names in _PROMPTS.items()
    }


def named_prompts(prefixes: dict[Kind, str], prompts: Mapping[str, str]) -> dict[str, str]:
    """The prefixes under `query` and `document` and under each other name that `prompts` has for the same."""
    kinds = {**{name: _kind_of(name) for name in prompts}, "query": "query", "document": "document"}
    return {name: prefixes[kind] for name, kind in kinds.items() if kind is not None}


def default_prompt(loaded: Any, prefixes: Mapping[Kind, str]) -> str | None:
    """The folder's default prompt, unless texts have got other prefixes."""
    name: str | None = loaded.default_prompt_name
    if name is None or _kind_of(name):
        return name
    return name if set(prefixes.values()) == {loaded.prompts[name]} else None


def _kind_of(name: str) -> Kind | None:
    return next((kind for kind, names in _PROMPTS.items() if name.lower() in names), None)


def positions(transformer: Any) -> int | None:
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


def report_overruled(
    name: str, loaded: Any, own_dimensions: int | None, dimensions: int | None, prefixes: Mapping[Kind, str]
) -> None:
    """Log one line, once a process, for each thing that the folder says of texts and embeddings in vain."""
    lines = []
    if loaded.similarity_fn_name != "cosine":
        lines.append(f"similarity_fn_name is {loaded.similarity_fn_name}: trained, measured and exported by cosine")
    if own_dimensions not in (None, dimensions):
        lines.append(f"truncate_dim is {own_dimensions}: here dimensions={dimensions}")
    own = own_prefixes(loaded)
    lines += [
        f"the prompt of a {kind} is {own[kind]!r}: here {prefix!r}"
        for kind, prefix in prefixes.items()
        if own[kind] and own[kind] != prefix
    ]
    unused = [name for name, text in loaded.prompts.items() if text not in ("", *own.values()) and not _kind_of(name)]
    if unused and not all(prefixes.values()):
        lines.append(
            f"there are prompts {', '.join(unused)}: none of them is used, set query_prefix and document_prefix for one"
        )
    kind_of_default = _kind_of(loaded.default_prompt_name or "")
    if kind_of_default and set(own.values()) != {loaded.prompts[loaded.default_prompt_name]}:
        lines.append(f"default_prompt_name is {loaded.default_prompt_name}: here only before each {kind_of_default}")
    report(name, lines)


def report_reading(name: str, folder: Path, module: Any, own: str, pooling: str, max_length: int) -> None:
    """The same of how a transformer of the library reads."""
    lines = []
    # A folder without modules is of no pooling.
    if own != pooling and (folder / "modules.json").exists():
        lines.append(f"the pooling is {own}: {pooling} makes another encoder of the weights")
    if own_length(module) not in (None, max_length):
        lines.append(f"{own_length(module)} tokens of a text are read: here max_length={max_length}")
    if "message" in module.modality_config:
        lines.append("texts are put into a chat template: here they are read as they are")
    report(name, lines)


def report(name: str, lines: Sequence[str]) -> None:
    """Log each line, once a process."""
    for line in lines:
        _say_once(f"{name}: in the folder {line}.")


@cache
def _say_once(line: str) -> None:
    _log.info(line)
