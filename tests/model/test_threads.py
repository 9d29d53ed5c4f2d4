import threading
from collections.abc import Iterator

import pytest
import torch

from hr_retrieval.model.threads import in_threads


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

    with torch.autocast("cpu", torch.bfloat16):
        in_threads(work, range(6))
    assert sorted(found) == [(part, 1, False, True, torch.bfloat16) for part in range(6)]
    assert torch.get_num_threads() == 3
    found.clear()
    in_threads(work, range(3))
    assert {dtype for *_, dtype in found} == {torch.float32}


def test_the_first_error_ends_it_and_the_threads_are_given_back() -> None:
    begun: list[int] = []
    failed = threading.Event()

    def work(part: int) -> None:
        begun.append(part)
        if part == 0:
            failed.set()
            raise ValueError("of part 0")
        failed.wait(timeout=60)

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
