"""Cosine by loops, and its precision."""

import math

import pytest
import torch
import torch.nn.functional as F

from hr_retrieval.objective.similarity import at_least_float32, cosine, synthetic_cosine


def unit(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return F.normalize(values, dim=-1).to(dtype)


def by_hand(first: list[float], second: list[float]) -> float:
    product = sum(x * y for x, y in zip(first, second, strict=True))
    return product / math.sqrt(sum(x * x for x in first)) / math.sqrt(sum(y * y for y in second))


def test_cosine_matches_loops() -> None:
    anchors, documents = unit(3, 5), unit(4, 5, seed=1)
    expected = [[by_hand(a, d) for d in documents.tolist()] for a in anchors.tolist()]
    torch.testing.assert_close(cosine(anchors, documents), torch.tensor(expected))


def test_synthetic_cosine_matches_loops() -> None:
    anchors, synthetic = unit(3, 5), unit(3, 2, 5, seed=1)
    expected = [[by_hand(a, s) for s in own] for a, own in zip(anchors.tolist(), synthetic.tolist(), strict=True)]
    torch.testing.assert_close(synthetic_cosine(anchors, synthetic), torch.tensor(expected))


def test_without_synthetic_documents() -> None:
    assert synthetic_cosine(unit(3, 5), torch.zeros(3, 0, 5)).shape == (3, 0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_scores_are_never_narrow(dtype: torch.dtype) -> None:
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    assert at_least_float32(unit(2, 3, dtype=dtype)).dtype == wide
    assert cosine(unit(2, 3, dtype=dtype), unit(2, 3, dtype=dtype)).dtype == wide


def test_autocast_does_not_round_scores() -> None:
    anchors, documents, synthetic = unit(8, 64), unit(9, 64, seed=1), unit(8, 2, 64, seed=2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (anchors @ documents.T).dtype == torch.bfloat16
        assert torch.equal(cosine(anchors, documents), anchors @ documents.T) is False
        under = cosine(anchors, documents), synthetic_cosine(anchors, synthetic)
    assert torch.equal(under[0], cosine(anchors, documents))
    assert torch.equal(under[1], synthetic_cosine(anchors, synthetic))


def test_gradients() -> None:
    arguments = [unit(2, 3, dtype=torch.float64).requires_grad_(), unit(4, 3, dtype=torch.float64).requires_grad_()]
    assert torch.autograd.gradcheck(cosine, arguments)
    arguments[1] = unit(2, 2, 3, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(synthetic_cosine, arguments)
