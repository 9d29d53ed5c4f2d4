"""Neighbours against full sorts in plain Python, and what is refused."""

import pytest
import torch

from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.mixing import Bank, Corpus, Side, corpus
from hr_retrieval.retrieval.relevance import Relevance
from tests.retrieval.conftest import small_integers
from tests.retrieval.mixing.conftest import naive_nearest, unit


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.usefixtures("tiny_chunks")
def test_the_nearest_documents_are_those_of_a_full_sort(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "_BLOCK", 7)
    # Many equal ones: a document's twins stand before it, and behind it.
    documents = small_integers(40, 2, seed, spread=1)
    found = Corpus(Side(documents))
    for k in (3, 1, 39):
        cosines, rows = found.nearest(k)
        expected = [naive_nearest(own, documents, k, {row}) for row, own in enumerate(documents)]
        assert rows.tolist() == expected
        assert torch.equal(cosines, (documents @ documents.T).gather(1, torch.tensor(expected)))


@pytest.mark.usefixtures("tiny_chunks")
def test_the_nearest_training_queries_are_without_those_that_a_document_answers() -> None:
    documents, bank = unit(23, 4, 0), unit(17, 4, 1)
    answered = [[row % 17, (row * 5) % 17] if row % 3 else [] for row in range(23)]
    left_out = Relevance.from_lists([sorted(set(rows)) for rows in answered])
    cosines, rows = Corpus(Side(documents), Bank(bank, left_out)).nearest_anchors(4)
    expected = [naive_nearest(own, bank, 4, set(answered[row])) for row, own in enumerate(documents)]
    assert rows.tolist() == expected
    torch.testing.assert_close(cosines, (documents @ bank.T).gather(1, torch.tensor(expected)))


def test_neighbours_are_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    search = corpus.nearest_allowed
    monkeypatch.setattr(corpus, "nearest_allowed", lambda *given: calls.append(given[2]) or search(*given))
    found = Corpus(Side(unit(50, 8, 0)))
    assert torch.equal(found.nearest(10)[1], found.nearest(32)[1][:, :10])
    assert calls == [32]


def test_a_bank_that_is_too_small_is_refused() -> None:
    with pytest.raises(UserError, match=r"training queries.*none.*bank=documents"):
        Corpus(Side(unit(10, 4, 0))).nearest_anchors(1)
    bank = Bank(unit(3, 4, 1), Relevance.from_lists([[0], [0, 1], *([[]] * 8)]))
    with pytest.raises(UserError, match="at least 2 training queries that a document does not answer; got 1"):
        Corpus(Side(unit(10, 4, 0)), bank).nearest_anchors(2)
