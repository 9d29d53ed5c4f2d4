"""A cross-encoder that reads the query and a passage together, for the best documents."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch

from hr_retrieval.encoder.kind import kind_of
from hr_retrieval.errors import UserError
from hr_retrieval.files import sha256_of


class Reranker:
    """A cross-encoder's folder, as Sentence Transformers writes it.

    Args:
        folder: of it.
        key: by which it was named, for messages.

    Raises:
        UserError: there is no such folder, or it holds what is not safe to load or no cross-encoder.
    """

    def __init__(self, folder: str, key: str = "rerank") -> None:
        if not Path(folder).is_dir():
            raise UserError("the folder of a cross-encoder", folder, f"Name a folder on this machine, or {key}=null.")
        if kind_of(Path(folder)) != "CrossEncoder":
            # The library would put a head with random weights on it.
            raise UserError(
                f"a cross-encoder in {folder}, which scores a query and a document together",
                "an encoder, which gives a vector of each text, or another model",
                f"Name a folder that CrossEncoder of sentence-transformers or experiment=cross_encoder has written, "
                f"or {key}=null.",
            )
        # Here, not above: the library that reads it takes seconds to import, and most searches have no second stage.
        from hr_retrieval.encoder.cross_encoder import CrossEncoder

        self._folder, self._model = Path(folder), CrossEncoder(folder).eval()
        self._model.to("cuda" if torch.cuda.is_available() else "cpu")

    @cached_property
    def fingerprint(self) -> str:
        """Changes with any file of the folder's own."""
        files = sorted(path for path in self._folder.iterdir() if path.is_file())
        return hashlib.sha256("".join(path.name + sha256_of(path) for path in files).encode()).hexdigest()

    def scores(self, query: str, passages: Sequence[str]) -> list[float]:
        """A score of each passage; higher is better."""
        return self._model.scores([(query, passage) for passage in passages]) if passages else []

    def pair_scores(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The logit of each pair of a query and a passage; higher is better."""
        return self._model.logits(pairs)
