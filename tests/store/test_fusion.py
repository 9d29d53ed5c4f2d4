"""Fused scores, against their formulas written out."""

import pytest

from hr_retrieval.store.fusion import by_rank, by_score


def test_reciprocal_ranks_add_up() -> None:
    assert by_rank([["a", "b"], ["b", "c"]]) == pytest.approx({"a": 1 / 61, "b": 1 / 62 + 1 / 61, "c": 1 / 62})
    assert by_rank([]) == {}


def test_scores_are_mixed_by_weight() -> None:
    meaning, words = {"a": 0.8, "b": -0.2, "c": 0.5}, {"b": 6.0, "c": 3.0}
    for weight in (0.0, 0.3, 1.0):
        expected = {own: (1 - weight) * max(0, meaning[own]) + weight * words.get(own, 0) / 6 for own in meaning}
        assert by_score(meaning, words, weight) == pytest.approx(expected)
    assert by_score({"a": 0.4}, {}, 0.5) == {"a": 0.2}
