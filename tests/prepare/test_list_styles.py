"""Cells that look like lists."""

import pytest

from hr_retrieval.prepare.list_styles import list_style


@pytest.mark.parametrize(
    ("cell", "style"),
    [
        ("['one', 'two']", "brackets"),
        ('["one"]', "brackets"),
        ("accountant\nsenior accountant", "lines"),
        ("Java | SQL", "|"),
        ("Java; SQL; teamwork", ";"),
        ("Java, C++, SQL", ","),
        ("Engineer, senior", None),
        ("A cook, who bakes, and sells.", None),
        ("First we cook.\nThen we eat.", None),
        ("[Senior] cook", None),
        ("cook", None),
        ("", None),
    ],
)
def test_how_lists_look(cell: str, style: str | None) -> None:
    assert list_style(cell) == style
