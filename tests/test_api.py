"""What a user imports by name, and what is imported before it is asked for."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hr_retrieval
import hr_retrieval.evaluate
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.errors import UserError
from hr_retrieval.evaluate.evaluation import evaluate

SLOW = "{'torch', 'transformers', 'sentence_transformers', 'pytorch_lightning', 'pandas', 'pyarrow'}"


def test_public_names_lead_to_their_classes() -> None:
    for name in hr_retrieval.__all__:
        assert getattr(hr_retrieval, name).__name__ == name
    assert hr_retrieval.Encoder is Encoder
    assert hr_retrieval.UserError is UserError
    assert set(hr_retrieval.__all__) <= set(dir(hr_retrieval))
    with pytest.raises(AttributeError, match="no attribute 'Encode'"):
        hr_retrieval.Encode  # noqa: B018


def test_the_package_of_a_command_names_the_function_behind_it() -> None:
    assert hr_retrieval.evaluate.evaluate is evaluate
    with pytest.raises(AttributeError, match="no attribute 'evaluat'"):
        hr_retrieval.evaluate.evaluat  # noqa: B018


def imported(module: str, seen: set[str]) -> Iterator[str]:
    """The packages that a module of ours imports before anything in it is called, and each module behind it."""
    path = Path(hr_retrieval.__file__).parent.joinpath(*module.split(".")[1:])
    file = next((own for own in (path.with_suffix(".py"), path / "__init__.py") if own.is_file()), None)
    if file is None or module in seen:
        return
    seen.add(module)
    statements = ast.parse(file.read_text(encoding="utf-8")).body
    named = [node for node in statements if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [f"{node.module}." if isinstance(node, ast.ImportFrom) else "" for node in named]
    for name in (f"{first}{alias.name}" for node, first in zip(named, names, strict=True) for alias in node.names):
        if not name.startswith("hr_retrieval."):
            yield name.partition(".")[0]
            continue
        parts = name.split(".")
        for count in range(2, len(parts) + 1):
            yield from imported(".".join(parts[:count]), seen)


# What takes a second or more to import, and is needed where there is much to compute or to write.
NOT_AT_A_START = {"lancedb", "pytorch_lightning", "sklearn", "pandas", "torchmetrics", "plotly", "onnxruntime"}


@pytest.mark.parametrize(
    ("module", "not_yet"),
    [
        ("hr_retrieval.serve.service", NOT_AT_A_START | {"transformers", "sentence_transformers"}),
        ("hr_retrieval.store.searcher", NOT_AT_A_START | {"transformers", "sentence_transformers"}),
        ("hr_retrieval.runs.directory", NOT_AT_A_START),
    ],
)
def test_the_start_of_a_search_imports_nothing_that_it_may_not_need(module: str, not_yet: set[str]) -> None:
    found = set(imported(module, set()))
    assert {"pyarrow", "torch"} <= found
    assert found & not_yet == set()


def printed(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_an_import_of_the_package_imports_nothing_slow() -> None:
    program = f"import sys, hr_retrieval, hr_retrieval.evaluate; print({SLOW} & set(sys.modules))"
    assert printed(program) == "set()\n"


@pytest.mark.parametrize(
    "verb",
    sorted(path.parent.name for path in Path(hr_retrieval.__file__).parent.glob("*/__main__.py")),
)
def test_the_help_of_a_command_imports_nothing_slow(verb: str) -> None:
    program = f"""
import atexit, runpy, sys
atexit.register(lambda: print("imported", {SLOW} & set(sys.modules)))
sys.argv[1:] = ["--help"]
runpy.run_module("hr_retrieval.{verb}", run_name="__main__")
"""
    said = printed(program)
    assert f"hr_retrieval.{verb}" in said
    assert said.endswith("imported set()\n")
