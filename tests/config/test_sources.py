"""A list of data sets on a command line: what Hydra composes of it, and what is refused."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from hr_retrieval.config.schema import config_dir
from hr_retrieval.config.sources import composable, data_nodes
from hr_retrieval.errors import UserError
from hr_retrieval.train import resolvers

TWO = "data=[esco_title_pairs,onet_title_pairs]"


def composed(*arguments: str) -> dict[str, object]:
    resolvers.register()
    with initialize_config_dir(config_dir(), version_base="1.3"):
        config = compose("train", composable(arguments))
        found = {"datamodule": config.datamodule, "data": config.data, "nodes": data_nodes(config.data)}
        return {name: OmegaConf.to_container(OmegaConf.create(node), resolve=False) for name, node in found.items()} | {
            "folder": config.datamodule.folder
        }


def test_each_option_of_a_list_has_a_place_of_its_own() -> None:
    config = composed(TWO, "data.onet_title_pairs.max_rows=7", "datamodule.sources.onet_title_pairs.weight=2")
    folders = ["data/prepared/esco_title_pairs", "data/prepared/onet_title_pairs"]
    assert list(config["folder"]) == folders  # type: ignore[call-overload]  # a list of the config
    nodes = config["nodes"]
    assert isinstance(nodes, list)
    assert [(node["name"], node["max_rows"]) for node in nodes] == [("esco_title_pairs", None), ("onet_title_pairs", 7)]
    assert config["datamodule"]["sources"] == {"onet_title_pairs": {"weight": 2}}  # type: ignore[index]  # likewise


def test_one_option_is_as_it_was() -> None:
    for arguments in (("data=onet_title_pairs",), ("data=[onet_title_pairs]",)):
        config = composed(*arguments)
        assert config["folder"] == "data/prepared/onet_title_pairs"
        assert len(config["nodes"]) == 1  # type: ignore[arg-type]  # a list


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("data=[]", "Name at least one"),
        ("data=[esco,esco]", r"\+data@data\.second=esco"),
        ("data=[esco],[hh]", "one list of options"),
        ("data=esco,[hh,esco]", "one list of options"),
    ],
)
def test_what_makes_no_list_of_sources_is_one_error(argument: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        composable([argument])


def test_an_experiment_names_several_sources_in_its_defaults(tmp_path: Path) -> None:
    folder = tmp_path / "experiment"
    folder.mkdir()
    (folder / "both.yaml").write_text(
        "# @package _global_\ndefaults:\n  - /data@data.esco_title_pairs: esco_title_pairs\n"
        "  - /data@data.onet_title_pairs: onet_title_pairs\n  - override /data: null\n"
        "datamodule:\n  sources:\n    esco_title_pairs: {weight: 3}\n"
    )
    config = composed(f"hydra.searchpath=['file://{tmp_path}']", "experiment=both")
    assert config["folder"] == ["data/prepared/esco_title_pairs", "data/prepared/onet_title_pairs"]
    assert config["datamodule"]["sources"] == {"esco_title_pairs": {"weight": 3}}  # type: ignore[index]  # likewise
