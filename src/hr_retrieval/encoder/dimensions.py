"""How long an embedding is: what the modules give, and how many of its first dimensions are kept."""

from collections.abc import Sequence
from typing import Any

import torch
from sentence_transformers.sentence_transformer import modules as library
from torch import nn

from hr_retrieval.errors import UserError


def choose_dimensions(dimensions: int | None, own: int | None, full: int) -> int | None:
    """How many of the first dimensions are kept, `own` unless it is said; None for all."""
    chosen = own if dimensions is None else dimensions
    if chosen is not None and not 1 <= chosen <= full:
        raise UserError(f"dimensions from 1 to {full}", str(chosen), "Set dimensions within what the model gives.")
    return chosen


def picks(modules: Sequence[Any]) -> int | None:
    """The width of a last layer that only picks the first of more dimensions."""
    picked = [
        module.out_features for module in modules if _selects(module) and module.out_features < module.in_features
    ]
    return picked[-1] if picked else None


def selection(width: int, dimensions: int) -> Any:
    """A layer of the library that keeps the first dimensions, exactly."""
    return library.Dense(
        width, dimensions, bias=False, activation_function=None, init_weight=torch.eye(dimensions, width)
    )


def heads_of(modules: Sequence[Any]) -> list[Any]:
    """The dense layers and norms, but for layers that only pick dimensions."""
    return [
        module for module in modules if isinstance(module, library.Dense | library.LayerNorm) and not _selects(module)
    ]


def full_dimension(width: int, heads: Sequence[Any]) -> int:
    """Length of the embeddings before they are cut, of pooled vectors of this width.

    Raises:
        UserError: the first of the heads takes others.
    """
    if not heads:
        return width
    taken = heads[0].in_features if isinstance(heads[0], library.Dense) else heads[0].dimension
    if taken != width:
        raise UserError(
            f"pooled vectors of {taken} numbers, as the {type(heads[0]).__name__} behind them takes",
            f"{width} numbers",
            "Leave model.encoder.pooling at null: the folder's own fits.",
        )
    size: int = heads[-1].get_embedding_dimension()
    return size


def _selects(module: Any) -> bool:
    return (
        isinstance(module, library.Dense)
        and isinstance(module.activation_function, nn.Identity)
        and not module.bias
        and not module.use_residual
        and torch.equal(module.linear.weight, torch.eye(*module.linear.weight.shape))
    )
