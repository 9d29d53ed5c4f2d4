"""Both forms of distillation against loops over documents, value and gradient."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.errors import UserError
from hr_retrieval.objective.distillation import FORMS, Distillation
from hr_retrieval.objective.triplet import LossResult

PLAIN = LossResult(torch.tensor(2.0, dtype=torch.float64), {"active": torch.tensor(0.5)})


def batch(anchors: int, documents: int, seed: int = 0, unknown: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores, and those of a teacher, some of which are missing."""
    generator = torch.Generator().manual_seed(seed)
    scores, teacher = torch.rand(2, anchors, documents, generator=generator, dtype=torch.float64) * 2 - 1
    missing = torch.rand(anchors, documents, generator=generator) < unknown
    return scores, teacher.masked_fill(missing, torch.nan)


def softmax(values: list[torch.Tensor]) -> list[torch.Tensor]:
    whole = sum(value.exp() for value in values)
    return [value.exp() / whole for value in values]


def twin(scores: torch.Tensor, teacher: torch.Tensor, form: str, temperature: float, scale: float) -> torch.Tensor:
    found = []
    for i, (row, right) in enumerate(zip(scores, teacher, strict=True)):
        known = [j for j, value in enumerate(right.tolist()) if not math.isnan(value)]
        if form == "kl" and len(known) > 1:
            q = softmax([scale * row[j] for j in known])
            p = softmax([right[j] / temperature for j in known])
            found.append(sum(one * (one / other).log() for one, other in zip(p, q, strict=True)))
        if form == "margin_mse" and i in known:
            found += [(scale * (row[i] - row[n]) - (right[i] - right[n]) / temperature) ** 2 for n in known if n != i]
    return sum(found) / len(found)  # type: ignore[return-value]  # tensors, as there are some


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("anchors", "documents", "unknown"), [(2, 3, 0.0), (3, 7, 0.0), (4, 6, 0.4)])
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_value_and_gradient_match_loops(form: str, anchors: int, documents: int, unknown: float, share: float) -> None:
    (found, teacher), (expected, _) = (batch(anchors, documents, 3, unknown) for _ in "ab")
    result = Distillation(form, share, 0.3, 5.0)(PLAIN, found.requires_grad_(), teacher)
    by_hand = twin(expected.requires_grad_(), teacher, form, 0.3, 5.0)
    torch.testing.assert_close(result.diagnostics["taught"], by_hand.detach())
    torch.testing.assert_close(result.loss, (1 - share) * PLAIN.loss + share * by_hand)
    assert result.diagnostics["active"] == 0.5
    result.loss.backward()
    (share * by_hand).backward()
    torch.testing.assert_close(found.grad, expected.grad)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(FORMS), st.integers(1, 4), st.integers(0, 4), st.integers(0, 99))
def test_who_scores_as_the_teacher_has_nothing_to_learn(form: str, anchors: int, further: int, seed: int) -> None:
    scores, teacher = batch(anchors, anchors + further, seed)
    distillation = Distillation(form, 1.0, 0.1, 10.0)
    # A softmax, and a margin, know no constant of an anchor.
    shifted = (teacher + torch.arange(anchors).unsqueeze(1)).requires_grad_()
    learnt = distillation(PLAIN, shifted, teacher)
    learnt.loss.backward()
    assert learnt.loss.item() == pytest.approx(0, abs=1e-9)
    torch.testing.assert_close(shifted.grad, torch.zeros_like(shifted))
    assert distillation(PLAIN, scores, teacher).loss >= -1e-12


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(FORMS), st.integers(1, 4), st.integers(0, 4), st.floats(0, 1), st.integers(0, 99))
def test_what_the_teacher_has_not_scored_counts_for_nothing(
    form: str, anchors: int, further: int, unknown: float, seed: int
) -> None:
    scores, teacher = batch(anchors, anchors + further, seed, unknown)
    missing = teacher.isnan()
    other = torch.where(missing, 0.7, scores).requires_grad_()
    distillation = Distillation(form)
    result = distillation(PLAIN, other, teacher)
    torch.testing.assert_close(result.loss, distillation(PLAIN, scores, teacher).loss)
    result.loss.backward()
    assert other.grad is not None
    assert bool(other.grad.isfinite().all())
    assert other.grad[missing].count_nonzero() == 0


@pytest.mark.parametrize("form", FORMS)
def test_a_teacher_that_knows_nothing_leaves_its_share_empty(form: str) -> None:
    scores, teacher = batch(3, 4, unknown=1.1)
    result = Distillation(form, 0.25)(PLAIN, scores.requires_grad_(), teacher)
    assert result.loss.item() == pytest.approx(1.5)
    assert result.diagnostics["taught"] == 0


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"form": "mse"}, "form to be one of kl, margin_mse; got mse"),
        ({"share": 0.0}, "share above 0 and up to 1; got 0.0"),
        ({"share": 1.5}, "share above 0 and up to 1"),
        ({"temperature": 0.0}, "temperature above 0"),
        ({"scale": -1.0}, "scale above 0"),
    ],
)
def test_wrong_options(option: dict[str, float], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Distillation(**option)  # type: ignore[arg-type]  # what a config may hold
