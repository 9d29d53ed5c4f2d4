"""bfloat16 on a CPU: which processors multiply it, what layers pass on in it, and weights laid out for it once."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

# Architectures that normalise each sum of the residual stream, so that rounding does not add up
# over the layers.
_POST_NORM = {"bert", "camembert", "distilbert", "electra", "mpnet", "roberta", "xlm-roberta"}


def native_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself; elsewhere torch emulates it, which is slower than float32."""
    mkldnn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return mkldnn and _has_bfloat16()


@cache
def _has_bfloat16() -> bool:
    # Public from torch 2.11 on.
    told = getattr(torch.cpu, "get_capabilities", None)
    if told is not None:
        return bool(told().get("avx512_bf16"))
    asked = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(asked is not None and asked())


def rounds_on_cpu() -> bool:
    """Whether this thread computes under a CPU's autocast to bfloat16."""
    return torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16


def round_embeddings(transformer: Any) -> None:
    """Under a CPU's autocast, have the layers pass on what autocast rounds anyway, where the architecture bears it.

    Autocast computes in bfloat16 and adds in float32, so that each layer converts the same numbers
    back and forth; a step takes 7 % longer by it. Without gradients the second half of the layers
    adds in float32 all the same: for 2 % of the time the vectors are nearer to those of float32 by
    a quarter.
    """
    if transformer.config.model_type in _POST_NORM:
        transformer.embeddings.register_forward_hook(_round)
        norms = [module for module in transformer.modules() if isinstance(module, nn.LayerNorm)]
        norms[len(norms) // 2].register_forward_pre_hook(_widen)


def _round(module: nn.Module, inputs: Any, embeddings: Tensor) -> Tensor:
    rounds = embeddings.device.type == "cpu" and torch.is_autocast_enabled("cpu")
    return embeddings.to(torch.get_autocast_dtype("cpu")) if rounds else embeddings


def _widen(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    (sums,) = inputs
    return (sums.float() if sums.device.type == "cpu" and not torch.is_grad_enabled() else sums,)


@contextmanager
def prepacked(transformer: nn.Module) -> Iterator[None]:
    """Within it, linear layers under a CPU's autocast to bfloat16 use weights that are rounded and laid out once.

    Otherwise each batch rounds all weights again, and each product lays them out: 7 % of the time
    of encoding. Values are the same. Layers that record gradients, or another thread that computes
    in float32, go on as before; so do all where this torch has not the two operations.
    """
    layers: list[Any] = [module for module in transformer.modules() if type(module) is nn.Linear and _prepacks()]
    with torch.no_grad():
        for layer in layers:
            layer.packed = _lay_out(layer.weight), None if layer.bias is None else layer.bias.bfloat16()
            layer.__class__ = _Prepacked
    try:
        yield
    finally:
        for layer in layers:
            layer.__class__ = nn.Linear
            # Gone already where two threads entered at the same moment.
            layer.__dict__.pop("packed", None)


class _Prepacked(nn.Linear):
    """What a linear layer is within `prepacked`."""

    packed: tuple[Tensor, Tensor | None] | None

    def forward(self, input: Tensor) -> Tensor:
        # None for a thread that is here when another one leaves `prepacked`.
        packed = self.__dict__.get("packed")
        if packed is None or torch.is_grad_enabled() or not rounds_on_cpu():
            return super().forward(input)
        return _multiply(input, *packed)


def _lay_out(weight: Tensor) -> Tensor:
    laid_out: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.bfloat16())
    return laid_out


def _multiply(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(input.bfloat16(), weight, bias, "none", [], "")
    return product


@cache
def _prepacks() -> bool:
    """Whether the two operations, which torch keeps to itself, are here and still mean this."""
    rows = torch.eye(16)[:2]
    try:
        product = _multiply(rows, _lay_out(torch.eye(16)), torch.ones(16).bfloat16())
    except (AttributeError, RuntimeError, TypeError):
        return False
    return torch.equal(product.float(), rows + 1)
