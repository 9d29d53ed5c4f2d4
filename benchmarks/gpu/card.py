"""The card: its name, its bf16 peak, and the operations that a model cannot do without."""

import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import torch

from hr_retrieval.time.timing import machine

# Dense bf16 peaks of the makers' data sheets, in TFLOP/s. Only of names that stand for one clock
# and power limit.
_PEAKS = {
    "NVIDIA H200": 989.0,
    "NVIDIA H100 80GB HBM3": 989.0,
    "NVIDIA H100 NVL": 835.0,
    "NVIDIA H100 PCIe": 756.0,
    "NVIDIA A100-SXM4-80GB": 312.0,
    "NVIDIA A100-SXM4-40GB": 312.0,
    "NVIDIA L40S": 362.0,
    "NVIDIA L4": 121.0,
}
_LIBRARIES = ("torch", "triton", "transformers", "sentence-transformers", "pytorch-lightning", "torchmetrics", "numpy")


def describe(device: torch.device, small: bool) -> dict[str, Any]:
    """What the figures were taken on, and the peak that shares are of: that of the data sheet, or a measured one."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "the processor"
    product = _product(device, 256 if small else 8192)
    return {
        "card": name,
        "machine": machine(),
        "cuda": torch.version.cuda,
        "memory_gb": torch.cuda.get_device_properties(device).total_memory / 1e9 if device.type == "cuda" else None,
        "versions": {library: _version(library) for library in _LIBRARIES},
        "product_tflops": product,
        "peak_tflops": _PEAKS.get(name, product),
        "peak_is": "of the data sheet" if name in _PEAKS else "the measured product",
    }


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def forward_flops(lengths: Sequence[int], layers: int, hidden: int) -> float:
    """Operations of the layers' products and of attention for texts of these lengths, none of them on padding.

    A token goes through `4 h^2` weights of attention and `8 h^2` behind it, and meets each token of
    its text twice: for its score and for its value. The backward pass takes twice as many.
    """
    return float(layers * sum(2 * 12 * hidden**2 * length + 4 * hidden * length**2 for length in lengths))


def _product(device: torch.device, size: int) -> float:
    """TFLOP/s of a bf16 product of random square matrices, the best of ten."""
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(12):
        synchronise(device)
        begun = time.perf_counter()
        torch.mm(left, right)
        synchronise(device)
        best = min(best, time.perf_counter() - begun)
    return 2 * size**3 / best / 1e12


def _version(library: str) -> str | None:
    # Not every machine has triton.
    try:
        return version(library)
    except ModuleNotFoundError:
        return None
