"""Texts that are the same, and scripts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.text import normalise, script


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Инженёр-программист", "инженер   программист"),
        ("ＳＡＰ consultant", "sap consultant"),
        ("Straße", "STRASSE"),
        ("node.js", "Node JS"),
        ("snake_case", "snake case"),
        ("(Java)", "java"),
    ],
)
def test_the_same_when_normalised(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("C++", "C#"), ("C", "C++"), ("мир", "мира"), ("की", "के"), ("کِتاب", "کُتاب"), ("กิน", "กัน"), ("รู้", "รู")],
)
def test_not_the_same_when_normalised(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("हिन्दी भाषा", "हिन्दी भाषा"),
        ("love ❤️ it", "love it"),
        ("\u0301a", "a"),
        ("и\u0306од", "йод"),
        ("a -\u0301 b", "a b"),
    ],
)
def test_marks_stay_with_their_letter(text: str, key: str) -> None:
    assert normalise(text) == key


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_normalise_is_idempotent(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Сварщик", "Cyrillic"),
        ("Программист C++", "Cyrillic"),
        ("Программист Python", "mixed"),
        ("Präsidentin", "Latin"),
        ("senior welder б", "Latin"),
        ("2 + 2", "other"),
        ("溶接工", "other"),
    ],
)
def test_the_script_that_holds_most_letters_names_the_language(text: str, expected: str) -> None:
    assert script(text) == expected
