"""A cross-encoder: a query and a document are read together, and get one score."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from jaxtyping import Float
from sentence_transformers import CrossEncoder as LibraryCrossEncoder
from sentence_transformers.util import batch_to_device
from torch import Tensor, nn

from hr_retrieval.encoder.folder import found_folder
from hr_retrieval.encoder.kind import OF_THE_LIBRARY, transformer_of
from hr_retrieval.encoder.loading import choose_length
from hr_retrieval.encoder.quiet import quiet
from hr_retrieval.encoder.safety import check_folder
from hr_retrieval.encoder.token_vectors import set_dropout
from hr_retrieval.errors import UserError, said
from hr_retrieval.files import whole_folder


class CrossEncoder(nn.Module):
    """Pairs of a query and a document to a score each (Nogueira and Cho 2019, arXiv 1901.04085).

    Args:
        name_or_path: a cross-encoder's folder or hub name; or an encoder's, as `Encoder` takes it,
            whose transformer gets a head with random weights.
        max_length: tokens read of a pair, special tokens included; None for the folder's own.
        dropout: of all dropout layers while training, whatever the folder says.
        revision: branch, tag or commit of a hub name.
        trust_remote_code: whether a folder may bring Python code of its own.

    Raises:
        UserError: the folder is missing, incomplete or unsafe; it is no transformer with one score;
            or the length does not fit it.
    """

    def __init__(
        self,
        name_or_path: str,
        max_length: int | None = None,
        dropout: float = 0.0,
        revision: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        super().__init__()
        self.name_or_path = name_or_path
        with found_folder(name_or_path, revision) as folder, _plain(folder) as plain:
            check_folder(plain, trust_remote_code)
            self.model = _load(plain, name_or_path, max_length, trust_remote_code)
        set_dropout(self.model, dropout)
        self.train()

    def forward(self, pairs: Sequence[tuple[str, str]]) -> Float[Tensor, " P"]:
        """The logit of each pair in float32, under whatever autocast is on."""
        tokens = self.model.preprocess(list(pairs))
        device = next(self.parameters()).device
        found: Tensor = self.model(batch_to_device(tokens, device))["scores"]
        return found.squeeze(1).float()

    def logits(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The same in evaluation mode and without gradient; pairs of like length are read together."""
        return self._predicted(pairs, activation_fn=nn.Identity())

    def scores(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Likewise through the activation that the folder names, by itself between 0 and 1."""
        return self._predicted(pairs)

    def describe(self) -> dict[str, str | int]:
        """What it is, for logs."""
        return {
            "name_or_path": self.name_or_path,
            "architecture": type(self.model.model).__name__,
            "parameters": sum(weight.numel() for weight in self.parameters()),
            "trained_parameters": sum(weight.numel() for weight in self.parameters() if weight.requires_grad),
            "max_length": self.model.max_seq_length,
        }

    def save(self, folder: Path, replace: bool = False) -> None:
        """Write a folder that `sentence_transformers.CrossEncoder(folder)` loads, with the same scores.

        Raises:
            UserError: `folder` holds something and `replace` is false, or it cannot be written to.
        """
        with quiet(), whole_folder(folder, replace) as partial:
            self.model.save_pretrained(str(partial), create_model_card=False)

    def _predicted(self, pairs: Sequence[tuple[str, str]], **options: Any) -> list[float]:
        training = self.training
        try:
            found: list[float] = self.model.predict(list(pairs), show_progress_bar=False, **options).tolist()
        finally:
            self.train(training)
        return found


@contextmanager
def _plain(folder: Path) -> Iterator[Path]:
    """The transformer alone, as Hugging Face writes it: of what the library lists beside it there is no use here."""
    with TemporaryDirectory() as place:
        for path in transformer_of(folder).iterdir():
            if path.is_file() and not OF_THE_LIBRARY.fullmatch(path.name):
                (Path(place) / path.name).symlink_to(path.resolve())
        yield Path(place)


def _load(folder: Path, name: str, max_length: int | None, trust_remote_code: bool) -> Any:
    try:
        with quiet():
            model = LibraryCrossEncoder(
                str(folder),
                num_labels=1,
                device="cpu",
                local_files_only=True,
                trust_remote_code=trust_remote_code,
                # float32 whatever the folder holds, as an encoder's weights.
                model_kwargs={"use_safetensors": True, "dtype": torch.float32},
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"a cross-encoder with one score in {name}", said(error), "Name another one.") from None
    reading = model[0]
    model.max_seq_length = choose_length(max_length, reading, least=len(reading.tokenizer("a", "a").input_ids))
    return model
