"""Each strategy against its formula in plain Python."""

import math

import pytest
import torch
from scipy.sparse import csr_array
from torch import Tensor
from torch.nn import functional as F

from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.mixing import (
    Bank,
    Composition,
    Corpus,
    DocumentMixing,
    HubCorrection,
    LexicalMixing,
    QueryMixing,
    RankingMixing,
    Side,
    ViewMixing,
    documents,
    queries,
)
from hr_retrieval.retrieval.relevance import Relevance
from tests.retrieval.conftest import naive_ranks
from tests.retrieval.mixing.conftest import naive_nearest, unit

QUERIES, DOCUMENTS = unit(9, 6, 0), unit(30, 6, 1)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (documents, queries):
        monkeypatch.setattr(module, "_BLOCK", 4)


def mixed(*parts: RankingMixing, bank: Bank | None = None) -> tuple[Tensor, Tensor]:
    found = Composition.of(*parts)(Side(QUERIES), Corpus(Side(DOCUMENTS), bank))
    return found.queries, found.documents


def naive_documents(k: int, weight: float, temperature: float) -> Tensor:
    moved = []
    for row, own in enumerate(DOCUMENTS):
        near = naive_nearest(own, DOCUMENTS, k, {row})
        shares = [math.exp(float(own @ DOCUMENTS[other]) / temperature) for other in near]
        mean = sum(share / sum(shares) * DOCUMENTS[other] for share, other in zip(shares, near, strict=True))
        moved.append(F.normalize((1 - weight) * own + weight * mean, dim=0))
    return torch.stack(moved)


def naive_queries(strategy: QueryMixing, among: Tensor) -> Tensor:
    moved = []
    for query in QUERIES:
        near = naive_nearest(query, among, len(among), set())
        cosines = [float(query @ among[row]) for row in near]
        values = [max(0.0, cosine - strategy.floor) ** strategy.power for cosine in cosines[: strategy.k]]
        spread = cosines[0] - cosines[strategy.k - 1]
        if sum(values) == 0 or (strategy.gate is not None and spread > strategy.gate):
            moved.append(query)
            continue
        step = sum(value / sum(values) * among[row] for value, row in zip(values, near, strict=False))
        wrong = near[strategy.first - 1 : strategy.last] or [0]
        step = step - strategy.negative_weight * sum(among[row] for row in wrong) / len(wrong)
        moved.append(F.normalize(query + strategy.weight * step, dim=0))
    return torch.stack(moved)


@pytest.mark.parametrize(("k", "weight", "temperature"), [(1, 0.3, 0.05), (5, 0.6, 0.5), (29, 1.0, 0.05)])
def test_documents_move_to_the_weighted_mean_of_their_nearest(k: int, weight: float, temperature: float) -> None:
    found, moved = mixed(DocumentMixing(k=k, weight=weight, temperature=temperature))
    torch.testing.assert_close(moved, naive_documents(k, weight, temperature))
    assert torch.equal(found, QUERIES)


@pytest.mark.parametrize(
    "strategy",
    [
        QueryMixing(negative_weight=0.0),
        QueryMixing(k=3, weight=0.7, power=1.0, floor=0.3, negative_weight=0.0),
        QueryMixing(k=4, weight=0.5, negative_weight=0.6, first=10, last=20),
        QueryMixing(k=4, weight=0.5, negative_weight=0.6, first=10, last=20, gate=0.2),
        QueryMixing(k=2, floor=0.9, first=3, last=9),
    ],
)
def test_queries_move_to_what_they_find_first_and_away_from_later(strategy: QueryMixing) -> None:
    moved, kept = mixed(strategy)
    torch.testing.assert_close(moved, naive_queries(strategy, DOCUMENTS))
    assert torch.equal(kept, DOCUMENTS)


def test_a_gate_lets_some_queries_pass() -> None:
    moved = mixed(QueryMixing(k=4, gate=0.2, first=5, last=9))[0]
    same = torch.isclose(moved, QUERIES).all(dim=1)
    assert 0 < int(same.sum()) < len(QUERIES)


def test_hubs_are_lowered_by_one_more_dimension() -> None:
    found, corrected = mixed(HubCorrection(k=5, alpha=0.4))
    height = [
        sum(float(own @ DOCUMENTS[other]) for other in naive_nearest(own, DOCUMENTS, 5, {row})) / 5
        for row, own in enumerate(DOCUMENTS)
    ]
    torch.testing.assert_close(found @ corrected.T, QUERIES @ DOCUMENTS.T - 0.4 * torch.tensor(height))
    assert corrected.shape == (30, 7)


def test_hubs_of_a_bank_are_without_the_queries_that_a_document_answers() -> None:
    anchors, answered = unit(12, 6, 2), [{row % 12} for row in range(30)]
    bank = Bank(anchors, Relevance.from_lists([sorted(rows) for rows in answered]))
    found, corrected = mixed(HubCorrection(k=3, alpha=0.5, bank="anchors"), bank=bank)
    height = [
        sum(float(own @ anchors[other]) for other in naive_nearest(own, anchors, 3, answered[row])) / 3
        for row, own in enumerate(DOCUMENTS)
    ]
    torch.testing.assert_close(found @ corrected.T, QUERIES @ DOCUMENTS.T - 0.5 * torch.tensor(height))


