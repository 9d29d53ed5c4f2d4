"""Attention of packed sequences on a GPU in one call for all lengths: torch's flash attention."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

# The kernels take heads of these sizes.
_STEP, _LARGEST = 8, 256
# Where torch has a gradient of attention in one order and in any.
_ORDERED = ("cuda",)
_HALVES = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Bounds:
    """Where sequences begin and end.

    Attributes:
        offsets: sequence `i` is `offsets[i] : offsets[i + 1]`, on the device.
        longest: tokens of the longest.
    """

    offsets: Int[Tensor, " B_plus_1"]
    longest: int


def has_flash(device: torch.device, dtype: torch.dtype, head_size: int) -> bool:
    """Whether heads of this size attend so: in half precision, on a GPU and with a torch that run a small example."""
    fits = dtype in _HALVES and 0 < head_size <= _LARGEST and head_size % _STEP == 0
    return fits and _runs(device, dtype, head_size)


def flash_attention(
    query: Float[Tensor, "1 heads n k"],
    key: Float[Tensor, "1 heads n k"],
    value: Float[Tensor, "1 heads n k"],
    bounds: Bounds,
    scaling: float | None,
) -> Float[Tensor, "1 n heads k"]:
    """`softmax(scaling Q K') V` of each sequence and head; `scaling` is `k ** -0.5` where it is
    None. Source: Dao 2023 (FlashAttention-2, arXiv 2307.08691).
    """
    # From torch 2.10 on, which is newer than the oldest one that this project takes.
    from torch.nn.attention.varlen import varlen_attn

    usual = query.shape[-1] ** -0.5
    if scaling is not None and scaling != usual:
        # Not all releases take a scale.
        query = query * (scaling / usual)
    # Some architectures turn queries and keys in float32.
    q, k, v = (part[0].transpose(0, 1).to(value.dtype) for part in (query, key, value))
    attended: Any = varlen_attn(q, k, v, bounds.offsets, bounds.offsets, bounds.longest, bounds.longest)
    in_fixed_order(attended)
    found: Tensor = attended.unsqueeze(0)
    return found


def in_fixed_order(attended: Tensor) -> None:
    """Have the gradient of an attention on a GPU summed in one order where `trainer.deterministic=warn` asks for order.

    Where a warning will do, torch warns and sums in any order although it has the other way.
    """
    node = attended.grad_fn
    if node is not None and attended.device.type in _ORDERED and torch.is_deterministic_algorithms_warn_only_enabled():
        node.register_prehook(_insist)
        node.register_hook(_relax)


def _insist(*given: Any) -> None:
    torch.use_deterministic_algorithms(True)


def _relax(*given: Any) -> None:
    torch.use_deterministic_algorithms(True, warn_only=True)


@cache
def _runs(device: torch.device, dtype: torch.dtype, head_size: int) -> bool:
    parts = [torch.zeros(1, 1, 3, head_size, device=device, dtype=dtype, requires_grad=True) for _ in range(3)]
    offsets = torch.tensor([0, 1, 3], dtype=torch.int32, device=device)
    try:
        with torch.enable_grad():
            attended = flash_attention(parts[0], parts[1], parts[2], Bounds(offsets, 2), None)
            torch.autograd.grad(attended.sum(), parts)
    except (ImportError, AttributeError, NotImplementedError, RuntimeError, TypeError):
        return False
    return True
