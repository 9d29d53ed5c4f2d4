"""A cross-encoder that reads the query and a passage together, for the best documents."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hr_retrieval.encoder.safety import check_folder
from hr_retrieval.errors import UserError
from hr_retrieval.files import read_json, sha256_of

_OF_THE_LIBRARY = re.compile(r"sentence_\w+_config\.json|config_sentence_transformers\.json")


class Reranker:
    """A cross-encoder's folder, as Sentence Transformers writes it.

    Args:
        folder: of it.
        key: by which it was named, for messages.

    Raises:
        UserError: there is no such folder, or it holds what is not safe to load or no cross-encoder.
    """

    def __init__(self, folder: str, key: str = "rerank") -> None:
        remedy = f"Name a folder on this machine, or {key}=null."
        if not Path(folder).is_dir():
            raise UserError("the folder of a cross-encoder", folder, remedy)
        _check_kind(Path(folder), remedy)
        self._folder = Path(folder)
        from sentence_transformers import CrossEncoder

        with _plain(self._folder) as plain:
            check_folder(plain)
            try:
                self._model = CrossEncoder(
                    str(plain), num_labels=1, local_files_only=True, model_kwargs={"use_safetensors": True}
                )
            except (OSError, ValueError, RuntimeError) as error:
                said = " ".join(str(error).split())[:200].rstrip(".")
                raise UserError(
                    f"a cross-encoder with one score in {folder}", said, f"Name another, or {key}=null."
                ) from None

    @cached_property
    def fingerprint(self) -> str:
        """Changes with any file of the folder's own."""
        files = sorted(path for path in self._folder.iterdir() if path.is_file())
        return hashlib.sha256("".join(path.name + sha256_of(path) for path in files).encode()).hexdigest()

    def scores(self, query: str, passages: Sequence[str]) -> list[float]:
        """A score of each passage; higher is better."""
        return self._predicted([(query, passage) for passage in passages]) if passages else []

    def pair_scores(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The logit of each pair of a query and a passage; higher is better."""
        import torch

        return self._predicted(pairs, activation_fn=torch.nn.Identity())

    def _predicted(self, pairs: Sequence[tuple[str, str]], **options: Any) -> list[float]:
        found: list[float] = self._model.predict(list(pairs), show_progress_bar=False, **options).tolist()
        return found


def _check_kind(folder: Path, remedy: str) -> None:
    """Raise `UserError` where the library would put a head with random weights on an encoder, or more
    than a transformer is listed.
    """
    config, modules = folder / "config.json", folder / "modules.json"
    named = read_json(config).get("architectures") if config.is_file() else None
    if named and not any(str(name).endswith("ForSequenceClassification") for name in named):
        raise UserError(
            f"a cross-encoder in {folder}", f"{', '.join(map(str, named))}, which gives no score of a pair", remedy
        )
    listed = read_json(modules) if modules.is_file() else [{"path": ""}]
    if not isinstance(listed, list) or [isinstance(one, dict) and one.get("path") for one in listed] != [""]:
        raise UserError(f"a cross-encoder that is one transformer in {folder}", f"another {modules.name}", remedy)


@contextmanager
def _plain(folder: Path) -> Iterator[Path]:
    """The folder as Hugging Face writes it: newer releases of the library list the one module beside it."""
    if not (folder / "modules.json").is_file():
        yield folder
        return
    with TemporaryDirectory() as place:
        for path in folder.iterdir():
            if path.is_file() and path.name != "modules.json" and not _OF_THE_LIBRARY.fullmatch(path.name):
                (Path(place) / path.name).symlink_to(path.resolve())
        yield Path(place)
