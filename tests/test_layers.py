"""No import runs upwards, no command imports another one, and the cores know nothing of ours but errors and files."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import hr_retrieval

SOURCE = Path(hr_retrieval.__file__).parent
# From below. What stands in one line is of equal height, and does not import each other.
LAYERS = (
    {"errors"},
    {"files", "text", "markdown", "processes", "program", "extras"},
    {"config", "pages"},
    {"retrieval"},
    {"encoder", "objective"},
    {"data"},
    {"runs"},
    {"sweep", "baselines"},
    {"ranking", "resumes", "privacy"},
    {"store"},
    {
        "prepare",
        "train",
        "evaluate",
        "compare",
        "export",
        "merge",
        "time",
        "index",
        "search",
        "serve",
        "forget",
        "inspect",
    },
    {"__main__"},
)
HEIGHTS = {name: height for height, names in enumerate(LAYERS) for name in names}
COMMANDS = LAYERS[-2]
# What these may import at most, themselves aside.
NARROW = {
    "errors": set[str](),
    "retrieval": {"errors", "files"},
    "objective": {"errors", "files"},
    "encoder": {"errors", "files", "retrieval.grid", "retrieval.mixing"},
}
FILES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def part_of(path: Path) -> str:
    """The folder or file right below the package that a file belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Modules of ours that a file imports anywhere, within functions and for types too, relative to the package."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            # `from hr_retrieval.train import resolvers` imports a module, and `from hr_retrieval
            # import x` another part.
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.startswith("hr_retrieval."):
                yield name.removeprefix("hr_retrieval.")


@pytest.mark.parametrize("part", sorted({part_of(path) for path in FILES}))
def test_no_import_runs_upwards(part: str) -> None:
    wrong = []
    for path in FILES:
        own = part_of(path)
        # A command's own command line may call another one's.
        if own != part or (path.name == "__main__.py" and own in COMMANDS):
            continue
        for name in imports(path):
            other = name.split(".")[0]
            if other != own and HEIGHTS[other] >= HEIGHTS[own]:
                wrong.append(f"{path.relative_to(SOURCE)} imports {name}")
            allowed = NARROW.get(own)
            if allowed is not None and other != own and not any(f"{name}.".startswith(f"{top}.") for top in allowed):
                wrong.append(f"{path.relative_to(SOURCE)} imports {name}: {own} may import {sorted(allowed)}")
    assert wrong == []


def test_every_part_that_is_imported_has_its_layer() -> None:
    assert {part_of(path) for path in FILES} <= set(HEIGHTS)
