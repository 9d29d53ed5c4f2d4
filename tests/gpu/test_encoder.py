"""Packed and padded vectors and gradients on a GPU, and those of the CPU."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hr_retrieval.encoder.encoder import Encoder, Precision
from hr_retrieval.encoder.tiny import write_tiny

TEXTS = ["a", "welder 3", "nurse with tools " * 3, "водитель " * 9, "pilot", "teacher of history " * 6, "cook 2"]
# float32 sums in another order differ in the seventh digit; bfloat16 has three digits, and layers
# add theirs up.
TOLERANCE = {"float32": 2e-5, "bf16": 3e-2}
PRECISIONS: tuple[Precision, ...] = ("float32", "bf16")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder") / "bert"
    write_tiny(path, layers=3, hidden=128)
    return path


def found(encoder: Encoder, precision: Precision) -> tuple[Tensor, dict[str, Tensor]]:
    """Embeddings of the texts, and the gradient of a loss over them by each weight, relative to its largest."""
    tokens = encoder.tokenise(TEXTS, "query")[0].to(encoder.device)
    encoder.zero_grad()
    with torch.autocast(encoder.device.type, torch.bfloat16, enabled=precision == "bf16"):
        embeddings = encoder(tokens)
    upstream = torch.linspace(-1, 1, embeddings.numel()).view_as(embeddings).to(embeddings.device)
    (embeddings * upstream).sum().backward()
    gradients = {name: weight.grad for name, weight in encoder.named_parameters() if weight.grad is not None}
    return embeddings.detach(), {name: value / value.abs().max() for name, value in gradients.items()}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_packed_and_padded_agree_on_the_device(
    folder: Path,
    device: torch.device,
    deterministic: None,
    precision: Precision,
    record_property: Callable[[str, object], None],
) -> None:
    sides = [found(Encoder(str(folder), packing=packing).to(device), precision) for packing in (True, False)]
    (packed, gradients), (padded, expected) = sides
    record_property("vectors_differ_by", f"{float((packed - padded).abs().max()):.1e}")
    torch.testing.assert_close(packed, padded, atol=TOLERANCE[precision], rtol=0)
    apart = {name: float((gradients[name] - expected[name]).abs().max()) for name in expected}
    # A bias of the keys has no gradient but rounding: softmax takes out what all scores share.
    apart = {name: value for name, value in apart.items() if not name.endswith("key.bias")}
    record_property("gradients_differ_by", f"{max(apart.values()):.1e}")
    assert gradients.keys() == expected.keys()
    assert max(apart.values()) < 10 * TOLERANCE[precision], apart


def test_vectors_are_those_of_the_cpu(folder: Path, device: torch.device) -> None:
    expected = Encoder(str(folder)).encode(TEXTS, "document")
    embeddings = Encoder(str(folder)).to(device).encode(TEXTS, "document")
    assert embeddings.device.type == device.type
    torch.testing.assert_close(embeddings.cpu(), expected, atol=TOLERANCE["float32"], rtol=0)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_step_is_the_same_to_the_bit_each_time(
    folder: Path, device: torch.device, deterministic: None, precision: Precision
) -> None:
    encoder = Encoder(str(folder)).to(device)
    (first, gradients), (again, repeated) = (found(encoder, precision) for _ in range(2))
    assert torch.equal(first, again)
    assert [name for name, value in gradients.items() if not torch.equal(value, repeated[name])] == []
