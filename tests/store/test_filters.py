"""Conditions mean the same in memory and on disk, whatever stands in them."""

from typing import Any

import pyarrow as pa
import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.store.filters import Condition, conditions, expression, sql

COLUMNS = {"city": "text", "pay ` x": "number", "remote": "yes/no"}


def test_what_is_asked_is_read_by_the_kind_of_the_column() -> None:
    asked = {"city": ["Тверь", 7], "pay ` x": {"from": 1}, "remote": "true"}
    assert conditions(asked, COLUMNS) == (
        Condition("city", ("Тверь", "7")),
        Condition("pay ` x", (), 1.0, None),
        Condition("remote", (True,)),
    )
    assert conditions(None, COLUMNS) == ()


def test_no_text_ends_a_condition_early() -> None:
    wanted = conditions({"city": "O'Fallon' OR 1=1 --", "pay ` x": {"from": 1, "to": 2.5}, "remote": False}, COLUMNS)
    assert sql(wanted) == (
        "`city` IN ('O''Fallon'' OR 1=1 --') AND `pay `` x` >= 1.0 AND `pay `` x` <= 2.5 AND `remote` IN (false)"
    )
    assert sql(()) is None


def test_a_table_in_memory_is_filtered_alike() -> None:
    table = pa.table(
        {"city": ["a", "b", None, "a"], "pay ` x": [1.0, 2.0, 3.0, None], "remote": [True, False, None, True]}
    )
    for asked, rows in (
        ({"city": "a"}, [0, 3]),
        ({"city": ["a", "b"]}, [0, 1, 3]),
        ({"pay ` x": {"from": 2}}, [1, 2]),
        ({"pay ` x": {"to": 2}, "city": "b"}, [1]),
        ({"remote": True}, [0, 3]),
    ):
        numbered = table.append_column("#", pa.array(range(4)))
        assert numbered.filter(expression(conditions(asked, COLUMNS)))["#"].to_pylist() == rows


@pytest.mark.parametrize(
    "asked",
    [{"town": "x"}, {"city": []}, {"city": {"from": 1}}, {"city": None}, {"remote": "maybe"}, {"pay ` x": "x"}, {"pay ` x": True},
     {"pay ` x": {"above": 1}}, {"pay ` x": {}}, {"pay ` x": float("nan")}, {"city": [[]]}],
)  # fmt: skip
def test_what_does_not_fit_is_told(asked: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        conditions(asked, COLUMNS)
