"""Rows: what they say, and why they cannot be used."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hr_retrieval.prepare.columns import PLACEHOLDERS, Columns
from hr_retrieval.prepare.record import Record, read_record
from hr_retrieval.privacy.masker import Masker


def read(row: dict[str, Any], **columns: Any) -> Record | str:
    return read_record(row, Columns(**({"anchor": "a", "positive": "p"} | columns)), Masker())


def test_a_pair() -> None:
    assert read({"a": " x ", "p": "y"}) == Record(["x"], ["y"], [], None, None, None, None, None)


@pytest.mark.parametrize("value", [None, math.nan, pd.NA, pd.NaT, [], [None]])
def test_missing_texts_say_so(value: Any) -> None:
    assert read({"a": value, "p": "y"}) == "a: missing"
    assert read({"a": "x", "p": value}) == "p: missing"


@pytest.mark.parametrize(
    ("value", "reason"), [("", "empty"), (" \n", "empty"), ("---", "no letter or digit"), (7, "not a text")]
)
def test_unusable_texts_say_why(value: Any, reason: str) -> None:
    assert read({"a": value, "p": "y"}) == f"a: {reason}"
    assert read({"a": "x", "p": value}) == f"p: {reason}"


def test_lists_and_several_columns_are_the_same() -> None:
    record = read(
        {"a": ["x", "x2", "x"], "p": "y", "p2": np.array(["z", ""], object), "n": None, "n2": ["k"]},
        positive=["p", "p2"],
        negative=["n", "n2"],
    )
    assert isinstance(record, Record)
    assert (record.anchors, record.positives, record.negatives) == (["x", "x2"], ["y", "z"], ["k"])
    # The empty text in a list is counted; a column without a value is not.
    assert record.skipped == ["p2: empty"]


def test_the_texts_of_a_joined_column_are_one_text() -> None:
    row = {"a": "x", "p": ["weld", "", " bend ", "weld"], "q": ["y", "z"]}
    record = read(row, positive=["p", "q"], joined="p")
    assert isinstance(record, Record)
    assert record.positives == ["weld; bend", "y", "z"]
    assert record.skipped == ["p: empty"]
    assert read({"a": "x", "p": []}, joined=["p"]) == "p: missing"


def test_a_row_of_negatives_alone_is_kept_and_documents_need_no_anchor() -> None:
    assert isinstance(read({"a": "x", "p": None, "n": "k"}, negative="n"), Record)
    assert isinstance(read_record({"a": None, "p": "y"}, Columns("a", "p"), Masker(), corpus_only=True), Record)


@pytest.mark.parametrize(("value", "name"), [(7, "7"), (7.0, "7"), (" k ", "k"), (7.5, "7.5")])
def test_ids_and_groups_may_be_numbers(value: Any, name: str) -> None:
    record = read({"a": "x", "p": "y", "g": value}, group="g", anchor_id="g", positive_id="g")
    assert isinstance(record, Record)
    assert (record.group, record.anchor_id, record.positive_id) == (name, name, name)


@pytest.mark.parametrize("column", ["group", "anchor_id", "positive_id"])
def test_a_stated_id_or_group_must_be_there(column: str) -> None:
    assert read({"a": "x", "p": "y", "g": None}, **{column: "g"}) == "g: missing or empty"


@pytest.mark.parametrize(("value", "split"), [("train", 0), ("Dev", 1), ("val", 1), (" test ", 2)])
def test_split_names(value: str, split: int) -> None:
    record = read({"a": "x", "p": "y", "s": value}, split="s")
    assert isinstance(record, Record)
    assert record.split == split


@pytest.mark.parametrize("value", ["other", None, 1])
def test_unknown_splits_are_rejected(value: Any) -> None:
    assert read({"a": "x", "p": "y", "s": value}, split="s") == "s: not train, validation or test"


@pytest.mark.parametrize("value", [*PLACEHOLDERS, "N/A", " NULL ", "NaN", "None", r"\N", "#N/A", "#Н/Д"])
@pytest.mark.parametrize("key", ["anchor", "positive", "negative", "group", "anchor_id", "positive_id"])
def test_placeholders_say_nothing(value: str, key: str) -> None:
    columns = {"negative": "n", "group": "g", "anchor_id": "i", "positive_id": "j"}
    row = {"a": "x", "p": "y", "n": "z", "g": "1", "i": "2", "j": "3"}
    assert isinstance(read(row, **columns), Record)
    name = {"anchor": "a", "positive": "p"}.get(key) or columns[key]
    result = read(row | {name: value} | ({"n": None} if key == "positive" else {}), **columns)
    if key == "negative":
        assert isinstance(result, Record)
        assert (result.negatives, len(result.skipped)) == ([], 1)
    elif key in ("anchor", "positive"):
        assert (
            result
            == f"{name}: the placeholder {next(text for text in PLACEHOLDERS if text.casefold() == value.strip().casefold())}"
        )
    else:
        assert result == f"{name}: missing or empty"


def test_the_placeholders_are_an_option() -> None:
    assert isinstance(read({"a": "None", "p": "nan"}, missing=[]), Record)
    assert read({"a": "see above", "p": "y"}, missing=["See above"]) == "a: the placeholder See above"
    assert read({"a": "see above", "p": "y"}, missing="see above") == "a: the placeholder see above"
    assert read({"a": ["x", "n/a"], "p": "y"}) == Record(
        ["x"], ["y"], [], None, None, None, None, None, skipped=["a: the placeholder n/a"]
    )


@pytest.mark.parametrize(
    ("cell", "separator", "texts"),
    [
        ("one\ntwo\r\n three\n", "lines", ["one", "two", "three"]),
        ("one; two;;three;", ";", ["one", "two", "three"]),
        ("C++, SQL", ",", ["C++", "SQL"]),
        ("one and two", ";", ["one and two"]),
        ("['one', \"it's\"]", "lines", ["one", "it's"]),
        ('["one", "a\\/b", null]', ";", ["one", "a/b"]),
        ("['one' 'two'\n 'three four']", ",", ["one", "two", "three four"]),
        ("('one', None, nan)", ",", ["one"]),
        (r"['a\\b', 'c\d']", ",", ["a\\b", r"c\d"]),
        ("[Senior] cook; baker", ";", ["[Senior] cook", "baker"]),
        (["one; two"], ";", ["one; two"]),
    ],
)
def test_lists_within_a_cell(cell: Any, separator: str, texts: list[str]) -> None:
    record = read({"a": cell, "p": "y; z"}, lists="a", separator=separator)
    assert isinstance(record, Record)
    assert (record.anchors, record.positives) == (texts, ["y; z"])


@pytest.mark.parametrize("cell", ["", "[]", "\n", ";"])
def test_a_list_of_nothing_is_a_missing_value(cell: str) -> None:
    assert read({"a": cell, "p": "y"}, lists="a", separator=";" if cell == ";" else "lines") == "a: missing"


def test_each_column_may_have_its_own_separator() -> None:
    record = read({"a": "x|z", "p": "1\n2", "n": "3|4"}, negative="n", lists=["a", "p"], separator=["|", "lines"])
    assert isinstance(record, Record)
    assert (record.anchors, record.positives, record.negatives) == (["x", "z"], ["1", "2"], ["3|4"])


@pytest.mark.parametrize(
    ("columns", "groups"),
    [
        ({}, (None, None)),
        ({"group": "g"}, ("1", "1")),
        ({"related": "r"}, (None, "r: 25")),
        ({"group": "g", "related": "r"}, ("1", "r: 25")),
        ({"group": "g", "related": "none"}, ("1", None)),
    ],
)
def test_what_documents_are_related_by_is_no_group_of_a_query(
    columns: dict[str, str], groups: tuple[str | None, str | None]
) -> None:
    record = read({"a": "x", "p": "y", "g": 1, "r": 25, "none": None}, **columns)
    assert isinstance(record, Record)
    assert (record.group, record.document_group) == groups


def test_a_text_is_masked_before_its_lines_become_one() -> None:
    found = read({"a": "cook", "p": "Мария Иванова\nmaria@mail.ru\nПовар 5 разряда"})
    assert isinstance(found, Record)
    assert found.positives == ["[name] [e-mail] Повар 5 разряда"]
    assert found.masked == {"name": 1, "e-mail": 1}


def test_what_is_nothing_but_personal_and_an_address_as_an_id_are_faults() -> None:
    assert read({"a": "[x] 1", "p": "+7 912 345-67-89"}) == "p: personal data alone"
    row = {"a": "x", "p": "y", "i": "anna@mail.ru"}
    assert read(row, anchor_id="i") == "i: an e-mail address, which is no id to keep"
