"""Best positive and hardest negative against plain loops."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.retrieval import extremes as module
from hr_retrieval.retrieval.extremes import extremes
from hr_retrieval.retrieval.metrics import Embedded
from hr_retrieval.retrieval.relevance import Relevance


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_as_plain_loops_find_them(data: st.DataObject) -> None:
    queries, documents = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
    relevant = [
        data.draw(st.sets(st.integers(0, documents - 1), min_size=1), label=f"relevant to {query}")
        for query in range(queries)
    ]
    # Whole numbers tie often and are exact.
    values = torch.randint(
        -2, 3, (queries + documents, 3), generator=torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    )
    left_out = [
        data.draw(st.sets(st.integers(0, documents - 1), max_size=2), label=f"left out of {query}") - relevant[query]
        for query in range(queries)
    ]
    left, right = values[:queries].float(), values[queries:].float()
    chosen = data.draw(st.lists(st.integers(0, queries - 1), min_size=1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_SCORES", data.draw(st.sampled_from([1, 12, 1 << 24])))
        plain, out = (Relevance.from_lists([sorted(rows) for rows in lists]) for lists in (relevant, left_out))
        relevance = Relevance(plain.offsets, plain.documents, out)
        found = extremes(Embedded(left, right, relevance), torch.tensor(chosen))
    for place, query in enumerate(chosen):
        scores = [float(left[query] @ right[document]) for document in range(documents)]
        best = min(relevant[query], key=lambda document: (-scores[document], document))
        assert (found.positives[place], found.positive_scores[place]) == (best, scores[best])
        others = [document for document in range(documents) if document not in relevant[query] | left_out[query]]
        assert found.ties[place] == sum(scores[document] == scores[best] for document in others)
        if others:
            hardest = min(others, key=lambda document: (-scores[document], document))
            assert (found.negatives[place], found.negative_scores[place]) == (hardest, scores[hardest])
        else:
            assert found.negative_scores[place] == -torch.inf
    assert found.tied == sum(int(count) > 0 for count in found.ties) / len(chosen)


def test_scores_are_in_float32_under_autocast_and_reduced_precision() -> None:
    """In bfloat16 the two documents would tie."""
    embedded = Embedded(torch.ones(1, 2), torch.tensor([[1.0, 1.0], [1.0, 1.0005]]), Relevance.from_lists([[0]]))
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = extremes(embedded, torch.tensor([0]))
    finally:
        torch.set_float32_matmul_precision("highest")
    assert found.negative_scores > found.positive_scores
    assert (found.ties.tolist(), found.tied) == ([0], 0.0)
