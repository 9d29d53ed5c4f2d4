"""The learning rate by step, against its definition."""

import pytest
import torch
from torch.optim import SGD

from hr_retrieval.errors import UserError
from hr_retrieval.train.schedule import WarmupLinear


def rates(total: int, warmup: float, final: float) -> list[float]:
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = WarmupLinear(optimizer, total, warmup, final)
    taken = []
    for _ in range(total):
        taken.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return taken


def test_rises_to_the_peak_then_falls_evenly() -> None:
    assert rates(10, 0.3, 0.0) == pytest.approx([0.5, 1.0, 1.5, 2.0, *(2.0 * (10 - step) / 7 for step in range(4, 10))])


def test_the_last_share_is_kept() -> None:
    assert rates(100, 0.1, 0.5)[-1] == pytest.approx(1 + 1 / 90)
    assert rates(5, 0.0, 1.0) == [2.0] * 5


@pytest.mark.parametrize(("warmup", "final"), [(1.0, 0.0), (-0.1, 0.0), (0.1, 1.5)])
def test_shares_out_of_range_are_refused(warmup: float, final: float) -> None:
    with pytest.raises(UserError, match=r"scheduler\.warmup"):
        rates(10, warmup, final)


def test_a_warm_up_that_takes_all_steps_is_refused() -> None:
    with pytest.raises(UserError, match=r"scheduler\.warmup=0\.95 of 4 steps"):
        rates(4, 0.95, 0.0)
    assert max(rates(5, 0.7, 0.0)) == 2.0


def test_taken_up_again_it_is_at_the_same_step_with_the_peak_and_the_length_of_now() -> None:
    def made(peak: float, total: int, steps: int) -> WarmupLinear:
        schedule = WarmupLinear(SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak), total, 0.3)
        for _ in range(steps):
            schedule.optimizer.step()
            schedule.step()
        return schedule

    for peak, total in ((2.0, 10), (0.5, 10), (2.0, 40)):
        resumed = made(peak, total, 0)
        resumed.load_state_dict(made(2.0, 10, 4).state_dict())
        expected = made(peak, total, 4)
        for _ in range(3):
            assert resumed.optimizer.param_groups[0]["lr"] == expected.optimizer.param_groups[0]["lr"]
            for schedule in (resumed, expected):
                schedule.optimizer.step()
                schedule.step()
