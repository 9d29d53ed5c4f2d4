"""The stream of training batches: each is of one source, and the sources take turns by their shares."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler

from hr_retrieval.data.arrays import Places
from hr_retrieval.data.batch import Batch
from hr_retrieval.data.pairs import TrainingPairs
from hr_retrieval.data.sampler import PairSampler

# A source, the number of its batch, and the pairs in it.
Turn = tuple[int, int, Places]


def next_source(shares: Sequence[float], taken: Sequence[int]) -> int:
    """The source that is furthest behind its share: `argmax_s share_s (n + 1) - taken_s` for
    `n = sum(taken)`, the first of equal ones.

    It depends on how many batches were taken alone, so that every process takes the same source and
    a resumed run goes on; and no source is ever a whole batch ahead of its share.
    """
    step = sum(taken) + 1
    behind = [share * step - count for share, count in zip(shares, taken, strict=True)]
    return behind.index(max(behind))


class SourceSampler(Sampler[Turn]):
    """The batches of several `PairSampler`s in turn, each source in its own numbering.

    Args:
        samplers: of each source; `None` for one without a share.
        shares: of the batches, which sum to 1.
    """

    def __init__(self, samplers: Sequence[PairSampler | None], shares: Sequence[float]) -> None:
        self.samplers, self.shares = list(samplers), list(shares)

    def __len__(self) -> int:
        """As many batches as one pass over each source has together."""
        return sum(len(sampler) for sampler in self.samplers if sampler is not None)

    def __iter__(self) -> Iterator[Turn]:
        """The next `len(self)` batches; whoever consumes one moves the position of its sampler."""
        taken = self.positions
        streams = [sampler.stream() if sampler is not None else None for sampler in self.samplers]
        for _ in range(len(self)):
            number = next_source(self.shares, taken)
            taken[number] += 1
            stream = streams[number]
            assert stream is not None, "it has a share"
            yield (number, *next(stream))

    @property
    def positions(self) -> list[int]:
        """Batches of each source that were consumed."""
        return [sampler.position if sampler is not None else 0 for sampler in self.samplers]

    @property
    def global_batch(self) -> int:
        """Pairs of a batch over all processes."""
        return next(sampler.global_batch for sampler in self.samplers if sampler is not None)

    def consumed(self, number: int) -> None:
        """Go on behind one more batch of a source."""
        sampler = self.samplers[number]
        assert sampler is not None, "it has a share"
        sampler.position += 1

    def go_on(self, positions: Sequence[int], global_batch: int) -> None:
        """Go on behind so many batches of each source; see `PairSampler.go_on`."""
        for sampler, position in zip(self.samplers, positions, strict=True):
            if sampler is not None:
                sampler.go_on(position, global_batch)


class SourcePairs(Dataset[Batch]):
    """The training pairs of each source; an item is a whole batch of one of them."""

    def __init__(self, sources: Sequence[TrainingPairs]) -> None:
        self.sources = list(sources)

    def __getitem__(self, turn: Turn) -> Batch:
        number, batch, pairs = turn
        return self.sources[number].batch(batch, pairs)


class ResumableLoader(DataLoader[Batch]):
    """A loader that knows how many batches were consumed; Lightning keeps that number in checkpoints."""

    def __init__(self, pairs: SourcePairs, sampler: SourceSampler, workers: int) -> None:
        self.source_sampler = sampler
        super().__init__(pairs, batch_size=None, sampler=sampler, num_workers=workers)

    def __iter__(self) -> Any:
        for batch in super().__iter__():
            # Counted when the batch is handed over, not when a worker fetched it ahead.
            self.source_sampler.consumed(batch.source)
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """The number of batches of each source consumed since the beginning of training, and how many
        pairs one has over all processes.
        """
        return {"position": self.source_sampler.positions, "global_batch": self.source_sampler.global_batch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on behind the pairs consumed, also where a batch had another size then."""
        # A checkpoint of before there were several sources has a plain number.
        self.source_sampler.go_on(np.atleast_1d(state["position"]).tolist(), state["global_batch"])