def test_n_grams_are_mixed_as_concatenated_vectors_would_be() -> None:
    pieces = [F.normalize(unit(rows, 8, 5).clamp(min=0), dim=1) for rows in (9, 30)]
    sides = [Side(own, csr_array(part.numpy())) for own, part in zip((QUERIES, DOCUMENTS), pieces, strict=True)]
    strategy = Composition.of(LexicalMixing(weight=0.3))
    relevance = Relevance.from_lists([[row, row + 10] for row in range(9)])
    joined = [
        torch.cat([math.sqrt(0.7) * own, math.sqrt(0.3) * part], dim=1)
        for own, part in zip((QUERIES, DOCUMENTS), pieces, strict=True)
    ]
    ranking = strategy(sides[0], Corpus(sides[1])).ranking(relevance, 5)
    assert ranking.ranks.tolist() == naive_ranks(joined[0], joined[1], relevance)
    best = (joined[0] @ joined[1].T).topk(5, dim=1).values
    torch.testing.assert_close(ranking.scores, best)
    assert strategy.needs == {"ngrams"}
    with pytest.raises(UserError, match="n-grams of the documents"):
        strategy.mix_documents(Corpus(Side(DOCUMENTS)))


def test_views_move_both_sides_to_the_mean_of_the_wordings() -> None:
    views = unit(9, 6, 7), unit(30, 6, 8)
    sides = Side(QUERIES, views=views[0]), Corpus(Side(DOCUMENTS, views=views[1]))
    found = Composition.of(ViewMixing(weight=0.4))(*sides)
    for moved, own, other in ((found.queries, QUERIES, views[0]), (found.documents, DOCUMENTS, views[1])):
        torch.testing.assert_close(moved, F.normalize(0.6 * own + 0.4 * other, dim=1))


def test_a_composition_mixes_queries_with_mixed_documents_and_corrects_last() -> None:
    feedback = QueryMixing(k=4, negative_weight=0.3, first=6, last=12)
    found, moved = mixed(HubCorrection(k=5, alpha=0.25), feedback, DocumentMixing(k=3))
    expected = naive_documents(3, 0.6, 0.05)
    plain = mixed(HubCorrection(k=5, alpha=0.25))[1]
    torch.testing.assert_close(moved, torch.cat([expected, plain[:, 6:]], dim=1))
    torch.testing.assert_close(found[:, :6], naive_queries(feedback, expected))
    assert found[:, 6].tolist() == [1.0] * 9


@pytest.mark.parametrize(
    "strategy", [DocumentMixing(), QueryMixing(last=30, first=20), HubCorrection(k=7), LexicalMixing(), ViewMixing()]
)
def test_a_strength_of_zero_changes_no_ranking(strategy: RankingMixing) -> None:
    pieces = [csr_array(unit(rows, 8, 5).numpy()) for rows in (9, 30)]
    sides = [Side(own, part, unit(len(own), 6, 9)) for own, part in zip((QUERIES, DOCUMENTS), pieces, strict=True)]
    found = Composition.of(strategy.scaled(0.0))(sides[0], Corpus(sides[1]))
    torch.testing.assert_close(found.queries @ found.documents.T, QUERIES @ DOCUMENTS.T)


def test_a_composition_reads_what_it_wrote() -> None:
    whole = Composition.of(
        *(kind() for kind in (DocumentMixing, QueryMixing, HubCorrection, LexicalMixing, ViewMixing))
    )
    assert Composition.from_json(whole.to_json(), "ranking.json") == whole
    assert Composition.from_json({}, "ranking.json") == Composition()
    assert str(Composition()) == "no mixing"
    for content, message in (
        ([], "strategies of mixing in ranking.json; got list"),
        ({"stars": {}}, "'stars'"),
        ({"documents": {"radius": 3}}, "options of documents.*radius"),
        ({"documents": {"k": "many"}}, "numbers as the options of documents"),
        ({"documents": {"weight": 2.0}}, "weight of ranking/mixing=documents from 0 to 1"),
    ):
        with pytest.raises(UserError, match=message):
            Composition.from_json(content, "ranking.json")


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (DocumentMixing, {"k": 0}, "k of"),
        (DocumentMixing, {"temperature": 0.0}, "temperature of"),
        (QueryMixing, {"weight": -1.0}, "weight of"),
        (QueryMixing, {"k": 60}, "first and last"),
        (QueryMixing, {"gate": -0.1}, "gate of"),
        (HubCorrection, {"alpha": -0.5}, "alpha of"),
        (LexicalMixing, {"weight": 1.0}, "below 1"),
        (ViewMixing, {"query_templates": ("a title",)}, r"\{text\}"),
    ],
)
def test_options_out_of_range_are_refused(kind: type[RankingMixing], options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        kind(**options)


@pytest.mark.parametrize(
    ("strategy", "least"),
    [(DocumentMixing(k=4), 5), (QueryMixing(), 100), (QueryMixing(negative_weight=0.0), 10), (HubCorrection(), 33)],
)
def test_a_corpus_that_is_too_small_is_refused(strategy: RankingMixing, least: int) -> None:
    whole = Composition.of(strategy)
    whole.check(least)
    assert (whole.fitting(least), whole.fitting(least - 1)) == (whole, Composition())
    corpus = Corpus(Side(unit(least - 1, 6, 1)))
    with pytest.raises(
        UserError, match=f"at least {least} documents for ranking/mixing={strategy.name}.*got {least - 1}"
    ):
        whole(Side(QUERIES), corpus)
    with pytest.raises(UserError, match=r"got 1\. Set ranking/mixing=none"):
        whole(Side(QUERIES), Corpus(Side(unit(1, 6, 1))))
