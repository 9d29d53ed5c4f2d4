"""The turns of several sources: as exact arithmetic has them, in their shares at any time, the same after a resume."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.data.batch import Batch
from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.data.sampler import PairSampler
from hr_retrieval.data.stream import SourceSampler, next_source
from hr_retrieval.encoder.encoder import Encoder
from tests.conftest import write_toy_dataset
from tests.data.test_datamodule import same


def turns(shares: list[float], count: int) -> list[int]:
    taken, order = [0] * len(shares), []
    for _ in range(count):
        order.append(next_source(shares, taken))
        taken[order[-1]] += 1
    return order


def naive(weights: list[int], count: int) -> list[int]:
    """The first of the sources that have most of their share still to come, in exact numbers."""
    order: list[int] = []
    for number in range(count):
        due = [Fraction(weight, sum(weights)) * (number + 1) - order.count(s) for s, weight in enumerate(weights)]
        order.append(due.index(max(due)))
    return order


# Shares that float arithmetic has exactly, so that ties are ties.
@pytest.mark.parametrize("weights", [[1], [1, 1], [3, 1], [1, 0, 3], [5, 2, 1], [0, 1], [1, 2, 4, 1]])
def test_turns_are_those_of_exact_arithmetic(weights: list[int]) -> None:
    shares = [weight / sum(weights) for weight in weights]
    assert turns(shares, 200) == naive(weights, 200)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0, 10), min_size=1, max_size=5).filter(lambda weights: sum(weights) > 0.1))
def test_no_source_is_ahead_or_behind_by_a_whole_round(weights: list[float]) -> None:
    shares = [weight / sum(weights) for weight in weights]
    order = turns(shares, 300)
    for step in range(1, 301):
        for source, share in enumerate(shares):
            count = order[:step].count(source)
            assert count < share * step + 1 + 1e-6
            assert count > share * step - len(shares)
    assert all(share > 0 for share in (shares[source] for source in order))


def test_one_source_is_its_pair_sampler() -> None:
    alone, turned = (PairSampler(np.arange(50), 4, seed=3) for _ in range(2))
    several = SourceSampler([turned], [1.0])
    assert len(several) == len(alone)
    assert [(number, pairs.tolist()) for _, number, pairs in several] == [
        (number, pairs.tolist()) for number, pairs in alone
    ]


def test_each_source_has_its_own_numbering_and_an_epoch_is_as_long_as_all_of_them() -> None:
    samplers = [PairSampler(np.arange(size), 4, seed=3) for size in (40, 8)]
    alone = [islice(PairSampler(np.arange(size), 4, seed=3).stream(), 12) for size in (40, 8)]
    drawn = list(SourceSampler(samplers, [0.5, 0.5]))
    assert len(drawn) == 10 + 2
    for source in (0, 1):
        own = [(number, pairs.tolist()) for which, number, pairs in drawn if which == source]
        assert own == [(number, pairs.tolist()) for number, pairs in alone[source]][:6]


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    return [write_toy_dataset(tmp_path / "large"), write_toy_dataset(tmp_path / "small", 30, mark="x")]


def make(folders: list[Path], encoder: Encoder, workers: int = 0, weight: float = 3.0) -> RetrievalDataModule:
    sources = {"large": {"weight": weight}, "small": {"query_prefix": "small: "}}
    module = RetrievalDataModule(
        folders, encoder, batch_size=8, workers=workers, sources=sources, positives_per_anchor=2
    )
    module.prepare_data()
    module.setup("fit")
    return module


def drawn(module: RetrievalDataModule, epochs: int = 2) -> Iterator[Batch]:
    for _ in range(epochs):
        yield from module.train_dataloader()


def test_a_batch_is_of_one_source_and_reads_as_that_source_alone(two: list[Path], tiny_encoder: Encoder) -> None:
    module = make(two, tiny_encoder)
    texts = [
        {table: [text for block in source.dataset.texts(table) for text in block] for table in ("queries", "corpus")}
        for source in module.sources
    ]
    seen = []
    for batch in module.train_dataloader():
        source = module.sources[batch.source]
        queries = (batch.query_rows - source.first_query).tolist()
        documents = (batch.document_rows - source.first_document).tolist()
        assert max(queries) < source.dataset.query_count
        assert min(*queries, *documents) >= 0
        prefix = "small: " if source.name == "small" else ""
        own = texts[batch.source]
        expected = tiny_encoder.tokenise([prefix + own["queries"][row] for row in queries], "query")[0]
        assert batch.anchors.ids.tolist() == expected.ids.tolist()
        expected = tiny_encoder.tokenise([own["corpus"][row] for row in documents], "document")[0]
        assert batch.documents.ids.tolist() == expected.ids.tolist()
        relevance, negative = source.guard.judge(np.array(queries), np.array(documents))
        assert batch.relevance.tolist() == relevance.tolist()
        assert batch.negative.tolist() == negative.tolist()
        seen.append(batch.source)
    assert len(seen) == len(module.train_dataloader()) == 96 // 8 + 48 // 8
    assert seen == turns([0.75, 0.25], len(seen))


def test_two_sources_and_two_workers_resumed_within_an_epoch_go_on_bit_for_bit(
    two: list[Path], tiny_encoder: Encoder
) -> None:
    whole = list(drawn(make(two, tiny_encoder)))
    first = make(two, tiny_encoder, workers=2)
    taken = list(islice(drawn(first), 7))
    resumed = make(two, tiny_encoder, workers=2)
    resumed.load_state_dict(first.state_dict())
    taken += list(islice(drawn(resumed), len(whole) - 7))
    assert same(taken, whole)
    assert [batch.source for batch in taken] == [batch.source for batch in whole]


def test_processes_take_the_same_source_at_a_step_and_share_its_batch(two: list[Path], tiny_encoder: Encoder) -> None:
    one = make(two, tiny_encoder)
    order = [(number, batch, pairs.tolist()) for number, batch, pairs in one.train_dataloader().source_sampler]
    parts = []
    for process in (0, 1):
        samplers = [PairSampler(pairs.lengths(), 4, one.seed, process=process, processes=2) for pairs in one.pairs]
        parts.append(list(SourceSampler(samplers, [0.75, 0.25])))
    for whole, (first, second) in zip(order, zip(*parts, strict=True), strict=True):
        assert whole == (first[0], first[1], [*first[2].tolist(), *second[2].tolist()])
        assert second[:2] == first[:2]


def test_another_batch_size_goes_on_in_each_source_behind_what_it_had() -> None:
    def made(size: int) -> SourceSampler:
        return SourceSampler([PairSampler(np.arange(pairs), size, seed=1) for pairs in (64, 32)], [0.5, 0.5])

    before, now = made(8), made(4)
    passed: list[set[int]] = [set(), set()]
    for number, _, pairs in islice(before, 5):
        before.consumed(number)
        passed[number] |= set(pairs.tolist())
    now.go_on(before.positions, before.global_batch)
    assert now.positions == [6, 4]
    for number, _, pairs in islice(now, 4):
        assert not passed[number] & set(pairs.tolist())


def test_a_source_of_weight_0_is_measured_and_never_drawn(two: list[Path], tiny_encoder: Encoder) -> None:
    module = make(two, tiny_encoder, weight=0.0)
    assert {batch.source for batch in module.train_dataloader()} == {1}
    assert {batch.source for batch in module.val_dataloader()} == {0, 1}
