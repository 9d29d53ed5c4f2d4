"""What the config of a training asks for while it is composed."""

import pytest
from omegaconf import OmegaConf

from hr_retrieval.train import resolvers


@pytest.mark.parametrize(
    ("accelerator", "capability", "native", "expected"),
    [
        ("auto", (8, 0), True, "bf16-mixed"),
        ("gpu", (7, 5), True, "16-mixed"),
        ("cuda", (6, 0), True, "32-true"),
        ("cpu", (8, 0), True, "bf16-mixed"),
        ("cpu", (8, 0), False, "32-true"),
        ("auto", None, True, "bf16-mixed"),
        ("auto", None, False, "32-true"),
        ("mps", None, True, "32-true"),
    ],
)
def test_the_fastest_precision_is_one_that_the_accelerator_computes_itself(
    monkeypatch: pytest.MonkeyPatch,
    accelerator: str,
    capability: tuple[int, int] | None,
    native: bool,
    expected: str,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: capability is not None)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: capability)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    monkeypatch.setattr("hr_retrieval.encoder.cpu.rounding.native_bfloat16", lambda: native)
    resolvers.register()
    node = OmegaConf.create({"accelerator": accelerator, "precision": "${fastest_precision:${accelerator}}"})
    assert node.precision == expected
