"""The device of the tests that need a GPU, and what they share."""

import os
from collections.abc import Iterator

import pytest
import torch

# Set to cpu to try the tests themselves where there is no GPU.
DEVICE = os.environ.get("HR_RETRIEVAL_GPU_TESTS", "cuda")
# As Lightning sets it for a deterministic trainer; torch reads it before the first product.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
ACCELERATOR = "gpu" if DEVICE == "cuda" else "cpu"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if DEVICE == "cuda" and not torch.cuda.is_available():
        for item in items:
            if "tests/gpu/" in item.nodeid:
                item.add_marker(pytest.mark.skip(reason="torch sees no GPU"))


@pytest.fixture
def device() -> torch.device:
    return torch.device(DEVICE)


@pytest.fixture(autouse=True)
def every_warning() -> Iterator[None]:
    """torch says some things once a process: here each test is to hear them, and to fail by them."""
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(False)


@pytest.fixture
def deterministic() -> Iterator[None]:
    """As `trainer.deterministic=warn`, which leaves it so behind a run."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(before[0], warn_only=before[1])
