"""The documents are for a reader: narrow tables, short paragraphs, links that lead somewhere, true commands."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from hr_retrieval.config.overrides import quoted
from hr_retrieval.config.sources import composable
from hr_retrieval.config.startup import check_startup

ROOT = Path(__file__).parents[1]
# The record of decisions is no page to be read through.
RECORDS = ("decisions.md",)
PAGES = [
    ROOT / "README.md", ROOT / "README.ru.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "data" / "README.md",
    *sorted(path for path in (ROOT / "docs").glob("*.md") if path.name not in RECORDS),
]  # fmt: skip


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """The lines outside of code, with their numbers."""
    code = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            code = not code
        elif not code:
            yield number, line


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_tables_are_narrow(path: Path) -> None:
    for number, line in prose(path):
        if line.startswith("|"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            assert len(cells) <= 6, number
            assert max(map(len, cells)) <= 120, number


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_paragraphs_are_short(path: Path) -> None:
    length = 0
    for number, line in prose(path):
        if not line.strip() or line.startswith(("#", "|", "    ")):
            length = 0
        elif re.match(r"([*-]|\d+\.) ", line):
            length = 1
        else:
            length += 1
        assert length <= 6, number


@pytest.mark.parametrize("path", [*PAGES, ROOT / "docs" / "decisions.md"], ids=lambda path: path.name)
def test_links_lead_to_files(path: Path) -> None:
    found = [link for _, line in prose(path) for link in re.findall(r"\]\(([^)#]+)[^)]*\)", line)]
    missing = [link for link in found if "://" not in link and not (path.parent / link).exists()]
    assert missing == []


def test_the_index_leads_to_every_document() -> None:
    text = (ROOT / "docs" / "index.md").read_text()
    assert [
        path.name for path in (ROOT / "docs").glob("*.md") if path.name != "index.md" and path.name not in text
    ] == []


def commands(path: Path) -> Iterator[str]:
    """The command lines in a document's code, whole, with something in the place of `<what the reader puts in>`."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    variables = dict(re.findall(r'^(\w+)="([^"]*)"$', text, re.M))
    for line in text.splitlines():
        found = re.match(
            r"\s*(?:torchrun [-\w=]+ -m |python -m |\.venv/bin/|)(hr_retrieval\.|hr-retrieval |benchmarks\.)(\S+.*)",
            line,
        )
        if found and "`" not in line:
            line = re.sub(r"<[^<>]*>", "1", found[1] + found[2])
            yield re.sub(r"\$(\w+)", lambda name: variables.get(name[1], "1"), line)


LINES = [
    pytest.param(line, id=f"{path.name}: {line[:80]}")
    for path in (*PAGES, ROOT / "examples" / "README.md")
    for line in dict.fromkeys(commands(path))
]


def test_the_documents_have_commands() -> None:
    assert len(LINES) > 100


@pytest.mark.parametrize("line", LINES)
def test_a_command_is_one_that_the_program_takes(line: str) -> None:
    """Its options are composed as Hydra will: a key or an option that there is not is an error."""
    program, *arguments = shlex.split(line, comments=True)
    if program.startswith("benchmarks."):
        source = (ROOT / "benchmarks" / program.split(".", 1)[1].replace(".", "/")).with_suffix(".py")
        source = source if source.is_file() else source.with_suffix("") / "__main__.py"
        named = {word.partition("=")[0] for word in arguments if word.startswith("--")}
        assert {option for option in named if f'"{option}"' not in source.read_text()} == set()
        return
    verb = arguments.pop(0) if program == "hr-retrieval" else program.split(".", 1)[1]
    # Launchers are packages of their own.
    words = [word for word in arguments if word != "..." and not re.match(r"\+?hydra[./]launcher\b(?!=joblib)", word)]
    if "--help" not in words:
        check_startup(verb, composable([quoted(word) for word in words]))
