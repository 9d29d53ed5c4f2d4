"""How alike embeddings are: higher is better everywhere, and signs live here."""

import torch
from jaxtyping import Float
from torch import Tensor


def cosine(anchors: Float[Tensor, "B d"], documents: Float[Tensor, "D d"]) -> Float[Tensor, "B D"]:
    """Cosine of each anchor with each document, both unit vectors; float32 or wider, also under autocast."""
    with torch.autocast(anchors.device.type, enabled=False):
        return at_least_float32(anchors) @ at_least_float32(documents).T


def synthetic_cosine(anchors: Float[Tensor, "B d"], synthetic: Float[Tensor, "B M d"]) -> Float[Tensor, "B M"]:
    """Cosine of each anchor with its own synthetic documents only; float32 or wider, also under autocast."""
    with torch.autocast(anchors.device.type, enabled=False):
        return (at_least_float32(synthetic) @ at_least_float32(anchors).unsqueeze(-1)).squeeze(-1)


def at_least_float32(values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The values as float32, or float64 if they are: bfloat16 keeps 8 bits, and hard negatives differ by less."""
    return values if values.dtype == torch.float64 else values.float()
