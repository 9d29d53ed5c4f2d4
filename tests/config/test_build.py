"""What a config may build, and what its constructor refuses."""

import importlib
import pkgutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

import hr_retrieval
from hr_retrieval.config.build import HOMES, KINDS, MODULES, build, buildable, check_targets
from hr_retrieval.errors import UserError
from hr_retrieval.runs.directory import Run


def own_modules() -> list[ModuleType]:
    names = [found.name for found in pkgutil.walk_packages(hr_retrieval.__path__, "hr_retrieval.")]
    return [hr_retrieval, *map(importlib.import_module, names)]


def kinds() -> tuple[type, ...]:
    found = [kind.rpartition(".") for kind in KINDS]
    return tuple(getattr(importlib.import_module(module), name) for module, _, name in found)


def paths_below(path: str, value: Any, depth: int, seen: set[int]) -> dict[str, Any]:
    """Dotted paths from a module through attributes; a module or class that it imports is gone through once."""
    found = {path: value}
    if depth and isinstance(value, ModuleType | type) and id(value) not in seen:
        seen.add(id(value))
        for name, attribute in list(vars(value).items()):
            found |= paths_below(f"{path}.{name}", attribute, depth - 1, seen)
    return found


def test_no_path_through_the_package_leads_to_anything_but_the_kinds() -> None:
    modules, allowed, seen = own_modules(), kinds(), set[int]()
    for module in modules:
        for path, value in paths_below(module.__name__, module, 2, seen).items():
            if (found := buildable(path)) is not None:
                assert found is value, path
                assert issubclass(found, allowed), path
                assert any(f"{found.__module__}.".startswith(f"{home}.") for home in HOMES), path
                assert path.rpartition(".")[0] in sys.modules, path


@pytest.mark.parametrize("module", MODULES)
def test_no_path_through_a_library_leads_to_anything_but_the_kinds(module: str) -> None:
    allowed = kinds()
    for path, value in paths_below(module, importlib.import_module(module), 1, set()).items():
        if (found := buildable(path)) is not None:
            assert found is value, path
            assert issubclass(found, allowed), path


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "torch.load",
        "torch.optim.adam.torch.load",
        "torch.optim.lr_scheduler.LambdaLR",
        "hydra.utils.get_method",
        "pytorch_lightning.callbacks.os.system",
        "pytorch_lightning.callbacks.model_checkpoint.os.system",
        "pytorch_lightning.cli.LightningCLI",
        "pytorch_lightning.plugins.TorchCheckpointIO",
        "hr_retrieval.prepare.readers.csv.os.system",
        "hr_retrieval.prepare.readers.csv.subprocess.Popen.x",
        "hr_retrieval.prepare.clean.pd.ExcelWriter",
        "hr_retrieval.prepare.readers.pickle.pickle.Unpickler",
        "hr_retrieval.prepare.readers.pickle._FrameUnpickler",
        "hr_retrieval.objective.triplet.torch.ctypes.CDLL",
        "hr_retrieval.config.message.tempfile",
        "hr_retrieval.config.build.instantiate",
        "hr_retrieval.sweep.sweep.Sweep",
        "hr_retrieval.objective.triplet.nn.Linear",
        "hr_retrieval.objective.triplet.TripletLoss.forward",
        "hr_retrieval..model.loss.TripletLoss",
        "hr_retrieval/model/loss.TripletLoss",
        ".loss.TripletLoss",
        "TripletLoss",
        "",
    ],
)
def test_what_is_none_of_the_kinds_is_refused(target: str) -> None:
    assert buildable(target) is None
    with pytest.raises(UserError, match=r"config\.callbacks\[0\]\.x\._target_"):
        check_targets({"callbacks": [{"x": {"_target_": target}}]})
    with pytest.raises(UserError, match="_target_"):
        build({"_target_": "hr_retrieval.objective.triplet.TripletLoss", "margin": {"_target_": target}})


