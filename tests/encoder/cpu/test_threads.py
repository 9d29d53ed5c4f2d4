"""Tests of work in threads: results, settings, errors, and graphs that are walked back in threads."""

import os
import threading
import time
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from hr_retrieval.encoder.cpu.threads import GraphPerThread, in_threads


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_each_part_is_done_once_beside_others_under_the_callers_autocast() -> None:
    found: list[tuple[int, int, bool, bool, torch.dtype]] = []
    # Three parts must be under way at one time, or the barrier breaks.
    together = threading.Barrier(3)

    def work(part: int) -> None:
        together.wait(timeout=60)
        product = torch.ones(2, 2) @ torch.ones(2, 2)
        found.append((part, torch.get_num_threads(), torch.is_grad_enabled(), product.is_inference(), product.dtype))

    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        in_threads(work, range(6))
    assert sorted(found) == [(part, 1, False, True, torch.bfloat16) for part in range(6)]
    assert torch.get_num_threads() == 3
    found.clear()
    in_threads(work, range(3))
    assert sorted(found) == [(part, 1, True, False, torch.float32) for part in range(3)]


def test_results_keep_the_order_of_the_parts() -> None:
    last = threading.Event()

    def work(part: int) -> int:
        # The first part ends behind the last one.
        assert part or last.wait(timeout=60)
        if part == 2:
            last.set()
        return part * part

    assert in_threads(work, range(3)) == [0, 1, 4]
    assert in_threads(work, []) == []


def test_few_parts_share_the_threads() -> None:
    torch.set_num_threads(6)
    assert in_threads(lambda part: torch.get_num_threads(), range(2)) == [3, 3]
    assert in_threads(lambda part: torch.get_num_threads(), range(4)) == [1, 1, 1, 1]
    assert torch.get_num_threads() == 6


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own() -> None:
    in_threads(abs, range(3))
    child = os.fork()
    if child == 0:
        os._exit(0 if in_threads(abs, [-1, -2]) == [1, 2] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_first_error_ends_it_and_the_threads_are_given_back() -> None:
    begun: list[int] = []
    failed = threading.Event()

    def work(part: int) -> None:
        begun.append(part)
        if part == 0:
            failed.set()
            raise ValueError("of part 0")
        failed.wait(timeout=60)
        # As long as a real part at least: empty ones can all be done before the caller has its turn
        # to leave the rest out.
        time.sleep(0.01)

    with pytest.raises(ValueError, match="of part 0"):
        in_threads(work, range(10_000))
    assert len(begun) < 10_000
    assert torch.get_num_threads() == 3
    # New threads begin with what is set again, not with what the workers set.
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert seen == [3]


class Work(nn.Module):
    """A layer whose weights are used in different ways: twice, not at all, and two in one sum."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)

        def weight() -> nn.Parameter:
            return nn.Parameter(torch.randn(5, 5, generator=generator))

        self.twice, self.unused, self.one, self.other = weight(), weight(), weight(), weight()

    def forward(self, factor: float, rows: Tensor) -> Tensor:
        return torch.tanh(rows @ self.twice * factor) @ (self.one + self.other) @ self.twice


SIZES, FACTORS = [3, 1, 4], [1.0, -2.0, 0.5]


def gradients(work: Work, rows: Tensor, threads: bool) -> tuple[Tensor, dict[str, Tensor | None]]:
    work.zero_grad()
    leaf = rows.clone().requires_grad_()
    doubled = leaf * 2
    if threads:
        outputs = GraphPerThread.apply(work, FACTORS, SIZES, doubled, *work.parameters())
    else:
        outputs = torch.cat([work(factor, part) for factor, part in zip(FACTORS, doubled.split(SIZES), strict=True)])
    (outputs * torch.linspace(-1, 1, outputs.numel()).view_as(outputs)).sum().backward()
    return outputs.detach(), {"rows": leaf.grad, **{name: weight.grad for name, weight in work.named_parameters()}}


def test_graphs_in_threads_have_the_values_and_gradients_of_one_graph() -> None:
    work, rows = Work(), torch.randn(8, 5, generator=torch.Generator().manual_seed(1))
    (expected, theirs), (found, ours) = gradients(work, rows, False), gradients(work, rows, True)
    torch.testing.assert_close(found, expected)
    assert ours.pop("unused") is None
    assert theirs.pop("unused") is None
    assert all(gradient is not None and gradient.abs().max() > 0.01 for gradient in theirs.values())
    torch.testing.assert_close(ours, theirs)
    # Whichever thread is first.
    for _ in range(20):
        again = gradients(work, rows, True)[1]
        assert all(torch.equal(again[name], ours[name]) for name in ours)


def test_inputs_without_gradient_get_none() -> None:
    work = Work()
    rows = torch.ones(8, 5)
    GraphPerThread.apply(work, FACTORS, SIZES, rows, *work.parameters()).sum().backward()
    assert rows.grad is None
    assert work.twice.grad is not None


def test_frozen_weights_get_no_gradient() -> None:
    work = Work()
    work.one.requires_grad_(False)
    rows = torch.ones(8, 5, requires_grad=True)
    weights = [weight for weight in work.parameters() if weight.requires_grad]
    GraphPerThread.apply(work, FACTORS, SIZES, rows, *weights).sum().backward()
    assert work.one.grad is None
    assert work.other.grad is not None
    assert rows.grad is not None


def test_a_second_derivative_is_refused() -> None:
    work, rows = Work(), torch.ones(8, 5, requires_grad=True)
    outputs = GraphPerThread.apply(work, FACTORS, SIZES, rows, *work.parameters())
    (first,) = torch.autograd.grad(outputs.square().sum(), rows, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_a_second_backward_pass_is_refused() -> None:
    work = Work()
    loss = GraphPerThread.apply(work, FACTORS, SIZES, torch.ones(8, 5), *work.parameters()).sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="freed by an earlier"):
        loss.backward()
