"""Numbers are read at once on a CPU, and from a GPU when the next come or when they are asked for."""

from typing import Any

import pytest
import torch

from hr_retrieval.train import reading
from hr_retrieval.train.reading import Reading


def test_on_a_cpu_they_are_read_at_once() -> None:
    seen: list[tuple[list[float], Any]] = []
    watch = Reading(lambda values, about: seen.append((values, about)))
    watch.put(torch.tensor([1.0, 2.0]), "first")
    assert seen == [([1.0, 2.0], "first")]
    watch.settle()
    assert len(seen) == 1


class Event:
    """A GPU's, that has always come."""

    def record(self) -> None:
        pass

    def synchronize(self) -> None:
        pass


def test_from_a_gpu_they_are_read_a_step_later_or_when_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(reading, "_waits", lambda values: True)
    seen: list[tuple[list[float], Any]] = []
    watch = Reading(lambda values, about: seen.append((values, about)))
    watch.put(torch.tensor([1.0]), "first")
    assert seen == []
    watch.put(torch.tensor([2.0]), "second")
    assert seen == [([1.0], "first")]
    watch.settle()
    watch.settle()
    assert seen == [([1.0], "first"), ([2.0], "second")]
