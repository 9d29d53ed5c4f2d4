"""What validation chooses: what gains beyond chance, and nothing else."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.mixing import AutoMixing, Composition, Corpus, DocumentMixing, HubCorrection, Side
from hr_retrieval.retrieval.mixing.choice import Measured, Task, choose, measured, worth
from hr_retrieval.retrieval.relevance import Relevance
from hr_retrieval.retrieval.significance import randomisation_test
from tests.retrieval.mixing.conftest import unit


def clusters(groups: int, members: int, noise: float) -> tuple[Tensor, Tensor, Relevance]:
    """Queries and documents around centres; the documents of its centre are right for a query."""
    centres = unit(groups, 32, 0)
    documents = centres.repeat_interleave(members, dim=0)
    documents = F.normalize(documents + noise * unit(len(documents), 32, 1), dim=1)
    queries = F.normalize(centres + noise * unit(groups, 32, 2), dim=1)
    right = [list(range(row * members, (row + 1) * members)) for row in range(groups)]
    return queries, documents, Relevance.from_lists(right)


def test_documents_that_are_right_together_are_mixed() -> None:
    queries, documents, relevance = clusters(60, 8, 1.2)
    offered = Composition(documents=DocumentMixing(k=5), hubs=HubCorrection(k=5))
    choice = choose(offered, [Task(Side(queries), Corpus(Side(documents)), relevance)], "map")
    assert choice.mixing.documents in (DocumentMixing(k=5, weight=0.3), DocumentMixing(k=5, weight=0.6))
    assert choice.tried == 4
    again = measured(choice.mixing(Side(queries), Corpus(Side(documents))), relevance)
    plain = measured(Composition()(Side(queries), Corpus(Side(documents))), relevance)
    assert choice.worth.mixed == again.values["map"].mean() > choice.worth.without == plain.values["map"].mean()
    gains = again.values["map"] - plain.values["map"]
    assert (choice.worth.helped, choice.worth.hurt) == ((gains > 1e-12).sum(), (gains < -1e-12).sum())
    assert choice.worth.p == min(1.0, 4 * randomisation_test(again.values["map"], plain.values["map"]))
    assert choice.worth.hubness == (plain.hubness, again.hubness)


def test_what_gains_no_more_than_chance_is_left_out() -> None:
    queries, documents = unit(80, 32, 0), unit(300, 32, 1)
    relevance = Relevance.from_lists([[row] for row in range(80)])
    choice = choose(
        AutoMixing(documents=DocumentMixing()), [Task(Side(queries), Corpus(Side(documents)), relevance)], "mrr"
    )
    assert choice.mixing == Composition()
    assert (choice.worth.helped, choice.worth.hurt, choice.worth.p) == (0, 0, 1.0)
    assert choice.worth.mixed == choice.worth.without


def test_a_few_queries_prove_nothing() -> None:
    queries, documents, relevance = clusters(60, 8, 1.2)
    offered = Composition(documents=DocumentMixing(k=5))
    few = relevance.take(torch.arange(3))
    assert choose(offered, [Task(Side(queries[:3]), Corpus(Side(documents)), few)], "map").mixing == Composition()


def test_helped_and_hurt_count_queries_and_not_rounding() -> None:
    plain, mixed = (np.array(values) for values in ([0.5, 0.5, 1.0, 0.2], [0.5 + 1e-16, 1.0, 0.5, 0.3]))
    found = worth(Measured({"mrr": plain}, 0.1, np.ones(4)), Measured({"mrr": mixed}, 0.2, np.ones(4)), "mrr")
    assert (found.helped, found.hurt, found.queries) == (2, 1, 4)


def test_an_unknown_metric_is_refused() -> None:
    queries, documents, relevance = clusters(4, 3, 0.5)
    with pytest.raises(UserError, match=r"mrr.*got loss"):
        choose(Composition(), [Task(Side(queries), Corpus(Side(documents)), relevance)], "loss")


def test_several_tasks_choose_by_the_mean_of_their_shares() -> None:
    """Documents that are right together gain by mixing, and single ones lose: whose share is larger decides."""
    first, second = clusters(60, 8, 1.2), clusters(60, 1, 1.2)
    tasks = [(Side(queries), Corpus(Side(documents)), relevance) for queries, documents, relevance in (first, second)]
    offered = Composition(documents=DocumentMixing(k=5))
    mostly = choose(offered, [Task(*task, share) for task, share in zip(tasks, (0.9, 0.1), strict=True)], "map")
    assert mostly.mixing.documents is not None
    plain, mixed = (
        [measured(mixing(queries, corpus), relevance).values["map"].mean() for queries, corpus, relevance in tasks]
        for mixing in (Composition(), mostly.mixing)
    )
    assert mostly.worth.without == pytest.approx(0.9 * plain[0] + 0.1 * plain[1])
    assert mostly.worth.mixed == pytest.approx(0.9 * mixed[0] + 0.1 * mixed[1])
    hardly = choose(offered, [Task(*task, share) for task, share in zip(tasks, (0.01, 0.99), strict=True)], "map")
    assert hardly.mixing == Composition()
