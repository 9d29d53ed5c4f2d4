"""What tests of encoders share."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sentence_transformers import SentenceTransformer
from torch import Tensor

from hr_retrieval.encoder.tiny import Architecture, write_tiny


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Architecture], Path]:
    root = tmp_path_factory.mktemp("tiny")

    def of(architecture: Architecture) -> Path:
        if not (root / architecture).exists():
            write_tiny(root / architecture, architecture)
        return root / architecture

    return of


def reference(folder: Path, texts: list[str], prompt: str | None = None) -> Tensor:
    """What sentence-transformers makes of the texts."""
    return SentenceTransformer(str(folder), device="cpu").encode(texts, prompt_name=prompt, convert_to_tensor=True)


def edit(path: Path, **changes: object) -> None:
    """Change keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
