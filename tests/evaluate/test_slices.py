"""Kinds of queries: each query is in one of each kind."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.evaluate.slices import length_names, query_slices


def test_thirds_by_length_are_named_by_their_bounds() -> None:
    names = length_names([1, 2, 3, 4, 5, 6, 7])
    assert names == ["up to 3 characters"] * 3 + ["4 to 5 characters"] * 2 + ["6 to 7 characters"] * 2
    assert length_names([3, 3, 3]) == ["up to 3 characters"] * 3
    assert length_names([9, 3, 3, 3]) == ["4 to 9 characters"] + ["up to 3 characters"] * 3


def test_each_kind_says_what_it_is_made_from() -> None:
    slices = query_slices(
        ["сварщик", "cook", "head of a large kitchen"], ["ru", "Latin", "en"], [True, False, False], [1, 2, 1]
    )
    found = {(kind, name): mask.tolist() for kind, masks in slices.items() for name, mask in masks.items()}
    assert found == {
        ("language", "Latin"): [False, True, False],
        ("language", "en"): [False, False, True],
        ("language", "ru"): [True, False, False],
        ("length", "up to 4 characters"): [False, True, False],
        ("length", "5 to 7 characters"): [True, False, False],
        ("length", "8 to 23 characters"): [False, False, True],
        ("title", "seen in training"): [True, False, False],
        ("title", "unseen"): [False, True, True],
        ("relevant documents", "one"): [True, False, True],
        ("relevant documents", "several"): [False, True, False],
    }
    assert list(slices["length"]) == ["up to 4 characters", "5 to 7 characters", "8 to 23 characters"]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.text(max_size=9), st.sampled_from(["ru", "en"]), st.booleans(), st.integers(1, 3)),
        min_size=1,
        max_size=12,
    )
)
def test_the_names_of_a_kind_divide_the_queries(queries: list[tuple[str, str, bool, int]]) -> None:
    texts, languages, seen, relevant = map(list, zip(*queries, strict=True))
    for masks in query_slices(texts, languages, seen, relevant).values():
        assert (np.sum(list(masks.values()), axis=0) == 1).all()
        assert all(mask.any() for mask in masks.values())
