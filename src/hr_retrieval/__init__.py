"""Train text encoders for HR retrieval with embedding mixing and a cosine triplet loss."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hr_retrieval.data.datamodule import RetrievalDataModule
    from hr_retrieval.data.dataset import PreparedDataset
    from hr_retrieval.data.guard import Guard
    from hr_retrieval.encoder.encoder import Encoder
    from hr_retrieval.errors import UserError
    from hr_retrieval.retrieval.index import ExactIndex
    from hr_retrieval.retrieval.metrics import RankingMetrics
    from hr_retrieval.runs.directory import Run
    from hr_retrieval.train.module import RetrievalModule

__version__ = "0.1.0"

__all__ = [
    "Encoder",
    "ExactIndex",
    "Guard",
    "PreparedDataset",
    "RankingMetrics",
    "RetrievalDataModule",
    "RetrievalModule",
    "Run",
    "UserError",
]

_HOMES = {
    "Encoder": "encoder.encoder",
    "ExactIndex": "retrieval.index",
    "Guard": "data.guard",
    "PreparedDataset": "data.dataset",
    "RankingMetrics": "retrieval.metrics",
    "RetrievalDataModule": "data.datamodule",
    "RetrievalModule": "train.module",
    "Run": "runs.directory",
    "UserError": "errors",
}


def __getattr__(name: str) -> Any:
    """A public class, imported when it is first asked for: torch takes seconds, and `--help` needs none of it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
