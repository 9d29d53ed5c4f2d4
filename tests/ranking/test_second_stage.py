"""The best documents in another order, against a sort of each list."""

import torch

from hr_retrieval.ranking.second_stage import ordered_anew
from hr_retrieval.retrieval.ranking import exact_ranking
from hr_retrieval.retrieval.relevance import Relevance


def test_ranks_are_those_of_a_sorted_list() -> None:
    generator = torch.Generator().manual_seed(0)
    queries, documents = (torch.randn(count, 4, generator=generator) for count in (5, 9))
    right = [[0, 3], [8], [], [2, 5, 7], [1]]
    relevance = Relevance.from_lists(right)
    ranking = exact_ranking(queries, documents, relevance, 4)
    letters = {row: (7 * row) % 5 for row in range(9)}
    asked: list[tuple[str, list[str]]] = []

    def score(query: str, passages: list[str]) -> list[float]:
        asked.append((query, passages))
        return [float(letters[int(passage)]) for passage in passages]

    names = {row: str(row) for row in range(9)}
    ranks, pairs = ordered_anew(score, ranking, relevance, list("abcde"), names, 4)
    expected = []
    for row, own in enumerate(right):
        order = (queries[row] @ documents.T).argsort(descending=True, stable=True).tolist()
        both = [*sorted(order[:4], key=lambda document: -letters[document]), *order[4:]]
        expected += [both.index(document) + 1 for document in own]
    assert ranks.tolist() == expected
    assert [query for query, _ in asked] == ["a", "b", "d", "e"]
    assert pairs == 16
