"""The documents are for a reader: narrow tables, short cells and paragraphs, links that lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

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
