"""Where configs are found, and how their parts are built."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from hr_retrieval.config.schema import build, config_dir, leaves
from hr_retrieval.errors import UserError


def test_the_config_folder_holds_the_verbs() -> None:
    assert {"train.yaml", "prepare.yaml", "export.yaml"} <= {path.name for path in Path(config_dir()).iterdir()}


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
    node = OmegaConf.create({"accelerator": accelerator, "precision": "${fastest_precision:${accelerator}}"})
    assert node.precision == expected


def test_build_raises_what_the_constructor_raised() -> None:
    node = {"_target_": "hr_retrieval.objective.loss.TripletLoss", "margin": 0.3}
    assert build(node, symmetric=True).symmetric
    assert build(node).margin == 0.3
    with pytest.raises(UserError, match=r"margin of at least 0; got -1\.0"):
        build(node, margin=-1.0)
    with pytest.raises(UserError, match=r"TripletLoss takes; got a refusal .*'colour'.* takes: margin, negatives"):
        build(node, colour="red")


def test_leaves_are_named_by_their_path() -> None:
    config = {"a": {"b": 1, "c": {"d": None, "e": [1, "x"]}, "f": {}}, "g": True}
    assert leaves(config) == {"a.b": 1, "a.c.d": None, "a.c.e": "[1, 'x']", "a.f": "{}", "g": True}
    assert leaves({}) == {}
