"""Keys of texts, against dictionaries."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.data.keys import Distinct, Index, keys_of, mix
from hr_retrieval.errors import UserError

TEXTS = st.lists(st.sampled_from(["a", "b", "ё", "", "engineer", "инженер"]), max_size=12)


@settings(max_examples=50, deadline=None)
@given(TEXTS)
def test_distinct_numbers_texts_like_a_dictionary(texts: list[str]) -> None:
    number: dict[str, int] = {}
    codes = [number.setdefault(text, len(number)) for text in texts]
    distinct = Distinct.of(keys_of(texts))
    assert distinct.codes.tolist() == codes
    assert distinct.first.tolist() == [texts.index(text) for text in number]


@settings(max_examples=50, deadline=None)
@given(TEXTS, TEXTS)
def test_index_finds_like_a_dictionary(texts: list[str], wanted: list[str]) -> None:
    known = list(dict.fromkeys(texts))
    expected = [known.index(text) if text in known else -1 for text in wanted]
    assert Index(keys_of(known)).rows(keys_of(wanted)).tolist() == expected


@settings(max_examples=50, deadline=None)
@given(TEXTS)
def test_repeated_rows_are_those_seen_before(texts: list[str]) -> None:
    expected = [row for row, text in enumerate(texts) if text in texts[:row]]
    assert Index(keys_of(texts)).repeated().tolist() == expected


def test_a_collision_of_the_first_hash_is_an_error_and_not_a_merge() -> None:
    keys = np.array([[7, 1], [7, 2]], np.uint64)
    with pytest.raises(UserError, match="64-bit"):
        Distinct.of(keys)
    with pytest.raises(UserError, match="64-bit"):
        Index(keys[:1]).rows(keys[1:])


def test_mix_is_a_bijection_that_depends_on_its_salt() -> None:
    numbers = np.arange(1000, dtype=np.uint64)
    assert len(np.unique(mix(numbers, 1))) == 1000
    assert not np.array_equal(mix(numbers, 1), mix(numbers, 2))
    assert numbers.tolist() == list(range(1000))


def test_lone_surrogates_have_keys_which_others_beside_do_not_change() -> None:
    texts = ["a", "\ud800", "b\udfff", "инженер"]
    keys = keys_of(texts)
    assert len(Distinct.of(keys)) == len(texts)
    assert keys[[0, 3]].tolist() == keys_of(["a", "инженер"]).tolist()
    assert keys[1].tolist() == keys_of(["\ud800"])[0].tolist()
