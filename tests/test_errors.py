"""What an error of a library says."""

import pytest

from hr_retrieval.errors import said


@pytest.mark.parametrize(
    ("message", "line"),
    [("no such file.", "no such file"), ("\n  first\nsecond", "first"), ("", "ValueError"), (" \n", "ValueError"), ("a" * 999, "a" * 300)],
)  # fmt: skip
def test_the_first_line_is_said_and_an_error_without_one_by_its_class(message: str, line: str) -> None:
    assert said(ValueError(message)) == line
