"""Metrics against loops, against trec_eval, in both directions, and over two processes."""

import json
import math
import socket
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
import torch
import torch.multiprocessing as mp
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.metrics import RankingMetrics, per_query
from hr_retrieval.retrieval.ranking import exact_ranks
from hr_retrieval.retrieval.relevance import Relevance

NAMES = {
    *("mrr", "mrr@10", "pass@1", "pass@5", "pass@10", "pass@100", "recall@1", "recall@5", "recall@10", "recall@100"),
    *("ndcg@10", "map", "r_precision"),
}
rank_sets = st.lists(st.sets(st.integers(1, 130), max_size=14), min_size=1, max_size=6)


def naive(ranks: list[int], cutoffs: tuple[int, ...], grades: list[int] | None = None) -> dict[str, float]:
    graded = dict(zip(ranks, grades or [1] * len(ranks), strict=True))
    ranks = sorted(ranks)
    values = {"mrr": 1 / ranks[0], "mrr@10": 1 / ranks[0] if ranks[0] <= 10 else 0.0}
    for cutoff in cutoffs:
        values[f"pass@{cutoff}"] = float(ranks[0] <= cutoff)
        values[f"recall@{cutoff}"] = len([rank for rank in ranks if rank <= cutoff]) / len(ranks)
    gained = sum(graded[rank] / math.log2(1 + rank) for rank in ranks if rank <= 10)
    best = sorted(graded.values(), reverse=True)[:10]
    values["ndcg@10"] = gained / sum(grade / math.log2(1 + place) for place, grade in enumerate(best, 1))
    values["map"] = sum(place / rank for place, rank in enumerate(ranks, 1)) / len(ranks)
    values["r_precision"] = len([rank for rank in ranks if rank <= len(ranks)]) / len(ranks)
    return values


def flat(rank_lists: list[list[int]]) -> tuple[Tensor, Relevance]:
    """Ranks in the given order, and a relevance of as many documents."""
    ranks = torch.tensor([rank for ranks in rank_lists for rank in ranks], dtype=torch.long)
    return ranks, Relevance.from_lists([range(len(ranks)) for ranks in rank_lists])


@settings(max_examples=60, deadline=None)
@given(rank_sets, st.sampled_from([(1, 5, 10, 100), (1, 3)]), st.randoms(use_true_random=False))
def test_metrics_match_loops(sets: list[set[int]], cutoffs: tuple[int, ...], random: Random) -> None:
    lists = [sorted(ranks) for ranks in sets]
    for ranks in lists:
        random.shuffle(ranks)
    values = per_query(*flat(lists), cutoffs=cutoffs)
    expected = [naive(ranks, cutoffs) for ranks in lists if ranks]
    for name, value in values.items():
        assert value.dtype == torch.float64
        assert value.tolist() == pytest.approx([query[name] for query in expected], abs=1e-12), name
    assert set(values) == (NAMES if 100 in cutoffs else set(naive([1], cutoffs)))


@settings(max_examples=60, deadline=None)
@given(rank_sets, st.randoms(use_true_random=False))
def test_grades_are_gains_of_ndcg_and_of_nothing_else(sets: list[set[int]], random: Random) -> None:
    lists = [random.sample(sorted(ranks), len(ranks)) for ranks in sets]
    grades = [[random.randint(1, 3) for _ in ranks] for ranks in lists]
    ranks, plain = flat(lists)
    stated = torch.tensor([grade for own in grades for grade in own], dtype=torch.long)
    values = per_query(ranks, Relevance(plain.offsets, plain.documents, None, stated))
    expected = [naive(own, (1, 5, 10, 100), of) for own, of in zip(lists, grades, strict=True) if own]
    for name, value in values.items():
        assert value.tolist() == pytest.approx([query[name] for query in expected], abs=1e-12), name


@settings(max_examples=60, deadline=None)
@given(rank_sets)
def test_mrr_is_never_below_pass_at_1_and_all_lie_between_0_and_1(sets: list[set[int]]) -> None:
    values = per_query(*flat([sorted(ranks) for ranks in sets]))
    assert bool((values["mrr"] >= values["pass@1"]).all())
    assert all(bool(((value >= 0) & (value <= 1 + 1e-12)).all()) for value in values.values())


