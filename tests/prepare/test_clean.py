"""Texts of cells."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.prepare.clean import bracketed, clean


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        (" a \n\t b ", "a b"),
        ("a\x00b", "ab"),
        ("a \x07 b", "a b"),
        ("﻿a\u00a0b\u200b", "a b"),
        ("bad\ud800", "bad"),
        ("\r\n", ""),
    ],
)
def test_clean(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_clean_is_idempotent_writable_and_single_spaced(text: str) -> None:
    cleaned = clean(text)
    assert clean(cleaned) == cleaned
    assert cleaned.encode().decode() == cleaned
    assert cleaned == " ".join(cleaned.split(" "))
    assert "  " not in cleaned


@pytest.mark.parametrize(
    ("cell", "elements"),
    [
        ('["a", null]', ["a", None]),
        ("['a' \"b\" nan]", ["a", "b", None]),
        ("('\\x41',)", ["A"]),
        # An escape without its digits, and what no literal of Python may hold: texts, and no lists.
        ("['\\x', 'b']", None),
        ("['a\0b']", None),
        ("[a]", None),
        ('{"a": 1}', None),
    ],
)
def test_lists_in_cells(cell: str, elements: list[str | None] | None) -> None:
    assert bracketed(cell) == elements
