"""Embeddings, and neighbours in plain Python."""

import torch
from torch import Tensor
from torch.nn import functional as F


def unit(rows: int, dimension: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(rows, dimension, generator=torch.Generator().manual_seed(seed)), dim=1)


def naive_nearest(vector: Tensor, others: Tensor, k: int, without: set[int]) -> list[int]:
    scores = [float(vector @ other) for other in others]
    return sorted(set(range(len(others))) - without, key=lambda row: (-scores[row], row))[:k]
