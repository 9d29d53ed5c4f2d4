"""Losses at several dimensions against loops over triplets of cut vectors, value and gradient."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.errors import UserError
from hr_retrieval.objective.matryoshka import Matryoshka, first
from hr_retrieval.objective.mixing import Mixed, Neighbours
from hr_retrieval.objective.triplet import TripletLoss

HINGE = TripletLoss("hinge", 0.4, reduction="all")


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return F.normalize(values, dim=-1)


def batch(anchors: torch.Tensor, documents: torch.Tensor, synthetic: torch.Tensor) -> Mixed:
    """Each anchor's own document is relevant, its neighbour's counts for nothing, one synthetic place is empty."""
    labels = torch.eye(len(anchors), len(documents), dtype=torch.float64)
    labels[0, 1] = -1
    own = torch.zeros(synthetic.shape[:2], dtype=torch.float64)
    own[0, :1], own[1, :1] = 1, -1
    return Mixed(anchors, documents, labels, synthetic, own, {})


def past(anchors: int) -> Neighbours:
    generator = torch.Generator().manual_seed(7)
    negative = torch.rand(anchors, 4, generator=generator) < 0.5
    return Neighbours(unit(4, 8, seed=3), ~negative, negative, torch.arange(4))


def cosine(one: torch.Tensor, other: torch.Tensor, k: int) -> torch.Tensor:
    """Of the first `k` numbers, by loops; whole vectors have unit length as they come."""
    if k == len(one):
        return one @ other
    product, lengths = torch.zeros(()), [torch.zeros(()), torch.zeros(())]
    for place in range(k):
        product = product + one[place] * other[place]
        lengths = [length + vector[place] ** 2 for length, vector in zip(lengths, (one, other), strict=True)]
    return product / (lengths[0] * lengths[1]).sqrt()


def twin(mixed: Mixed, beyond: Neighbours | None, dimensions: list[int], weights: list[float]) -> torch.Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for k, weight in zip(dimensions, weights, strict=True):
        hinges = []
        for i, anchor in enumerate(mixed.anchors):
            scored = [(cosine(anchor, one, k), float(mixed.relevance[i, j])) for j, one in enumerate(mixed.documents)]
            scored += [
                (cosine(anchor, one, k), float(mixed.synthetic_relevance[i, j]))
                for j, one in enumerate(mixed.synthetic[i])
            ]
            if beyond is not None:
                scored += [
                    (cosine(anchor, one, k), 0.0)
                    for one, negative in zip(beyond.embeddings, beyond.negative[i], strict=True)
                    if negative
                ]
            hinges += [
                torch.relu(0.4 - positive + negative)
                for positive, label in scored
                if label == 1
                for negative, other in scored
                if other == 0
            ]
        total = total + weight * torch.stack(hinges).mean()
    return total / math.fsum(weights)


@pytest.mark.parametrize("beyond", [None, past(3)])
@pytest.mark.parametrize("weights", [None, [0.5, 2.0]])
def test_value_and_gradient_match_loops(beyond: Neighbours | None, weights: list[float] | None) -> None:
    found, expected = (
        [one.requires_grad_() for one in (unit(3, 8), unit(5, 8, seed=1), unit(3, 2, 8, seed=2))] for _ in "ab"
    )
    loss = Matryoshka([5, 2], weights)(HINGE, batch(*found), beyond).loss
    by_hand = twin(batch(*expected), beyond, [8, 5, 2], [1.0, *(weights or [1.0, 1.0])])
    torch.testing.assert_close(loss, by_hand)
    loss.backward()
    by_hand.backward()
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("loss", [HINGE, TripletLoss()])
def test_without_dimensions_it_is_the_loss_alone(loss: TripletLoss) -> None:
    mixed = batch(unit(3, 8), unit(5, 8, seed=1), unit(3, 0, 8))
    scores = mixed.anchors @ mixed.documents.T
    for none in (Matryoshka(), Matryoshka([])):
        result = none(loss, mixed)
        torch.testing.assert_close(result.loss, loss(scores, mixed.relevance).loss)
        assert not [name for name in result.diagnostics if name.startswith("at_")]


@settings(max_examples=25, deadline=None)
@given(st.permutations([1, 3, 6]), st.floats(0.1, 9), st.integers(0, 99))
def test_the_mean_lies_between_the_losses_in_any_order_of_the_dimensions(
    dimensions: list[int], weight: float, seed: int
) -> None:
    mixed = batch(unit(4, 8, seed=seed), unit(6, 8, seed=seed + 1), unit(4, 1, 8, seed=seed + 2))
    weights = [weight * k for k in dimensions]
    result = Matryoshka(dimensions, weights)(TripletLoss(), mixed)
    ordered = Matryoshka([1, 3, 6], [weight, 3 * weight, 6 * weight])(TripletLoss(), mixed)
    torch.testing.assert_close(result.loss, ordered.loss)
    parts = [Matryoshka()(TripletLoss(), mixed).loss, *(result.diagnostics[f"at_{k}"] for k in dimensions)]
    assert min(parts) - 1e-9 <= result.loss <= max(parts) + 1e-9


def test_an_empty_place_gives_no_gradient() -> None:
    synthetic = torch.zeros(3, 1, 8, dtype=torch.float64).requires_grad_()
    mixed = batch(unit(3, 8), unit(5, 8, seed=1), synthetic)
    labels = torch.full((3, 1), -1.0, dtype=torch.float64)
    mixed = Mixed(mixed.anchors, mixed.documents, mixed.relevance, synthetic, labels, {})
    Matryoshka([4])(HINGE, mixed).loss.backward()
    assert synthetic.grad is not None
    assert synthetic.grad.count_nonzero() == 0


def test_the_first_numbers_have_unit_length() -> None:
    vectors = unit(4, 8)
    assert first(vectors, None) is vectors
    torch.testing.assert_close(first(vectors, 3).norm(dim=-1), torch.ones(4, dtype=torch.float64))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dimensions": [0]}, "whole numbers of at least 1, or null"),
        ({"dimensions": [4, 4]}, "different whole numbers"),
        ({"dimensions": [4.5]}, "whole numbers of at least 1"),
        ({"dimensions": [4, 2], "weights": [1.0]}, r"a weight above 0 for each .*\[4, 2\]; got .*weights=\[1\.0\]"),
        ({"dimensions": [4], "weights": [0.0]}, "a weight above 0"),
        ({"weights": [1.0]}, "a weight above 0 for each"),
    ],
)
def test_wrong_options(options: dict[str, list[float]], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Matryoshka(**options)  # type: ignore[arg-type]  # what a config may hold


def test_a_dimension_of_the_encoder_or_above_is_refused() -> None:
    Matryoshka([7]).check(8)
    with pytest.raises(UserError, match=r"below 8, the encoder's own; got \[8\]"):
        Matryoshka([8]).check(8)
