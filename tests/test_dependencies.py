"""No version of a dependency that is known to be bad satisfies what this project asks for."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]

# What is wrong with which versions: the last bad one of each, and some before.
BAD: dict[str, tuple[str, list[str]]] = {
    "torch": ("CVE-2025-32434: torch.load runs code in spite of weights_only=True", ["2.0.0", "2.5.1"]),
    "pytorch-lightning": (
        "the numbers of the malicious releases of `lightning`; CVE-2024-5980 and CVE-2024-8019: files written anywhere",
        ["2.2.4", "2.3.2", "2.6.2", "2.6.3"],
    ),
    "transformers": (
        "CVE-2023-6730, CVE-2024-11392, -11393, -11394: pickles in the files of a model are run",
        ["4.35.2", "4.47.1"],
    ),
    "pyarrow": ("CVE-2023-47248: an IPC or Parquet file runs code", ["0.14.0", "14.0.0"]),
    "scikit-learn": ("CVE-2024-5206: a vectoriser keeps texts of the training data", ["1.4.2"]),
    "scipy": ("CVE-2023-25399: a leak of memory in linear algebra", ["1.9.3"]),
    "hydra-core": ("a `_target_` or a logger in a config runs any command", ["1.3.2", "1.3.5"]),
    "PyYAML": ("CVE-2020-14343: a YAML file runs code", ["5.3.1"]),
}


def asked() -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    requirements = [Requirement(line) for lines in lists for line in lines]
    return {requirement.name: requirement for requirement in requirements}


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return {
        _normal(name): version
        for name, version in (line.split("==") for line in lines if line and not line.startswith("#"))
    }


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("name", BAD)
def test_no_bad_version_is_within_bounds(name: str) -> None:
    reason, versions = BAD[name]
    for version in versions:
        assert not asked()[name].specifier.contains(version, prereleases=True), f"{name} {version}: {reason}"


def test_lightning_itself_is_neither_asked_for_nor_pinned() -> None:
    assert "lightning" not in asked()
    assert "lightning" not in pinned()


def test_every_pin_satisfies_what_is_asked_for() -> None:
    pins = pinned()
    for name, requirement in asked().items():
        if _normal(name) in pins:
            assert requirement.specifier.contains(pins[_normal(name)]), f"{requirement} and {pins[_normal(name)]}"


@pytest.mark.parametrize(
    ("name", "fixed", "reason"),
    [
        ("h11", "0.16.0", "CVE-2025-43859: a request hidden in another"),
        ("jinja2", "3.1.6", "CVE-2025-27516: a template leaves its sandbox"),
        ("pillow", "11.3.0", "CVE-2025-48379: a buffer overrun in writing DDS"),
        ("protobuf", "6.31.1", "CVE-2025-4565: endless recursion"),
        ("werkzeug", "3.0.6", "CVE-2024-49766 and -49767: paths and memory of forms"),
        ("aiohttp", "3.12.14", "CVE-2025-53643: a request hidden in another"),
        ("tqdm", "4.66.3", "CVE-2024-34062: an argument runs code"),
        ("idna", "3.7", "CVE-2024-3651: quadratic time"),
    ],
)
def test_what_comes_with_the_dependencies_is_pinned_behind_its_fix(name: str, fixed: str, reason: str) -> None:
    if name in pinned():
        assert Version(pinned()[name]) >= Version(fixed), reason
