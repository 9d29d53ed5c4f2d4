"""What an error of a library says, and what a message shows."""

import pytest

from hr_retrieval.errors import UserError, said


@pytest.mark.parametrize(
    ("message", "line"),
    [("no such file.", "no such file"), ("\n  first\nsecond", "first"), ("", "ValueError"), (" \n", "ValueError"), ("a" * 999, "a" * 300)],
)  # fmt: skip
def test_the_first_line_is_said_and_an_error_without_one_by_its_class(message: str, line: str) -> None:
    assert said(ValueError(message)) == line


def test_a_message_shows_no_endless_text_and_no_sign_that_steers_a_terminal() -> None:
    text = str(UserError("a file", "x" * 10**6 + "\x1b[2J\u202e\ud800 повар 👩\u200d🍳", "Look at it."))
    assert len(text) < 1100
    assert text.startswith("Expected a file; got xxx")
    assert text.endswith("x\\x1b[2J\\u202e\\ud800 повар 👩\u200d🍳. Look at it.")
