"""Where configs are found, and how their leaves are named."""

from pathlib import Path

from hr_retrieval.config.schema import config_dir, leaves


def test_the_config_folder_holds_the_verbs() -> None:
    assert {"train.yaml", "prepare.yaml", "export.yaml"} <= {path.name for path in Path(config_dir()).iterdir()}


def test_leaves_are_named_by_their_path() -> None:
    config = {"a": {"b": 1, "c": {"d": None, "e": [1, "x"]}, "f": {}}, "g": True}
    assert leaves(config) == {"a.b": 1, "a.c.d": None, "a.c.e": "[1, 'x']", "a.f": "{}", "g": True}
    assert leaves({}) == {}
