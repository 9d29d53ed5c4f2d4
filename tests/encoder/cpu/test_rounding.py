"""Tests of bfloat16 on a CPU: what layers pass on, and prepacked weights."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from hr_retrieval.encoder.cpu import rounding
from hr_retrieval.encoder.cpu.rounding import native_bfloat16, prepacked, rounds_on_cpu
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.tiny import Architecture

TEXTS = ["Software engineer (m/w/d)", "Повар-кондитер 5 разряда", "HR"]
needs_bfloat16 = pytest.mark.skipif(not native_bfloat16(), reason="a processor without bfloat16")


@pytest.mark.parametrize("architecture", ["bert", "roberta", "xlm-roberta", "distilbert", "mpnet"])
def test_layers_pass_on_bf16_under_autocast_alone(
    folder: Callable[[Architecture], Path], architecture: Architecture
) -> None:
    encoder = Encoder(str(folder(architecture)))
    dtypes: list[torch.dtype] = []
    for name, module in encoder.transformer.named_modules():
        if isinstance(module, nn.LayerNorm) and "embeddings" not in name:
            module.register_forward_hook(lambda module, inputs, output: dtypes.append(output.dtype))
    tokens, _ = encoder.tokenise(TEXTS, "query")
    with torch.autocast("cpu", torch.bfloat16):
        encoder.eval()(tokens)
    assert set(dtypes) == {torch.bfloat16}
    dtypes.clear()
    # Without gradients, from the middle on in float32.
    encoder.encode(TEXTS, "query", precision="bf16")
    middle = dtypes.index(torch.float32)
    assert 0 < middle < len(dtypes) - 1
    assert dtypes == [torch.bfloat16] * middle + [torch.float32] * (len(dtypes) - middle)
    dtypes.clear()
    encoder.encode(TEXTS, "query")
    assert set(dtypes) == {torch.float32}


class Layers(nn.Module):
    """Two linear layers, one without a bias, and one of another class, which has a forward of its own."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.other = nn.Linear(48, 32), nn.Linear(32, 64, bias=False), Doubled(64, 5)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.other(self.second(self.first(rows)))


class Doubled(nn.Linear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(input)


@needs_bfloat16
@pytest.mark.parametrize("shape", [(3, 48), (2, 7, 48), (0, 48)])
def test_prepacked_layers_have_the_values_of_the_plain_ones(shape: tuple[int, ...]) -> None:
    layers = Layers()
    rows = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = layers(rows)
        with prepacked(layers):
            assert [type(layer).__name__ for layer in layers.children()] == ["_Prepacked", "_Prepacked", "Doubled"]
            found = layers(rows)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected, rtol=2**-7, atol=2**-7)
    assert [type(layer) for layer in layers.children()] == [nn.Linear, nn.Linear, Doubled]
    assert set(layers.state_dict()) == {"first.weight", "first.bias", "second.weight", "other.weight", "other.bias"}


@needs_bfloat16
def test_prepacked_layers_are_plain_ones_for_gradients_float32_and_other_threads() -> None:
    layers, rows = Layers(), torch.ones(2, 48)
    plain = layers(rows)
    seen: list[torch.Tensor] = []
    with prepacked(layers):
        torch.testing.assert_close(layers(rows), plain, rtol=0, atol=0)
        with torch.autocast("cpu", torch.bfloat16):
            layers(rows).sum().backward()
            assert layers.first.weight.grad is not None
            thread = threading.Thread(target=lambda: seen.append(layers(rows)))
            thread.start()
            thread.join()
    torch.testing.assert_close(seen[0], plain, rtol=0, atol=0)


@needs_bfloat16
def test_layers_are_plain_again_after_an_error_and_while_two_threads_use_them() -> None:
    layers = Layers()
    with pytest.raises(ValueError, match="within"), prepacked(layers):
        raise ValueError("within")
    assert type(layers.first) is nn.Linear
    with prepacked(layers), torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        with prepacked(layers):
            inner = layers(torch.ones(2, 48))
        torch.testing.assert_close(layers(torch.ones(2, 48)), inner)
        # Another thread that is within the forward of a layer when this one leaves.
        within = type(layers.first).forward
        del layers.first.packed
        assert within(layers.first, torch.ones(2, 48)).shape == (2, 32)
        layers.first.packed = None


@needs_bfloat16
def test_many_texts_are_encoded_with_prepacked_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Encoder("tiny")
    few = encoder.encode(TEXTS, "query", precision="bf16")
    used: list[nn.Module] = []

    def watched(transformer: nn.Module) -> object:
        used.append(transformer)
        return prepacked(transformer)

    monkeypatch.setattr("hr_retrieval.encoder.encoder.prepacked", watched)
    monkeypatch.setattr("hr_retrieval.encoder.encoder._PREPACKED_TOKENS", 1)
    encoder.encode(TEXTS, "query")
    assert not used
    many = encoder.encode(TEXTS, "query", precision="bf16")
    assert used == [encoder.transformer]
    assert torch.nn.functional.cosine_similarity(few, many).min() > 0.9999


@pytest.mark.parametrize("error", [AttributeError, RuntimeError, TypeError])
def test_without_its_two_operations_torch_encodes_with_plain_layers(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """As where torch has them no more, they fail on the processor, or they take other arguments."""
    encoder = Encoder("tiny")
    expected = encoder.encode(TEXTS, "query", precision="bf16")

    def absent(*given: object) -> torch.Tensor:
        raise error("no such operation")

    rounding._prepacks.cache_clear()
    monkeypatch.setattr(rounding, "_lay_out", absent)
    monkeypatch.setattr("hr_retrieval.encoder.encoder.native_bfloat16", lambda: True)
    monkeypatch.setattr("hr_retrieval.encoder.encoder._PREPACKED_TOKENS", 1)
    try:
        assert torch.equal(encoder.encode(TEXTS, "query", precision="bf16"), expected)
    finally:
        rounding._prepacks.cache_clear()


@pytest.mark.parametrize(
    ("told", "asked", "native"), [(True, False, True), (False, True, False), (None, True, True), (None, None, False)]
)
def test_the_processor_is_asked_in_public_first(
    monkeypatch: pytest.MonkeyPatch, told: bool | None, asked: bool | None, native: bool
) -> None:
    for name, answer in (("get_capabilities", {"avx512_bf16": told}), ("_is_avx512_bf16_supported", asked)):
        if None in (answer, told if isinstance(answer, dict) else asked):
            monkeypatch.delattr(torch.cpu, name, raising=False)
        else:
            monkeypatch.setattr(torch.cpu, name, lambda answer=answer: answer, raising=False)
    rounding._has_bfloat16.cache_clear()
    try:
        assert native_bfloat16() is (native and torch.backends.mkldnn.is_available())
    finally:
        rounding._has_bfloat16.cache_clear()


def test_whether_this_thread_rounds_follows_its_autocast() -> None:
    assert not rounds_on_cpu()
    with torch.autocast("cpu", torch.bfloat16):
        assert rounds_on_cpu()
    with torch.autocast("cpu", torch.float16):
        assert not rounds_on_cpu()
