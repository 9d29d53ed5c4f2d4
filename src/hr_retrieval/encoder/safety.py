"""What is checked in an encoder's folder before anything in it is loaded."""

import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from hr_retrieval.errors import UserError
from hr_retrieval.files import read_json

# What a folder may be made of, and the file of each class. Each has had several homes in the
# library's history.
MODULES = {
    "Transformer": "transformer",
    "WeightedLayerPooling": "weighted_layer_pooling",
    "Pooling": "pooling",
    "StaticEmbedding": "static_embedding",
    "Dense": "dense",
    "LayerNorm": "layer_norm",
    "Router": "router",
    "Asym": "asym",
    "Normalize": "normalize",
}
_MODULE_TYPES = {
    spelling.format(file=file, name=name): name
    for name, file in MODULES.items()
    for spelling in (
        "sentence_transformers.models.{name}",
        "sentence_transformers.models.{name}.{name}",
        "sentence_transformers.base.modules.{file}.{name}",
        "sentence_transformers.sentence_transformer.modules.{file}.{name}",
    )
}
_ROUTERS = ("Router", "Asym")
# What texts go through, from the first module to the last.
_ORDER = "(Transformer( WeightedLayerPooling)? Pooling|StaticEmbedding)( Dense| LayerNorm)*( Normalize)*"
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
    "tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spiece.model", "tokenizer.model",
)  # fmt: skip


def check_folder(folder: Path, trust_remote_code: bool = False) -> None:
    """Raise `UserError` unless `folder` is a plain Hugging Face or Sentence Transformers folder
    without code of its own: known module classes only, nothing outside the folder, weights in
    safetensors only.
    """
    routes = routes_of(folder)
    transformers = {path for modules in routes.values() for name, path in modules if name == "Transformer"}
    if any((place / "adapter_config.json").exists() for place in (folder, *transformers)):
        raise UserError(
            f"a whole model in {folder}", "an adapter", "Merge the adapter into its base model and save that model."
        )
    for name, path in {module for modules in routes.values() for module in modules}:
        if name == "Transformer":
            _check_transformer(path, trust_remote_code)
        elif name not in ("Pooling", "Normalize"):
            _check_module(path)


def routes_of(folder: Path) -> dict[str, list[tuple[str, Path]]]:
    """The classes and folders of the modules that texts go through, for each route of a folder; of
    a folder without routes under "".

    Raises:
        UserError: it lists other modules, or in another order, than an encoder has.
    """
    if not (folder / "modules.json").exists():
        return {"": [("Transformer", folder)]}
    listed = listed_modules(folder)
    routers = [number for number, (name, _) in enumerate(listed) if name in _ROUTERS]
    routes = {"": listed}
    if len(routers) == 1:
        before, (_, path), behind = listed[: routers[0]], listed[routers[0]], listed[routers[0] + 1 :]
        routes = {route: [*before, *within, *behind] for route, within in _within(path).items()}
    for modules in routes.values():
        order = " ".join(name for name, _ in modules)
        if not re.fullmatch(_ORDER, order):
            raise UserError(
                f"a Transformer and a Pooling, or a StaticEmbedding, then Dense and LayerNorm, then Normalize in {folder}",
                order.replace(" ", ", ") or "none",
                "Use another model.",
            )
    return routes


def check_links(folder: Path) -> None:
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


def listed_modules(folder: Path) -> list[tuple[str, Path]]:
    """The class and the folder of each module that `modules.json` lists, all of them known."""
    listed = read_json(folder / "modules.json")
    try:
        modules = [(str(entry["type"]), str(entry["path"])) for entry in listed if str(entry["name"])]
    except (TypeError, KeyError):
        raise UserError(
            f"a list of modules with name, type and path in {folder / 'modules.json'}",
            "something else",
            "Save the model anew.",
        ) from None
    return [_known(kind, folder, path) for kind, path in modules]


def _within(folder: Path) -> dict[str, list[tuple[str, Path]]]:
    """The modules of each route of a router's folder."""
    # The second name is that of Sentence Transformers before 5.
    path = next((path for path in map(folder.joinpath, ("router_config.json", "config.json")) if path.exists()), None)
    config = _object(path) if path else {}
    try:
        types = {str(name): str(kind) for name, kind in config["types"].items()}
        routes = {str(route): [str(name) for name in names] for route, names in config["structure"].items()}
        found = {route: [_known(types[name], folder, name) for name in names] for route, names in routes.items()}
    except (AttributeError, KeyError, TypeError):
        raise UserError(
            f"types and structure of a router in {folder}", f"{path or 'no router_config.json'}", "Save the model anew."
        ) from None
    if not found:
        raise UserError(f"routes of a router in {folder}", "none", "Save the model anew.")
    return found


def _known(kind: str, folder: Path, path: str) -> tuple[str, Path]:
    if kind not in _MODULE_TYPES:
        raise UserError(
            f"only the modules {', '.join(MODULES)} of sentence-transformers in {folder}",
            repr(kind),
            "Use a model that consists of transformers or tables of words, pooling and dense layers.",
        )
    _check_inside(folder, path)
    return _MODULE_TYPES[kind], folder / path


def _check_inside(folder: Path, path: str) -> None:
    if PureWindowsPath(path).anchor or PurePosixPath(path).is_absolute() or ".." in PureWindowsPath(path).parts:
        raise UserError(f"paths inside {folder}", repr(path), "Do not use this folder: it points out of itself.")


def stated(path: Path, key: str) -> Any:
    """What a file says under this key; `None` where there is no such file."""
    return _object(path).get(key) if path.exists() else None


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
                _without_code(folder)
                + "set model.encoder.trust_remote_code=true only if you have read it and trust it.",
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


def _without_code(folder: Path) -> str:
    """What else helps where transformers has a class of its own for the model."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    kind = stated(folder / "config.json", "model_type")
    if kind not in CONFIG_MAPPING_NAMES:
        return "Read that code: "
    return (
        f"transformers knows {kind} without it: copy the folder, take auto_map out of config.json (and of "
        "tokenizer_config.json), and name the copy in model.encoder.name_or_path. To run the folder's code, "
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


def _check_module(folder: Path) -> None:
    """Weights of a dense layer, a norm, weights of layers or a table of words."""
    if not (folder / "model.safetensors").exists():
        raise UserError(
            f"model.safetensors in {folder}", "none", "Pickled weights are not read: convert them to safetensors first."
        )
    path = folder / "config.json"
    activation = str(_object(path).get("activation_function", "torch.nn.")) if path.exists() else "torch.nn."
    if not activation.startswith("torch.nn."):
        raise UserError(f"an activation of torch.nn in {folder}", activation, "Use another model.")


def _object(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"a JSON object in {path}", type(content).__name__, "Write the file anew.")
    return content
