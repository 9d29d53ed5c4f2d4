"""What an encoder reads from its folder, and the options that can overrule it."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules as library
from tokenizers import Tokenizer
from torch import nn
from transformers import PreTrainedModel

from hr_retrieval.encoder.folder import transformer_folder
from hr_retrieval.encoder.pooling import POOLINGS, Pooling
from hr_retrieval.encoder.quiet import quiet
from hr_retrieval.encoder.wording import Kind
from hr_retrieval.errors import UserError

# Names of the prompt of each kind, in any case; the first that says something is taken.
_PROMPTS: dict[Kind, tuple[str, ...]] = {
    "query": ("query", "search_query"),
    "document": ("document", "passage", "corpus", "search_document"),
}
# What tokenizers differ in: case, accents, scripts, digits, spaces, punctuation, marks, symbols.
_MIXED_TEXTS = (
    "Software Engineer (m/w/d), C++/C#",
    "senior accountant",
    "HR",
    "don't re-use e-mail addresses",
    "Повар-кондитер 5 разряда",
    "ВОДИТЕЛЬ категории C, ёмкость й",
    "инженер 1С",
    "naïve café résumé Zürich",
    "cafe\u0301 и\u0306 n\u0303",
    "3.14 1,000,000 2026 007",
    "welder\tand\nfitter",
    "two  spaces   and more",
    " leading and trailing ",
    "no.space.after.stops",
    "Wi-Fi/5G & «кавычки» – тире — №1",
    "👩‍🔧 🚀 ok",
    "東京 エンジニア 개발자",
    "مهندس हिन्दी ไทย",
    "ﬁtter ＡＢＣ ½ ™",
    "a\u200bb\u00a0c",
    "_snake_case_ CamelCase __init__",
    "",
    " ",
)

# What the libraries raise where a file of the folder is not what they expect.
_UNREADABLE = (
    OSError,
    ValueError,
    ImportError,
    RuntimeError,
    KeyError,
    TypeError,
    AttributeError,
    SafetensorError,
    StrictDataclassError,
)

_log = logging.getLogger(__name__)


def load(folder: Path, trust_remote_code: bool) -> Any:
    """The library's model of a checked folder, in float32 on the CPU."""
    try:
        with quiet(), _missing_weights() as missing:
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
            f"all weights of {type(loaded[0].auto_model).__name__} in {folder}",
            f"{len(missing)} missing, such as {missing[0]}",
            "Get the folder anew, or correct the architecture in its config.json.",
        )
    if loaded.tokenizer is None or not loaded.tokenizer.is_fast:
        raise UserError(f"a fast tokenizer in {folder}", "none", "Save the tokenizer as tokenizer.json.")
    _check_reading(folder, loaded)
    _check_tokenizer(folder, loaded)
    # The pooler is for other tasks. It gets no gradient, and DistributedDataParallel waits for each
    # that is due.
    if getattr(loaded[0].auto_model, "pooler", None) is not None:
        loaded[0].auto_model.pooler.requires_grad_(False)
    return loaded


@contextmanager
def _missing_weights() -> Iterator[list[str]]:
    """A list of the weights that transformers does not find while it loads a model, other than a pooler's.

    transformers knows which weights are tied and which have had other names. It tells whoever calls
    `from_pretrained`, which is the library here, so what it answers is noted on the way.
    """
    missing: list[str] = []
    own = vars(PreTrainedModel)["from_pretrained"]

    def noted(cls: Any, *args: Any, **options: Any) -> Any:
        model, told = own.__func__(cls, *args, **options, output_loading_info=True)
        missing.extend(sorted(name for name in told["missing_keys"] if not name.startswith("pooler.")))
        return model

    PreTrainedModel.from_pretrained = classmethod(noted)
    try:
        yield missing
    finally:
        PreTrainedModel.from_pretrained = own


def _check_reading(folder: Path, loaded: Any) -> None:
    """Raise `UserError` unless the last hidden states of a text become one embedding."""
    for module in list(loaded)[1:]:
        names = {getattr(module, name, "sentence_embedding") for name in ("module_input_name", "module_output_name")}
        if names != {"sentence_embedding"}:
            raise UserError(
                f"one embedding a text from {folder}", f"a module for {sorted(names)}", "Use another model."
            )
    reading = loaded[0].modality_config.get("text")
    expected = {"method": "forward", "method_output_name": "last_hidden_state"}
    if reading != expected or loaded[0].module_output_name != "token_embeddings":
        raise UserError(
            f"a model in {folder} whose last hidden states are pooled", f"texts read by {reading}", "Use another model."
        )


def _check_tokenizer(folder: Path, loaded: Any) -> None:
    """Raise `UserError` if the tokenizer gives other ids than its own tokenizer.json.

    transformers 5 builds the tokenizer of a named class anew from the vocabulary, whatever else the
    file says.
    """
    path = transformer_folder(folder) / "tokenizer.json"
    if not path.exists():
        return
    own = Tokenizer.from_file(str(path))
    own.no_padding()
    own.no_truncation()
    for text in _MIXED_TEXTS:
        # An option of the folder, which the library adds to the tokenizer.
        text = text.lower() if loaded[0].do_lower_case else text
        expected, found = own.encode(text).ids, loaded.tokenizer(text).input_ids
        if expected != found:
            raise UserError(
                f"the token ids of {path} for {text!r}: {expected}",
                f"{found} by the class {type(loaded.tokenizer).__name__}, which transformers builds anew",
                f'Write "tokenizer_class": "PreTrainedTokenizerFast" into {path.with_name("tokenizer_config.json")} '
                "(of a copy, if it lies in the hub's cache): the file is then used as it is. If the model was trained "
                "with the ids of the class, remove tokenizer.json where the vocabulary has a file of its own.",
            )


