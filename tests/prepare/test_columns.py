"""Names of columns."""

from typing import Any

import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.columns import Columns


def test_column_names_once_each() -> None:
    columns = Columns("a", ["p", "q"], ["q", "n"], group="g", anchor_id="a", positive_id="i", split="s")
    assert columns.names() == ["a", "p", "q", "n", "g", "i", "s"]


def test_names_that_look_like_numbers_are_names() -> None:
    columns = Columns(0, [1, 1.0], group=2)
    assert columns.names() == ["0", "1", "1.0", "2"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"anchor": None}, "a column for data.columns.anchor"),
        ({"positive": []}, "a column for data.columns.positive"),
        ({"group": True}, "in quotes"),
        ({"anchor": ["a", {"b": 1}]}, "to name columns"),
        ({"lists": ["b"]}, "'b'"),
        ({"joined": ["b"]}, "data.columns.joined to name columns of texts; got 'b'"),
        ({"lists": ["a", "p"], "separator": [";", ",", "|"]}, "one for each"),
        ({"lists": ["a"], "separator": ""}, "separator"),
    ],
)
def test_columns_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Columns(**{"anchor": "a", "positive": "p"} | options)
