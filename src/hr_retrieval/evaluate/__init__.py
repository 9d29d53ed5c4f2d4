"""What an encoder finds in a prepared data set, beside baselines: `evaluate` is the function behind the command."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hr_retrieval.evaluate.evaluation import evaluate

__all__ = ["evaluate"]


def __getattr__(name: str) -> Any:
    if name != "evaluate":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hr_retrieval.evaluate.evaluation import evaluate

    return evaluate