def test_perfect_ranks_give_1() -> None:
    values = per_query(*flat([[1], [1, 2, 3], list(range(1, 13))]))
    for name in ("mrr", "mrr@10", "pass@1", "recall@100", "ndcg@10", "map", "r_precision"):
        assert values[name].tolist() == pytest.approx([1.0] * 3), name


def test_no_measured_query_gives_empty_values() -> None:
    assert all(len(value) == 0 for value in per_query(*flat([[], []])).values())


def test_wrong_arguments_are_refused() -> None:
    relevance = Relevance.from_lists([[0]])
    with pytest.raises(UserError, match="1 ranks"):
        per_query(torch.tensor([1, 2]), relevance)
    with pytest.raises(UserError, match="cut-offs of at least 1"):
        per_query(torch.tensor([1]), relevance, cutoffs=(0,))


@pytest.mark.parametrize("kind", ["random", "tied", "all equal", "graded"])
def test_metrics_agree_with_trec_eval(kind: str) -> None:
    trec_eval = pytest.importorskip("pytrec_eval")
    generator = torch.Generator().manual_seed(4)
    queries, documents = torch.randn(15, 4, generator=generator), torch.randn(40, 4, generator=generator)
    if kind == "tied":
        queries, documents = queries.round(), documents.round()
    if kind == "all equal":
        queries = torch.zeros_like(queries)
    relevance = Relevance.from_lists(
        [torch.randperm(40, generator=generator)[: 1 + i % 13].tolist() for i in range(15)]
    )
    grades = torch.ones_like(relevance.documents)
    if kind == "graded":
        grades = torch.randint(1, 4, grades.shape, generator=generator)
        relevance = Relevance(relevance.offsets, relevance.documents, None, grades)
    qrels: dict[str, dict[str, int]] = {f"q{query:02}": {} for query in range(15)}
    for query, document, grade in zip(
        relevance.owners.tolist(), relevance.documents.tolist(), grades.tolist(), strict=True
    ):
        qrels[f"q{query:02}"][f"d{document:02}"] = grade
    # trec_eval orders ties by descending id: it gets our order, that of rows, as distinct scores.
    run = {
        f"q{query:02}": {
            f"d{document:02}": 40.0 - place
            for place, document in enumerate(sorted(range(40), key=lambda document: (-row[document], document)))
        }
        for query, row in enumerate((queries @ documents.T).tolist())
    }
    ours = per_query(exact_ranks(queries, documents, relevance), relevance)
    names = {"mrr": "recip_rank", "map": "map", "r_precision": "Rprec", "ndcg@10": "ndcg_cut_10"}
    names |= {f"pass@{k}": f"success_{k}" for k in (1, 5, 10)} | {f"recall@{k}": f"recall_{k}" for k in (5, 10, 100)}
    theirs = trec_eval.RelevanceEvaluator(qrels, set(trec_eval.supported_measures)).evaluate(run)
    for name, their_name in names.items():
        expected = [theirs[query][their_name] for query in sorted(qrels)]
        assert ours[name].tolist() == pytest.approx(expected, abs=1e-9), name


def example(seed: int = 0) -> tuple[Tensor, Tensor, Relevance]:
    """Seven queries, one of them without a relevant document, and eleven documents."""
    generator = torch.Generator().manual_seed(seed)
    relevance = Relevance.from_lists([[0, 3], [1], [], [2, 4, 9], [0], [10], [5]])
    return torch.randn(7, 4, generator=generator), torch.randn(11, 4, generator=generator), relevance


def filled(metrics: RankingMetrics, queries: Tensor, documents: Tensor) -> RankingMetrics:
    for kind, embeddings in (("query", queries), ("document", documents)):
        order = torch.randperm(len(embeddings), generator=torch.Generator().manual_seed(1))
        for rows in order.split(3):
            metrics.update(kind, rows, embeddings[rows])
    return metrics


