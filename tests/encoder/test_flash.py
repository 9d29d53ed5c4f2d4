"""What decides on flash attention, and its formula where a stand-in for torch's function runs on the CPU."""

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from hr_retrieval.encoder import flash
from hr_retrieval.encoder.flash import Bounds, has_flash, in_fixed_order
from hr_retrieval.encoder.packing import packed_attention
from tests.encoder.test_packing import Layer, attention_of_each, random_row

CPU = torch.device("cpu")


def attend(query: Tensor, key: Tensor, value: Tensor, starts: Tensor, ends: Tensor, longest: int, most: int) -> Tensor:
    """As torch's function: rows `[n, heads, k]`, each sequence by itself, scaled by `k ** -0.5`."""
    assert torch.equal(starts, ends)
    assert longest == most == int(starts.diff().max())
    lengths: list[int] = starts.diff().tolist()
    row = [part.transpose(0, 1)[None] for part in (query, key, value)]
    return attention_of_each(lengths, row[0], row[1], row[2], query.shape[-1] ** -0.5)[0]


@pytest.mark.parametrize("scaling", [None, 0.5, 0.3])
def test_it_is_attention_within_each_sequence(monkeypatch: pytest.MonkeyPatch, scaling: float | None) -> None:
    module = ModuleType("varlen")
    module.varlen_attn = attend  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.nn.attention.varlen", module)
    lengths = [2, 3, 5]
    parts = random_row(10)
    bounds = Bounds(torch.tensor([0, 2, 5, 10], dtype=torch.int32), 5)
    found, _ = packed_attention(Layer(), *parts, None, scaling=scaling, packed_layout=bounds, is_causal=False)
    expected = attention_of_each(lengths, *parts, scaling=4**-0.5 if scaling is None else scaling)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("dtype", "size"), [(torch.float32, 64), (torch.bfloat16, 12), (torch.bfloat16, 512)])
def test_what_the_kernels_do_not_take_is_not_tried(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, size: int
) -> None:
    monkeypatch.setattr(flash, "_runs", lambda *given: True)
    assert not has_flash(CPU, dtype, size)
    assert has_flash(CPU, torch.bfloat16, 64)


def test_a_device_without_it_is_found_out_by_a_trial() -> None:
    assert not has_flash(CPU, torch.bfloat16, 64)


def test_order_is_insisted_on_for_the_gradient_of_attention_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `warn` would have torch sum in any order."""
    modes: list[tuple[bool, bool]] = []
    monkeypatch.setattr(
        torch, "use_deterministic_algorithms", lambda mode, warn_only=False: modes.append((mode, warn_only))
    )
    monkeypatch.setattr(torch, "is_deterministic_algorithms_warn_only_enabled", lambda: True)
    values = torch.ones(2, requires_grad=True)
    attended: Any = values * 2
    in_fixed_order(attended)
    attended.sum().backward()
    # A gradient on the CPU has its order.
    assert modes == []
    monkeypatch.setattr(flash, "_ORDERED", ("cpu",))
    attended = values * 2
    in_fixed_order(attended)
    (attended * 3).sum().backward()
    assert modes == [(True, False), (True, True)]
