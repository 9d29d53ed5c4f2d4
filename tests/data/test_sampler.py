"""The stream of batches: true length, every pair once a pass, the same for any start and any number of processes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.data.sampler import PairSampler
from hr_retrieval.errors import UserError


def take(sampler: PairSampler, count: int) -> list[tuple[int, list[int]]]:
    """So many batches, over as many passes as that needs."""
    taken: list[tuple[int, list[int]]] = []
    while len(taken) < count:
        for number, pairs in sampler:
            taken.append((number, pairs.tolist()))
            sampler.position += 1
            if len(taken) == count:
                break
    return taken


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 8), st.integers(1, 5), st.integers(0, 3))
def test_a_pass_holds_each_pair_at_most_once_and_as_many_batches_as_it_says(
    pairs: int, batch_size: int, bucket_batches: int, seed: int
) -> None:
    batch_size = min(batch_size, pairs)
    sampler = PairSampler(np.arange(pairs), batch_size, seed, bucket_batches)
    batches = [batch.tolist() for _, batch in sampler]
    seen = [pair for batch in batches for pair in batch]
    assert len(batches) == len(sampler) == pairs // batch_size
    assert len(set(seen)) == len(seen) == len(sampler) * batch_size


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 25), st.integers(1, 4))
def test_a_stream_taken_up_anywhere_goes_on_the_same(start: int, bucket_batches: int) -> None:
    lengths = np.arange(23) % 7
    whole = take(PairSampler(lengths, 3, seed=5, bucket_batches=bucket_batches), 40)
    later = PairSampler(lengths, 3, seed=5, bucket_batches=bucket_batches)
    later.position = start
    assert take(later, 10) == whole[start : start + 10]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30),
    st.integers(1, 6),
    st.integers(0, 3),
)
def test_without_repeats_each_pair_comes_once_and_waits_only_for_a_text_of_its_own(
    pairs: list[tuple[int, int]], batch_size: int, seed: int
) -> None:
    batch_size = min(batch_size, len(pairs))
    sampler = PairSampler(np.zeros(len(pairs), int), batch_size, seed, texts=np.array(pairs).T)
    batches = [batch.tolist() for _, batch in sampler]
    seen = [pair for batch in batches for pair in batch]
    assert len(set(seen)) == len(seen) == len(pairs) // batch_size * batch_size
    # A naive twin over lists; the pass is short enough for all of it to wait.
    waiting = np.random.default_rng((seed, 0)).permutation(np.arange(len(pairs), dtype=np.int32)).tolist()
    for batch in batches:
        kept = list({pairs[number][0]: number for number in reversed(waiting)}.values())
        kept = sorted(
            {pairs[number][1]: number for number in sorted(kept, key=waiting.index, reverse=True)}.values(),
            key=waiting.index,
        )
        if len(kept) >= batch_size:
            assert batch == kept[:batch_size]
            assert all(len({pairs[number][side] for number in batch}) == batch_size for side in (0, 1))
        waiting = [number for number in waiting if number not in batch]


def test_without_repeats_where_none_would_repeat_the_batches_are_the_same() -> None:
    texts = np.stack([np.arange(50), np.arange(50)[::-1]])
    assert take(PairSampler(np.zeros(50, int), 4, seed=3, texts=texts), 30) == take(
        PairSampler(np.zeros(50, int), 4, seed=3), 30
    )


def test_one_text_in_every_pair_still_fills_the_batches() -> None:
    texts = np.stack([np.arange(400), np.zeros(400, int)])
    batches = take(PairSampler(np.zeros(400, int), 4, seed=3, texts=texts), 100)
    assert sorted(pair for _, batch in batches for pair in batch) == list(range(400))


def test_length_buckets_and_no_repeats_exclude_each_other() -> None:
    with pytest.raises(UserError, match=r"datamodule\.repeats=false"):
        PairSampler(np.zeros(8, int), 2, 1, bucket_batches=2, texts=np.zeros((2, 8), int))


def test_length_buckets_and_a_curriculum_exclude_each_other() -> None:
    with pytest.raises(UserError, match=r"datamodule\.curriculum"):
        PairSampler(np.zeros(8, int), 2, 1, bucket_batches=2, hardness=np.arange(8))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([-1.5, 0.0, 2.0, 7.0]), min_size=1, max_size=40), st.integers(0, 3))
def test_a_curriculum_orders_the_first_pass_alone(hardness: list[float], seed: int) -> None:
    plain = PairSampler(np.zeros(len(hardness), int), 1, seed)
    sampler = PairSampler(np.zeros(len(hardness), int), 1, seed, hardness=np.array(hardness))
    first, both = take(plain, 2 * len(hardness)), take(sampler, 2 * len(hardness))
    # A naive twin: each pair's share of easier ones, and a draw beside it.
    generator = np.random.default_rng((seed, 0))
    order = np.arange(len(hardness), dtype=np.int32)
    generator.shuffle(order)
    draws = generator.random(len(hardness)).tolist()
    keys = {}
    for pair, draw in zip(order.tolist(), draws, strict=True):
        keys[pair] = sum(other < hardness[pair] for other in hardness) / len(hardness) + draw
    assert [pair for _, (pair,) in both[: len(hardness)]] == sorted(keys, key=keys.__getitem__)
    assert both[len(hardness) :] == first[len(hardness) :]


def test_a_curriculum_begins_with_the_easiest_and_ends_with_the_hardest() -> None:
    hardness = np.random.default_rng(0).permutation(1000)
    batches = [hardness[batch].mean() for _, batch in take(PairSampler(hardness, 100, 1, hardness=hardness), 10)]
    assert batches[0] < 200 < 400 < batches[4] < 600 < 800 < batches[-1]


def test_processes_share_the_global_batch_of_one_process() -> None:
    lengths = np.arange(24)
    one = take(PairSampler(lengths, 6, seed=1, bucket_batches=2), 8)
    parts = [
        take(PairSampler(lengths, 3, seed=1, bucket_batches=2, process=process, processes=2), 8) for process in (0, 1)
    ]
    assert [first + second for (_, first), (_, second) in zip(*parts, strict=True)] == [batch for _, batch in one]


def test_passes_and_seeds_differ() -> None:
    lengths = np.arange(24)
    stream = take(PairSampler(lengths, 24, seed=1), 2)
    assert stream[0][1] != stream[1][1]
    assert take(PairSampler(lengths, 24, seed=2), 1)[0][1] != stream[0][1]


def test_buckets_bring_similar_lengths_together() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 400)

    def spread(bucket_batches: int) -> float:
        sampler = PairSampler(lengths, 10, seed=1, bucket_batches=bucket_batches)
        return float(np.mean([np.ptp(lengths[pairs]) for _, pairs in sampler]))

    assert spread(10) < 0.3 * spread(1)


def test_a_batch_larger_than_the_data_is_refused_with_the_size_that_fits() -> None:
    with pytest.raises(UserError, match="batch_size to 5 or less"):
        PairSampler(np.arange(10), 6, seed=1, processes=2)
    with pytest.raises(UserError, match="at least 1"):
        PairSampler(np.arange(10), 0, seed=1)


@settings(max_examples=40, deadline=None)
@given(st.integers(8, 60), st.integers(1, 8), st.integers(1, 8), st.integers(0, 100))
def test_batches_of_another_size_go_on_behind_the_pairs_consumed(
    pairs: int, before: int, now: int, position: int
) -> None:
    """No pair of the pass under way comes again, and less than a batch of it is left out beside the end of the pass."""
    first, then = (PairSampler(np.arange(pairs), size, seed=3) for size in (before, now))
    within = position % len(first)
    consumed = {pair for _, batch in take(first, position)[position - within :] for pair in batch}
    then.go_on(position, before)
    assert then.position // len(then) in (position // len(first), position // len(first) + 1)
    left = len(then) * (position // len(first) + 1) - then.position
    rest = [pair for _, batch in take(then, left) for pair in batch]
    assert not consumed & set(rest)
    assert len(consumed) + len(rest) > pairs - 2 * now
    then.go_on(position, now)
    assert then.position == position
