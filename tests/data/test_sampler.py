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
