"""Ragged against plain lists."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.encoder.ragged import Ragged

sequences = st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=5), min_size=1, max_size=6)


def as_lists(ragged: Ragged) -> list[list[int]]:
    return [ragged.ids[begin:end].tolist() for begin, end in zip(ragged.offsets, ragged.offsets[1:], strict=False)]


@settings(max_examples=40, deadline=None)
@given(sequences, sequences, st.data())
def test_take_and_concatenate_match_lists(first: list[list[int]], second: list[list[int]], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(first) - 1), max_size=8))
    ragged = Ragged.from_lists(first)
    assert as_lists(ragged) == first
    assert ragged.lengths.tolist() == [len(sequence) for sequence in first]
    assert as_lists(ragged.take(torch.tensor(rows, dtype=torch.long))) == [first[row] for row in rows]
    assert as_lists(ragged.concatenate(Ragged.from_lists(second))) == first + second


@settings(max_examples=20, deadline=None)
@given(sequences, sequences, st.data())
def test_each_sequence_takes_its_kind_along(
    first: list[list[int]], second: list[list[int]], data: st.DataObject
) -> None:
    both = Ragged.from_lists(first).of("query").concatenate(Ragged.from_lists(second).of("document"))
    rows = data.draw(st.lists(st.integers(0, len(both) - 1), max_size=8))
    taken = both.take(torch.tensor(rows, dtype=torch.long)).to("cpu").queries
    assert taken is not None
    assert taken.tolist() == [row < len(first) for row in rows]
    assert both.concatenate(Ragged.from_lists(first)).queries is None
