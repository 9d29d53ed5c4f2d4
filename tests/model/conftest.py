"""What tests of encoders share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hr_retrieval.model.tiny import Architecture, write_tiny


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Architecture], Path]:
    root = tmp_path_factory.mktemp("tiny")

    def of(architecture: Architecture) -> Path:
        if not (root / architecture).exists():
            write_tiny(root / architecture, architecture)
        return root / architecture

    return of
