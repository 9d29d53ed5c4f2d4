"""Baselines against their formulas in plain Python."""

import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.baselines.systems import Bm25, CharacterTfidf
from hr_retrieval.errors import UserError
from hr_retrieval.text import normalise

System = type[Bm25] | type[CharacterTfidf]
Naive = Callable[[Sequence[str], Sequence[str]], list[list[float]]]

QUERIES = ["Senior welder, welder", "nurse", "Водитёль", "unheard-of words"]
DOCUMENTS = [
    "welder welds pipes",
    "a nurse, a NURSE and a senior welder",
    "водитель автобуса",
    "водитель автобуса",
    "pilots",
]
texts = st.lists(st.text("абв Ёab c", max_size=12), min_size=1, max_size=6)


def naive_bm25(queries: Sequence[str], documents: Sequence[str]) -> list[list[float]]:
    words = [normalise(text).split() for text in documents]
    mean = sum(map(len, words)) / len(words)
    scores = []
    for query in queries:
        row = [0.0] * len(words)
        for word in normalise(query).split():
            frequency = sum(word in own for own in words)
            weight = math.log(1 + (len(words) - frequency + 0.5) / (frequency + 0.5))
            for place, own in enumerate(words):
                count = own.count(word)
                row[place] += weight * count / (count + 1.5 * (1 - 0.75 + 0.75 * len(own) / mean)) if count else 0.0
        scores.append(row)
    return scores


def grams(text: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for word in normalise(text).split():
        padded = f" {word} "
        for size in (3, 4, 5):
            # A word shorter than the gram counts once, as it is.
            last = max(1, len(padded) - size + 1)
            counts.update(padded[begin : begin + size] for begin in range(last))
            if len(padded) <= size:
                break
    return counts


def naive_tfidf(queries: Sequence[str], documents: Sequence[str]) -> list[list[float]]:
    own = [grams(text) for text in documents]
    frequencies = Counter(gram for counts in own for gram in counts)

    def vector(counts: Counter[str]) -> dict[str, float]:
        weights = {
            gram: (1 + math.log(count)) * (math.log((1 + len(own)) / (1 + frequencies[gram])) + 1)
            for gram, count in counts.items()
            if gram in frequencies
        }
        norm = math.sqrt(sum(weight**2 for weight in weights.values()))
        return {gram: weight / norm for gram, weight in weights.items()}

    vectors = [vector(counts) for counts in own]
    return [
        [sum(weight * other.get(gram, 0.0) for gram, weight in vector(grams(query)).items()) for other in vectors]
        for query in queries
    ]


NAIVE: list[tuple[System, Naive]] = [(Bm25, naive_bm25), (CharacterTfidf, naive_tfidf)]


@pytest.mark.parametrize(("system", "naive"), NAIVE)
def test_scores_match_the_formula(system: System, naive: Naive) -> None:
    scores = system(QUERIES, DOCUMENTS).scores(torch.arange(len(QUERIES)))
    torch.testing.assert_close(scores, torch.tensor(naive(QUERIES, DOCUMENTS)))
    assert scores[:3].any(dim=1).all()
    assert scores[3].any() == (system is CharacterTfidf)


@pytest.mark.parametrize(("system", "naive"), NAIVE)
@settings(max_examples=25, deadline=None)
@given(queries=texts, documents=texts)
def test_scores_match_the_formula_on_any_texts(
    system: System, naive: Naive, queries: list[str], documents: list[str]
) -> None:
    documents = [*documents, "абв"]
    scores = system(queries, documents).scores(torch.arange(len(queries)))
    torch.testing.assert_close(scores, torch.tensor(naive(queries, documents), dtype=torch.float32))


@pytest.mark.parametrize("system", [Bm25, CharacterTfidf])
def test_any_rows_are_scored_alike_and_equal_documents_equally(system: System) -> None:
    baseline = system(QUERIES, DOCUMENTS)
    scores = baseline.scores(torch.arange(len(QUERIES)))
    rows = torch.tensor([2, 0])
    assert torch.equal(baseline.scores(rows), scores[rows])
    assert torch.equal(scores[:, 2], scores[:, 3])
    assert scores[2].argmax() == 2


def test_characters_find_an_inflected_word_where_words_do_not() -> None:
    rows = torch.arange(1)
    queries, documents = ["сварщики"], ["опытный сварщик", "повар"]
    assert not Bm25(queries, documents).scores(rows).any()
    scores = CharacterTfidf(queries, documents).scores(rows)
    assert scores[0, 0] > 0.3 > scores[0, 1]


@pytest.mark.parametrize("system", [Bm25, CharacterTfidf])
def test_documents_without_a_word_are_refused(system: System) -> None:
    with pytest.raises(UserError, match="documents with words"):
        system(["welder"], ["...", ""])


def test_an_installed_jax_stays_off_the_gpu(tmp_path: Path) -> None:
    """The library starts JAX when it is imported, and JAX would take most of a GPU's memory from the training."""
    (tmp_path / "jax").mkdir()
    (tmp_path / "jax" / "__init__.py").touch()
    (tmp_path / "jax" / "lax.py").write_text(
        "import os\ndef top_k(*given):\n    print('started on', os.environ['JAX_PLATFORMS'])\n"
    )
    program = "from hr_retrieval.baselines.systems import Bm25; Bm25(['nurse'], ['a nurse'])"
    environment = {name: value for name, value in os.environ.items() if name != "JAX_PLATFORMS"}
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == "started on cpu\n"
