"""The loss of lists against naive loops."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hr_retrieval.errors import UserError
from hr_retrieval.objective.lists import FORMS, ListLoss


def naive(form: str, lists: list[list[float]], weights: list[float]) -> float:
    total = divisor = 0.0
    for scores, weight in zip(lists, weights, strict=True):
        if len(scores) == 1:
            continue
        if form == "softmax":
            loss = -math.log(math.exp(scores[0]) / sum(math.exp(score) for score in scores))
        else:
            judged = [math.log(1 / (1 + math.exp(-score))) for score in (scores[0], *(-one for one in scores[1:]))]
            loss = -sum(judged) / len(scores)
        total, divisor = total + weight * loss, divisor + weight
    return total / divisor if divisor else 0.0


def padded(lists: list[list[float]]) -> tuple[Tensor, Tensor]:
    width = max(map(len, lists))
    # What stands where nothing is must not matter.
    scores = torch.tensor([[*own, *[7.0] * (width - len(own))] for own in lists], dtype=torch.float64)
    return scores, torch.tensor([[place < len(own) for place in range(width)] for own in lists])


@given(
    st.sampled_from(FORMS),
    st.lists(st.tuples(st.lists(st.floats(-5, 5), min_size=1, max_size=5), st.floats(0.5, 3)), min_size=1, max_size=4),
    st.booleans(),
)
def test_values_match_loops(form: str, given_lists: list[tuple[list[float], float]], weighted: bool) -> None:
    lists, weights = [own for own, _ in given_lists], [weight if weighted else 1.0 for _, weight in given_lists]
    scores, there = padded(lists)
    scores.requires_grad_()
    result = ListLoss(form)(scores, there, torch.tensor(weights, dtype=torch.float64) if weighted else None)
    assert result.loss.item() == pytest.approx(naive(form, lists, weights), abs=1e-9)
    result.loss.backward()
    assert scores.grad is not None
    assert bool(scores.grad.isfinite().all())
    assert float(scores.grad.masked_fill(there, 0).abs().sum()) == 0
    assert all(bool(value.isfinite()) for value in result.diagnostics.values())


def test_what_is_said_of_lists() -> None:
    scores, there = padded([[1.0, 3.0], [2.0, 0.0, -4.0], [5.0]])
    found = {name: float(value) for name, value in ListLoss()(scores, there).diagnostics.items()}
    assert found == pytest.approx(
        {"active": 1 / 3, "without_negatives": 1 / 3, "positive_score": 8 / 3, "negative_score": -1 / 3, "collapsed": 0}
    )
    scores, there = padded([[1.0, 1.0], [1.0, 1.0, 1.0]])
    assert float(ListLoss()(scores, there).diagnostics["collapsed"]) == 1


def test_another_form_is_refused() -> None:
    with pytest.raises(UserError, match=r"model\.loss\.form to be one of softmax, binary; got hinge"):
        ListLoss("hinge")