def choose_pooling(pooling: str | None, module: Any) -> Pooling:
    """The pooling by name; the folder's own where none is named."""
    own = f"{module.pooling_mode}" + ("" if module.include_prompt else " without the prompt's tokens")
    for known in POOLINGS:
        if known == (own if pooling is None else pooling):
            return known
    if pooling is None:
        raise UserError(
            f"a folder whose pooling is {', '.join(POOLINGS)}, over all tokens",
            own,
            "Use another model. A pooling that you name (model.encoder.pooling=mean) makes another encoder of these "
            "weights than was trained: something to train from, no measurement of the model.",
        )
    raise UserError(
        f"a pooling of {', '.join(POOLINGS)}", pooling, f"Set one of these, or null for the folder's own: {own}."
    )


def choose_length(max_length: int | None, loaded: Any) -> int:
    """Tokens read of each text, special tokens included."""
    table, own = _positions(loaded[0].auto_model), own_length(loaded)
    chosen = own if max_length is None else max_length
    if chosen is None:
        raise UserError("a model that says how much it reads", "one that does not", "Set max_length.")
    least = len(loaded.tokenizer("").input_ids) + 1
    if chosen < least or (table is not None and chosen > table):
        raise UserError(
            f"a max_length from {least} to {table or 'what the model was trained for'}", str(chosen), "Set max_length."
        )
    return chosen


def own_length(loaded: Any) -> int | None:
    """What the folder says that the model reads; None if it says nothing."""
    limits = (_positions(loaded[0].auto_model), loaded.max_seq_length)
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


def choose_dimensions(dimensions: int | None, loaded: Any) -> int | None:
    """How many of the first dimensions are kept; None for all."""
    chosen = own_dimensions(loaded) if dimensions is None else dimensions
    full = full_dimension(loaded)
    if chosen is not None and not 1 <= chosen <= full:
        raise UserError(f"dimensions from 1 to {full}", str(chosen), "Set dimensions within what the model gives.")
    return chosen


def own_dimensions(loaded: Any) -> int | None:
    """The folder's `truncate_dim`, or the width of a last layer that only picks the first dimensions."""
    picked = [module.out_features for module in loaded if _selects(module)]
    found: int | None = picked[-1] if picked else loaded.truncate_dim
    return found


def selection(width: int, dimensions: int) -> Any:
    """A layer of the library that keeps the first dimensions, exactly."""
    return library.Dense(
        width, dimensions, bias=False, activation_function=None, init_weight=torch.eye(dimensions, width)
    )


def _selects(module: Any) -> bool:
    return (
        isinstance(module, library.Dense)
        and isinstance(module.activation_function, nn.Identity)
        and not module.bias
        and not module.use_residual
        and torch.equal(module.linear.weight, torch.eye(*module.linear.weight.shape))
    )


def projections_of(loaded: Any) -> list[Any]:
    """The dense layers behind the pooling, but for one that only picks dimensions."""
    return [module for module in loaded if isinstance(module, library.Dense) and not _selects(module)]


def full_dimension(loaded: Any) -> int:
    """Length of the embeddings before they are cut."""
    dense = projections_of(loaded)
    size: int = (dense[-1] if dense else loaded[0]).get_embedding_dimension()
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
    tokenizer.enable_truncation(max_length, direction=loaded.tokenizer.truncation_side)
    return tokenizer


def report_overruled(
    name: str,
    folder: Path,
    loaded: Any,
    pooling: Pooling,
    max_length: int,
    dimensions: int | None,
    prefixes: Mapping[Kind, str],
) -> None:
    """Log one line, once a process, for each thing that the folder says and that is not done."""
    lines = []
    if loaded.similarity_fn_name != "cosine":
        lines.append(f"similarity_fn_name is {loaded.similarity_fn_name}: trained, measured and exported by cosine")
    own_pooling = f"{loaded[1].pooling_mode}" + ("" if loaded[1].include_prompt else " without the prompt's tokens")
    # A folder without modules is of no pooling.
    if own_pooling != pooling and (folder / "modules.json").exists():
        lines.append(f"the pooling is {own_pooling}: {pooling} makes another encoder of the weights")
    if own_length(loaded) not in (None, max_length):
        lines.append(f"{own_length(loaded)} tokens of a text are read: here max_length={max_length}")
    if own_dimensions(loaded) not in (None, dimensions):
        lines.append(f"truncate_dim is {own_dimensions(loaded)}: here dimensions={dimensions}")
    if "message" in loaded[0].modality_config:
        lines.append("texts are put into a chat template: here they are read as they are")
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
    for line in lines:
        _say_once(f"{name}: in the folder {line}.")


@cache
def _say_once(line: str) -> None:
    _log.info(line)