def test_both_directions_and_any_order_of_arrival() -> None:
    queries, documents, relevance = example()
    values = filled(RankingMetrics(relevance, 7, 11), queries, documents).compute()
    other = relevance.transpose(11)
    forward = per_query(exact_ranks(queries, documents, relevance), relevance)
    backward = per_query(exact_ranks(documents, queries, other), other)
    assert set(values) == {*forward, "excluded", *(f"document_to_query/{name}" for name in [*backward, "excluded"])}
    for name in forward:
        assert float(values[name]) == pytest.approx(float(forward[name].mean()))
        assert float(values[f"document_to_query/{name}"]) == pytest.approx(float(backward[name].mean()))
    assert int(values["excluded"]) == 1
    assert int(values["document_to_query/excluded"]) == 3


def test_a_query_with_a_negative_score_counts() -> None:
    metrics = RankingMetrics(Relevance.from_lists([[0]]), 1, 2, both_directions=False)
    metrics.update("query", torch.tensor([0]), torch.tensor([[1.0, 0.0]]))
    metrics.update("document", torch.tensor([0, 1]), torch.tensor([[-0.5, 0.0], [-0.9, 0.0]]))
    assert float(metrics.compute()["mrr"]) == 1.0


def test_options_change_what_is_measured() -> None:
    queries, documents, relevance = example()
    values = filled(RankingMetrics(relevance, 7, 11, cutoffs=[2], both_directions=False), queries, documents).compute()
    assert {"pass@1", "pass@2", "recall@2"} <= set(values)
    assert "recall@5" not in values
    assert not [name for name in values if name.startswith("document_to_query/")]


def test_reset_forgets() -> None:
    queries, documents, relevance = example()
    metrics = filled(RankingMetrics(relevance, 7, 11), *example(9)[:2])
    before = metrics.compute()
    metrics.reset()
    after = filled(metrics, queries, documents).compute()
    fresh = filled(RankingMetrics(relevance, 7, 11), queries, documents).compute()
    assert {name: float(value) for name, value in after.items()} == {
        name: float(value) for name, value in fresh.items()
    }
    assert float(before["mrr"]) != float(after["mrr"])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([0, 1, 2, 3, 4, 5], "row 6 not at all"),
        ([0, 1, 2, 3, 4, 5, 6, 2], "row 2 twice"),
        (list(range(8)), "row 7 twice"),
    ],
)
def test_missing_and_doubled_rows_are_errors(rows: list[int], message: str) -> None:
    _, documents, relevance = example()
    metrics = RankingMetrics(relevance, 7, 11)
    metrics.update("query", torch.tensor(rows), torch.randn(len(rows), 4))
    metrics.update("document", torch.arange(11), documents)
    with pytest.raises(UserError, match=message):
        metrics.compute()


def test_nothing_to_measure_is_an_error() -> None:
    with pytest.raises(UserError, match="at least one query"):
        RankingMetrics(Relevance.from_lists([[], []]), 2, 3)
    with pytest.raises(UserError, match="relevance for 3 queries"):
        RankingMetrics(Relevance.from_lists([[0], []]), 3, 3)


def measure_shard(rank: int, port: int) -> dict[str, float]:
    store = torch.distributed.TCPStore("127.0.0.1", port, 2, rank == 0, timeout=timedelta(seconds=60))
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=timedelta(seconds=60))
    try:
        queries, documents, relevance = example()
        metrics = RankingMetrics(relevance, 7, 11)
        # All queries come to one process, and the documents unevenly.
        if rank == 0:
            order = torch.tensor([6, 0, 1, 2, 3, 5, 4])
            metrics.update("query", order, queries[order])
        for rows in torch.arange(8).split(3) if rank == 1 else [torch.tensor([10, 8, 9])]:
            metrics.update("document", rows, documents[rows])
        return {name: float(value) for name, value in metrics.compute().items()}
    finally:
        torch.distributed.destroy_process_group()


def measure_second_shard(port: int, file: str) -> None:
    torch.set_num_threads(1)
    Path(file).write_text(json.dumps(measure_shard(1, port)))


def test_two_processes_measure_what_one_does(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    other = mp.get_context("spawn").Process(target=measure_second_shard, args=(port, str(tmp_path / "second.json")))
    other.start()
    try:
        first = measure_shard(0, port)
    finally:
        other.join(60)
        other.kill()
    queries, documents, relevance = example()
    alone = filled(RankingMetrics(relevance, 7, 11), queries, documents).compute()
    assert first == {name: float(value) for name, value in alone.items()}
    assert json.loads((tmp_path / "second.json").read_text()) == first
