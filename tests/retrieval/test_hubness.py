"""The skewness of k-occurrence against plain Python."""

import pytest
import torch

from hr_retrieval.retrieval.hubness import hubness


def test_hubness_is_the_skewness_of_how_often_each_document_is_found() -> None:
    rows = torch.tensor([[0, 1], [0, 2], [0, 1], [3, -1]])
    counts = [3, 2, 1, 1, 0]
    mean = sum(counts) / 5
    spread = (sum((count - mean) ** 2 for count in counts) / 5) ** 0.5
    assert hubness(rows, 5) == pytest.approx(sum((count - mean) ** 3 for count in counts) / 5 / spread**3)
    assert hubness(torch.tensor([[0], [1]]), 2) == 0.0
