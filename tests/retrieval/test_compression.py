"""Ranks of shortened and rounded documents against loops over numbers and bits."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.compression import FORMS, Size, compressed_ranks, rounded, sizes
from hr_retrieval.retrieval.ranking import exact_ranks
from hr_retrieval.retrieval.relevance import Relevance

RELEVANCE = Relevance.from_lists([[0, 7], [3], [], [11, 12, 30]])


def unit(count: int, dimensions: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed)), dim=1)


def in_bytes(vector: list[float]) -> list[float]:
    largest = max(map(abs, vector))
    return [round(127 * value / largest) * largest / 127 for value in vector]


def compared(query: list[float], document: list[float], size: Size) -> tuple[int, float]:
    """How many signs agree, and the cosine of what is kept."""
    query, document = (
        [value / math.hypot(*side[: size.dimensions]) for value in side[: size.dimensions]]
        for side in (query, document)
    )
    agreeing = sum((x >= 0) == (y >= 0) for x, y in zip(query, document, strict=True))
    kept = document if size.form == "float32" else in_bytes(document)
    return agreeing, sum(x * y for x, y in zip(query, kept, strict=True))


def twin(queries: torch.Tensor, documents: torch.Tensor, size: Size) -> list[int]:
    ranks = []
    for number, query in enumerate(queries.tolist()):
        signs, cosines = zip(*(compared(query, document, size) for document in documents.tolist()), strict=True)
        first = cosines if size.form in ("float32", "int8") else signs
        order = sorted(range(len(documents)), key=lambda row: (-first[row], row))
        if size.form == "binary, rescored":
            best = sorted(sorted(order[: size.rescored]), key=lambda row: -cosines[row])
            order = best + order[size.rescored :]
        offsets = RELEVANCE.offsets.tolist()
        ranks += [order.index(row) + 1 for row in RELEVANCE.documents[offsets[number] : offsets[number + 1]].tolist()]
    return ranks


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dimensions", [24, 9])
@pytest.mark.parametrize("rescored", [5, 1000])
def test_ranks_are_those_of_a_loop(form: str, dimensions: int, rescored: int) -> None:
    queries, documents, size = unit(4, 24, 0), unit(40, 24, 1), Size(dimensions, form, rescored)
    assert compressed_ranks(queries, documents, RELEVANCE, size).tolist() == twin(queries, documents, size)


def test_whole_vectors_in_float32_are_ranked_as_they_are() -> None:
    queries, documents = unit(4, 24, 0), unit(40, 24, 1)
    found = compressed_ranks(queries, documents, RELEVANCE, Size(24, "float32"))
    assert torch.equal(found, exact_ranks(queries, documents, RELEVANCE))


def test_all_rescored_is_a_search_in_8_bits() -> None:
    queries, documents = unit(4, 24, 0), unit(40, 24, 1)
    ranks = [compressed_ranks(queries, documents, RELEVANCE, Size(24, form)) for form in ("int8", "binary, rescored")]
    assert torch.equal(*ranks)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.integers(1, 70), st.integers(0, 99))
def test_8_bits_are_off_by_half_a_step_at_most_and_keep_signs(count: int, dimensions: int, seed: int) -> None:
    vectors = unit(count, dimensions, seed)
    kept = rounded(vectors)
    assert bool(((kept - vectors).abs() <= vectors.abs().amax(1, keepdim=True) / 254 + 1e-7).all())
    assert bool((kept * vectors >= 0).all())
    torch.testing.assert_close(rounded(kept), kept)


def test_a_vector_of_zeros_stays_one() -> None:
    assert rounded(torch.zeros(2, 3)).count_nonzero() == 0


def test_bytes_of_each_form() -> None:
    found = {(one.dimensions, one.form): (one.searched_bytes, one.further_bytes) for one in sizes(20, [9, 20], 100)}
    assert found == {
        (20, "float32"): (80, 0), (20, "int8"): (24, 0), (20, "binary"): (3, 0), (20, "binary, rescored"): (3, 24),
        (9, "float32"): (36, 0), (9, "int8"): (13, 0), (9, "binary"): (2, 0), (9, "binary, rescored"): (2, 13),
    }  # fmt: skip
    assert [one.form for one in sizes(20, [], 7)] == list(FORMS)
    assert {one.rescored for one in sizes(20, [], 7)} == {7}


def test_bad_input_is_refused() -> None:
    with pytest.raises(UserError, match=r"dimensions from 1 to 20, the encoder's own; got \[21\]"):
        list(sizes(20, [21], 100))
    with pytest.raises(UserError, match="rescored of at least 1; got 0"):
        list(sizes(20, [], 0))
