"""How long an embedding is: what the dense layers give, and how many of its first dimensions are kept."""

from typing import Any

import torch
from sentence_transformers.sentence_transformer import modules as library
from torch import nn

from hr_retrieval.errors import UserError


def choose_dimensions(dimensions: int | None, loaded: Any) -> int | None:
    """How many of the first dimensions are kept; None for all."""
    chosen = own_dimensions(loaded) if dimensions is None else dimensions
    full = full_dimension(loaded)
    if chosen is not None and not 1 <= chosen <= full:
        raise UserError(f"dimensions from 1 to {full}", str(chosen), "Set dimensions within what the model gives.")
    return chosen


def own_dimensions(loaded: Any) -> int | None:
    """The folder's `truncate_dim`, or the width of a last layer that only picks the first dimensions."""
    picked = [module.out_features for module in loaded if _selects(module)]
    found: int | None = picked[-1] if picked else loaded.truncate_dim
    return found


def selection(width: int, dimensions: int) -> Any:
    """A layer of the library that keeps the first dimensions, exactly."""
    return library.Dense(
        width, dimensions, bias=False, activation_function=None, init_weight=torch.eye(dimensions, width)
    )


def _selects(module: Any) -> bool:
    return (
        isinstance(module, library.Dense)
        and isinstance(module.activation_function, nn.Identity)
        and not module.bias
        and not module.use_residual
        and torch.equal(module.linear.weight, torch.eye(*module.linear.weight.shape))
    )


def projections_of(loaded: Any) -> list[Any]:
    """The dense layers behind the pooling, but for one that only picks dimensions."""
    return [module for module in loaded if isinstance(module, library.Dense) and not _selects(module)]


def full_dimension(loaded: Any) -> int:
    """Length of the embeddings before they are cut."""
    dense = projections_of(loaded)
    size: int = (dense[-1] if dense else loaded[0]).get_embedding_dimension()
    return size
