"""Views of texts by leaving tokens out."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from hr_retrieval.encoder.ragged import Ragged
from hr_retrieval.train.view import view

TEXTS = st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=9), min_size=1, max_size=5)


def lists(tokens: Ragged) -> list[list[int]]:
    return [part.tolist() for part in tokens.ids.tensor_split(tokens.offsets[1:-1])]


@given(TEXTS, st.integers(0, 3), st.integers(0, 3))
def test_ends_stay_the_rest_is_in_order_and_does_not_depend_on_what_else_is_there(
    texts: list[list[int]], seed: int, step: int
) -> None:
    rows = torch.arange(10, 10 + len(texts))
    seen = lists(view(Ragged.from_lists(texts), rows, 0.5, seed, step))
    for row, text, kept in zip(rows, texts, seen, strict=True):
        assert (kept[0], kept[-1]) == (text[0], text[-1])
        rest = iter(text)
        assert all(token in rest for token in kept)
        assert kept == lists(view(Ragged.from_lists([text]), row[None], 0.5, seed, step))[0]


def test_tokens_are_left_out_as_often_as_said_and_otherwise_at_another_step() -> None:
    tokens, rows = Ragged.from_lists([list(range(102))] * 200), torch.arange(200)
    first, again, later = (view(tokens, rows, 0.2, 1, step) for step in (5, 5, 6))
    assert torch.equal(first.ids, again.ids)
    assert lists(first) != lists(later)
    lost = 1 - (len(first.ids) - 400) / (200 * 100)
    # Four standard deviations of 20,000 draws.
    assert abs(lost - 0.2) < 0.0114
    assert lists(first)[0] != lists(first)[1]
