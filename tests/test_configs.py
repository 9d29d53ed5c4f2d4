"""Every option of every group composes, and its keys are the signature of what it builds."""

import functools
import inspect
import math
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import MissingConfigException
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from hr_retrieval.config.build import buildable
from hr_retrieval.config.schema import config_dir
from hr_retrieval.config.sources import data_nodes
from hr_retrieval.config.startup import check_hydra
from hr_retrieval.train import resolvers

ROOT = Path(config_dir())
GROUPS = {
    str(path.parent.relative_to(ROOT)): sorted(option.stem for option in path.parent.glob("*.yaml"))
    for path in ROOT.rglob("*.yaml")
    if path.parent != ROOT
}
OPTIONS = [(group, option) for group, options in GROUPS.items() for option in options]
VERBS = {"data": "prepare"}
# Sources that are files of the user's own, of which nothing is known.
FILES = ("csv", "jsonl", "parquet", "pickle")


@functools.cache
def composed(verb: str, *overrides: str) -> DictConfig:
    """A config that several tests look at, and none changes."""
    resolvers.register()
    with initialize_config_dir(config_dir(), version_base="1.3"):
        return compose(verb, list(overrides), return_hydra_config=True)


def built(node: Any, path: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Each part of a config that names a target."""
    if isinstance(node, list):
        return [found for number, item in enumerate(node) for found in built(item, f"{path}[{number}]")]
    if not isinstance(node, dict):
        return []
    own = [(path, node)] if "_target_" in node else []
    return own + [found for key, value in node.items() for found in built(value, f"{path}.{key}")]


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_an_option_composes_may_be_built_and_fits_what_it_builds(group: str, option: str) -> None:
    if option == "wandb":
        pytest.importorskip("wandb")
    config = composed(VERBS.get(group, "train"), f"{group}={option}")
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    hydra = plain.pop("hydra")
    check_hydra(hydra)
    parts = built({"hydra": hydra["sweeper"]} if group == "hydra/sweeper" else plain)
    assert parts
    for path, part in parts:
        # The sweeper is Hydra's to build.
        assert path == ".hydra" or buildable(part["_target_"]), path
        target = get_object(part["_target_"])
        keys = {key for key in part if key not in ("_target_", "_partial_", "_convert_", "_recursive_")}
        parameters = inspect.signature(target).parameters
        open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        assert open_ended or keys <= set(parameters), f"{path}: {keys - set(parameters)}"


@pytest.mark.parametrize("verb", ["train", "prepare"])
def test_a_source_composes_for_training_too(verb: str) -> None:
    for option in GROUPS["data"]:
        nodes = data_nodes(composed(verb, f"data={option}").data)
        assert {node["_target_"] for node in nodes} == {"hr_retrieval.prepare.preparation.Preparation"}


@pytest.mark.parametrize("group", ["data", "model"])
def test_what_options_build_on_is_no_option_itself(group: str) -> None:
    assert (ROOT / f"{group}_base.yaml").exists()
    with pytest.raises(MissingConfigException) as raised:
        composed("train", f"{group}=base")
    assert raised.value.options == GROUPS[group]


def test_the_yaml_of_a_strategy_names_every_option_with_its_default() -> None:
    """One option, one default: a YAML that says something else than the class would be a second one."""
    for group in ("model/mixing", "model/loss", "ranking/mixing"):
        for option in GROUPS[group]:
            part = composed("train", f"{group}={option}")
            for key in group.split("/"):
                part = part[key]
            parameters = inspect.signature(get_object(part._target_)).parameters
            assert set(parameters) == {str(key) for key in part} - {"_target_"}


@pytest.mark.parametrize("option", GROUPS["data"])
def test_the_yaml_of_a_reader_names_every_option_with_its_default(option: str) -> None:
    nodes = data_nodes(composed("prepare", f"data={option}").data)
    configs: list[Any] = [OmegaConf.to_container(node, resolve=False) for node in nodes]
    for part in (part for config in configs for part in (config, config["reader"], config["columns"])):
        parameters = inspect.signature(get_object(part["_target_"])).parameters
        own = {str(key): value for key, value in part.items() if key != "_target_"}
        assert set(own) == set(parameters)
        for key, parameter in parameters.items():
            usual = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
            if parameter.default is not parameter.empty and key not in ("reader", "columns") and option in FILES:
                assert own[key] == usual, key


@pytest.mark.parametrize(
    ("launcher", "package"), [("joblib", "hydra_joblib_launcher"), ("submitit_slurm", "hydra_submitit_launcher")]
)
def test_the_launchers_of_the_extras_compose(launcher: str, package: str) -> None:
    pytest.importorskip(f"hydra_plugins.{package}")
    config = composed("train", f"hydra/launcher={launcher}", "hydra/sweeper=optuna")
    assert package in config.hydra.launcher._target_


@pytest.mark.parametrize(
    ("experiment", "runs"),
    [("model_selection", 6), ("hyperparameters", 54), ("mixing_ablation", 240), ("mixing_terms", 30)],
)
def test_an_experiment_sweeps_over_what_its_header_says(experiment: str, runs: int) -> None:
    params = composed("train", f"experiment={experiment}").hydra.sweeper.params
    assert math.prod(len(str(values).split(",")) for values in params.values()) == runs
    composed(
        "train", f"experiment={experiment}", *(f"{key}={str(values).split(',')[-1]}" for key, values in params.items())
    )


def test_the_original_command_is_complete_and_takes_another_encoder() -> None:
    for model, name in ((None, "paraphrase-multilingual-mpnet-base-v2"), ("minilm", "all-MiniLM-L6-v2")):
        config = composed("train", "experiment=original", *([f"model={model}"] if model else []))
        assert config.model.encoder.name_or_path.endswith(name)
        assert config.model.mixing._target_.endswith("AnchorMixing")
        assert (config.model.loss.form, config.model.loss.margin) == ("hinge", 0.3)
        assert (config.optimizer._target_, config.optimizer.lr) == ("torch.optim.Adam", 1e-5)
        assert (config.datamodule.batch_size, config.trainer.max_epochs) == (16, 10)
        assert config.callbacks.last.every_n_train_steps == 1000


def test_unknown_keys_and_options_are_named() -> None:
    with pytest.raises(Exception, match="trainer"):
        composed("train", "trainer.max_epoch=3")
    with pytest.raises(Exception, match="mpnet"):
        composed("train", "model=mpnett")