@pytest.mark.parametrize("target", [None, 1, ["os.system"], {"_target_": "torch.optim.Adam"}, torch.optim.Adam])
def test_a_target_is_a_name(target: Any) -> None:
    assert buildable(target) is None
    with pytest.raises(UserError, match="_target_"):
        check_targets({"_target_": target})


@given(st.lists(st.sampled_from(["hr_retrieval", "model", "loss", "os", "system", "torch", "..", "a b"]), max_size=5))
def test_any_name_is_answered(parts: list[str]) -> None:
    assert buildable(".".join(parts)) is None


def test_a_stranger_s_module_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stranger.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for target in ("stranger.Thing", "hr_retrieval.stranger.Thing", "hr_retrieval.prepare.clean.stranger.Thing"):
        assert buildable(target) is None
    assert "stranger" not in sys.modules


def test_a_class_that_only_calls_itself_ours_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    forged = type("TripletLoss", (torch.nn.Module,), {"__module__": "hr_retrieval.objective.triplet"})
    monkeypatch.setattr("hr_retrieval.train.distributed.TripletLoss", forged, raising=False)
    assert buildable("hr_retrieval.train.distributed.TripletLoss") is None


def test_a_new_part_of_the_package_is_built_without_a_list_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    class Quiet(pl.Callback):
        pass

    Quiet.__module__, Quiet.__qualname__ = "hr_retrieval.train.report", "Quiet"
    monkeypatch.setattr("hr_retrieval.train.report.Quiet", Quiet, raising=False)
    assert buildable("hr_retrieval.train.report.Quiet") is Quiet


def test_a_refusal_names_what_there_is() -> None:
    with pytest.raises(UserError, match=r"got hr_retrieval\.objective\.triplet\.Triplet\. In .* TripletLoss"):
        check_targets({"_target_": "hr_retrieval.objective.triplet.Triplet"})
    with pytest.raises(UserError, match=r"Nothing in hr_retrieval\.files is"):
        check_targets({"_target_": "hr_retrieval.files.json"})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("_args_", [1]),
        ("_recursive_", False),
        ("_convert_", "all"),
        ("_partial_", "yes"),
        ("_partial_", 1),
        ("_new_", 0),
    ],
)
def test_of_hydra_s_keys_only_two_are_taken(key: str, value: Any) -> None:
    with pytest.raises(UserError, match=key):
        check_targets({"optimizer": {"_target_": "torch.optim.Adam", key: value}})


def test_a_value_that_would_be_read_once_more_is_refused() -> None:
    """Escaped once, it is a text; in the config made of the resolved one it would be a node that nobody looked at."""
    config = OmegaConf.create({"margin": r"\${oc.create:{_target_:os.system}}"})
    with pytest.raises(UserError, match=r"config\.margin to be a plain value"):
        check_targets(OmegaConf.to_container(config, resolve=True))
    node = OmegaConf.create(
        {"_target_": "hr_retrieval.objective.triplet.TripletLoss", "margin": r"${oc.decode:'{_target_: a.b}'}"}
    )
    with pytest.raises(UserError, match=r"a\.b"):
        build(node)


def test_the_config_of_a_run_holds_plain_values(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("project: ${oc.env:HOME}\n")
    with pytest.raises(UserError, match=r"config\.yaml\.project to be a plain value"):
        Run.open(tmp_path)
    (tmp_path / "config.yaml").write_text("model: {encoder: {_target_: hr_retrieval.runs.directory.Run}}\n")
    with pytest.raises(UserError, match=r"encoder\._target_"):
        Run.open(tmp_path)


def test_build_raises_what_the_constructor_raised() -> None:
    node = {"_target_": "hr_retrieval.objective.triplet.TripletLoss", "margin": 0.3}
    assert build(node, symmetric=True).symmetric
    assert build(node).margin == 0.3
    with pytest.raises(UserError, match=r"margin of at least 0; got -1\.0"):
        build(node, margin=-1.0)
    with pytest.raises(
        UserError, match=r"TripletLoss takes; got a refusal .*'colour'.* takes: form, margin, negatives"
    ):
        build(node, colour="red")
