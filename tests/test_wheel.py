"""The wheel carries the configs, and works where there is no checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # hatchling builds without an environment of its own when asked directly, so that this needs no
    # network.
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_package_and_configs_and_no_data(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {"hr_retrieval/train/__main__.py", "hr_retrieval/py.typed", "hr_retrieval/configs/train.yaml"} <= set(names)
    assert "hr_retrieval/configs/model/mixing/anchor.yaml" in names
    assert {"hr_retrieval/counterfactuals/en/gender.csv", "hr_retrieval/counterfactuals/ru/age.csv"} <= set(names)
    assert not [name for name in names if name.endswith((".parquet", ".safetensors", ".ckpt"))]


def test_an_unpacked_wheel_composes_its_own_configs(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    program = "import sys; sys.path.insert(0, sys.argv.pop(1)); import runpy; runpy.run_module('hr_retrieval.train', run_name='__main__')"
    result = subprocess.run(
        [sys.executable, "-c", program, str(site), "--cfg", "job", "model=mpnet"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "name_or_path: sentence-transformers/paraphrase-multilingual-mpnet-base-v2" in result.stdout
