"""Near-duplicates, against all pairs of shingle sets."""

import itertools
import random

import pytest

from hr_retrieval.prepare.duplicates import near_duplicates
from hr_retrieval.text import normalise

WORDS = [f"word{number}" for number in range(300)]


def shingles(text: str) -> set[tuple[str, ...]]:
    words = normalise(text).split()
    tokens, width = (words, 3) if len(words) >= 12 else (list(" ".join(words)), 5)
    width = min(width, len(tokens))
    kind = "word" if tokens is words else "character"
    return {(kind, *tokens[begin : begin + width]) for begin in range(len(tokens) - width + 1)}


def naive(texts: list[str], threshold: float) -> list[int]:
    sets = [shingles(text) for text in texts]
    cluster = list(range(len(texts)))
    for a, b in itertools.combinations(range(len(texts)), 2):
        if len(sets[a] & sets[b]) / len(sets[a] | sets[b]) >= threshold:
            joined, gone = sorted((cluster[a], cluster[b]))
            cluster = [joined if number == gone else number for number in cluster]
    return cluster


def corpus(seed: int) -> list[str]:
    """Texts of 5 to 60 words, each with a few variants that differ in up to a few words."""
    draw = random.Random(seed)
    texts = []
    for _ in range(25):
        words = draw.choices(WORDS, k=draw.choice([5, 20, 60]))
        for changes in (0, 0, 1, 8):
            variant = list(words)
            for place in draw.sample(range(len(words)), min(changes, len(words))):
                variant[place] = draw.choice(WORDS)
            texts.append(" ".join(variant))
    return texts


@pytest.mark.parametrize("threshold", [0.5, 0.8, 1.0])
def test_clusters_match_the_loop(threshold: float) -> None:
    texts = corpus(1)
    assert near_duplicates([texts[:40], texts[40:]], threshold).tolist() == naive(texts, threshold)


def test_the_threshold_changes_the_clusters() -> None:
    texts = corpus(1)
    counts = [len(set(near_duplicates([texts], threshold).tolist())) for threshold in (0.3, 0.8, 1.0)]
    assert counts[0] < counts[1] < counts[2]


def test_many_equal_texts_are_one_cluster() -> None:
    texts = [f"{' '.join(WORDS[:40])} {number % 3}" for number in range(200)]
    assert not near_duplicates([texts], 0.9).any()


def test_short_texts_and_none() -> None:
    assert near_duplicates([["a", "a", "b"]], 0.8).tolist() == [0, 0, 2]
    assert near_duplicates([], 0.8).tolist() == []
