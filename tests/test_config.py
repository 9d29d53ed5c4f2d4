"""Where configs are found, and how their parts are built."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from hr_retrieval.config import build, config_dir, leaves
from hr_retrieval.errors import UserError


def test_the_config_folder_holds_the_verbs() -> None:
    assert {"train.yaml", "prepare.yaml", "export.yaml"} <= {path.name for path in Path(config_dir()).iterdir()}


def test_the_run_folder_is_the_resumed_one_the_named_one_or_a_new_one() -> None:
    def resolve(**values: str | None) -> str:
        keys = {
            "resume": None,
            "output": None,
            "project": "p",
            "folder": "${run_folder:${resume},${output},${project}}",
        }
        return str(OmegaConf.create(keys | values).folder)

    assert resolve(resume="outputs/a/b", output="elsewhere") == "outputs/a/b"
    assert resolve(output="elsewhere") == "elsewhere"
    assert resolve().startswith("outputs/p/20")


def test_build_raises_what_the_constructor_raised() -> None:
    node = {"_target_": "hr_retrieval.model.loss.TripletLoss", "margin": 0.3}
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
