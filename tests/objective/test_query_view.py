"""Anchors mixed with views of themselves."""

import pytest
import torch
import torch.nn.functional as F

from hr_retrieval.errors import UserError
from hr_retrieval.objective.mixing import NoMixing, QueryViewMixing


def batch() -> tuple[torch.Tensor, ...]:
    vectors = F.normalize(torch.randn(11, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64), dim=1)
    relevance = torch.eye(3, 5, dtype=torch.bool)
    return vectors[:3], vectors[3:8], relevance, ~relevance, torch.arange(5), vectors[8:]


@pytest.mark.parametrize("weight", [0.25, 1.0])
def test_each_anchor_moves_towards_its_view(weight: float) -> None:
    *given, views = batch()
    mixed = QueryViewMixing(added=None, ramp_steps=0, weight=weight)(*given, 0, views=views)
    for i in range(3):
        moved = (1 - weight) * given[0][i] + weight * views[i]
        torch.testing.assert_close(mixed.anchors[i], moved / moved.norm())
    assert mixed.documents is given[1]
    assert mixed.diagnostics["view_cosine"] == pytest.approx(float((given[0] * views).sum(1).mean()))


def test_random_shares_stay_below_the_weight_and_follow_from_the_step() -> None:
    *given, views = batch()
    mixing = QueryViewMixing(added=None, ramp_steps=0, random=True, weight=0.5)
    first, again, next_one = (mixing(*given, step, views=views).anchors for step in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, next_one)
    half = QueryViewMixing(added=None, ramp_steps=0, weight=0.5)(*given, 3, views=views).anchors
    assert ((first * given[0]).sum(1) >= (half * given[0]).sum(1)).all()


def test_a_detached_view_has_no_gradient() -> None:
    *given, views = batch()
    views.requires_grad_()
    for detach in (True, False):
        mixed = QueryViewMixing(added=None, ramp_steps=0, detach=detach)(*given, 0, views=views)
        assert mixed.anchors.requires_grad is not detach


def test_only_a_strategy_that_takes_views_asks_for_them() -> None:
    assert NoMixing().view_drop == 0
    assert QueryViewMixing(drop=0.3).view_drop == 0.3
    with pytest.raises(UserError, match="views of the anchors"):
        QueryViewMixing()(*batch()[:-1], 0)


@pytest.mark.parametrize(("key", "value"), [("weight", 0.0), ("weight", 1.1), ("drop", 0.0), ("drop", 1.0)])
def test_wrong_options(key: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"model\.mixing\.{key}"):
        QueryViewMixing(**{key: value})
