"""Which pairs make which batch: a stream that depends on the seed and the position only."""

from collections.abc import Iterator
from itertools import count, islice

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

from hr_retrieval.errors import UserError

# How many batches' worth of pairs may wait.
_AHEAD = 16


class PairSampler(Sampler[tuple[int, npt.NDArray[np.int64]]]):
    """An endless stream of batches of pair numbers, read in slices of one pass over the data.

    Pass `p` is a permutation seeded by `(seed, p)`. Batch number `n` of the stream is thus a
    function of the seed and `n`, so that a resumed run goes on exactly where it was, and an epoch
    cut short by `limit_train_batches` is followed by the pairs that it left out.

    Length buckets: runs of `bucket_batches` batches are sorted by length, cut into batches, and the
    batches shuffled. Texts of one batch are then of similar length, which saves padding where the
    encoder pads. What does not fill a batch at the end of a pass is left out of that pass.

    Without repeats: a pair whose anchor or document stands in its batch already waits for the next
    one, so that an in-batch negative is always another text, and no text counts twice. Where
    nothing repeats, the batches are what they are without this.

    Curriculum (Bengio et al. 2009): the first pass goes from the easy to the hard pairs. As in
    Platanios et al. (2019) a pair is as hard as the share of pairs that are easier; the order is
    that of this share plus a draw from `[0, 1)`, so that no pair is put off for certain and each
    comes once.

    Args:
        lengths: tokens of each of the `P` pairs.
        batch_size: pairs a batch on each process.
        seed: of the permutations.
        bucket_batches: batches in a bucket run; 1 leaves the batches random.
        process: number of this process.
        processes: how many processes share each global batch of `batch_size * processes` pairs.
        texts: `[2, P]`, numbers of each pair's anchor and document, for batches without repeats;
            `None` lets them repeat.
        hardness: of each pair, any number, for a curriculum; `None` for none.
        source: what the pairs are of, for messages.

    Raises:
        UserError: a global batch is larger than the data, a size is below 1, or length buckets are
            asked for without repeats or with a curriculum.
    """

    def __init__(
        self,
        lengths: npt.NDArray[np.integer],
        batch_size: int,
        seed: int,
        bucket_batches: int = 1,
        process: int = 0,
        processes: int = 1,
        texts: npt.NDArray[np.integer] | None = None,
        hardness: npt.NDArray[np.number] | None = None,
        source: str = "",
    ) -> None:
        check_batch_fits(batch_size, len(lengths), processes, source)
        if bucket_batches < 1:
            raise UserError("bucket_batches of at least 1", str(bucket_batches), "Mend datamodule.bucket_batches.")
        for other, what, key in (
            (texts, "batches without repeats", "repeats=false"),
            (hardness, "a curriculum", "curriculum"),
        ):
            if other is not None and bucket_batches > 1:
                raise UserError(
                    f"bucket_batches of 1 with {what}",
                    f"datamodule.bucket_batches={bucket_batches} and datamodule.{key}",
                    "Set one of the two.",
                )
        self.global_batch = batch_size * processes
        self.lengths, self.batch_size, self.seed, self.bucket_batches = lengths, batch_size, seed, bucket_batches
        self.process, self.texts, self.hardness = process, texts, hardness
        self.position = 0

    def __len__(self) -> int:
        """Batches of one pass."""
        return len(self.lengths) // self.global_batch

    def go_on(self, position: int, global_batch: int) -> None:
        """Go on behind the first `position` batches of so many pairs each.

        Where batches have another size now, it is with the first batch of this size whose pairs
        were all left over in the pass under way; so no pair comes twice in it.
        """
        passes, within = divmod(position, len(self.lengths) // global_batch)
        self.position = passes * len(self) + min(len(self), -(-within * global_batch // self.global_batch))

    def __iter__(self) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
        """The next `len(self)` batches from `position` on, each with its number; whoever consumes
        them moves `position`.
        """
        return islice(self.stream(), len(self))

    def stream(self) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
        """All batches from `position` on."""
        start = self.position
        for number in count(start):
            pass_number, within = divmod(number, len(self))
            if number == start or within == 0:
                batches = self._pass(pass_number)
            begin = self.process * self.batch_size
            yield number, batches[within, begin : begin + self.batch_size].astype(np.int64)

    def _pass(self, pass_number: int) -> npt.NDArray[np.int32]:
        generator = np.random.default_rng((self.seed, pass_number))
        # int32 halves what ten million pairs cost in memory.
        order = np.arange(len(self.lengths), dtype=np.int32)
        generator.shuffle(order)
        if self.hardness is not None and pass_number == 0:
            easier = np.searchsorted(np.sort(self.hardness), self.hardness) / len(order)
            order = order[np.argsort(easier[order] + generator.random(len(order)))]
        if self.texts is not None:
            return _without_repeats(order, self.texts, len(self), self.global_batch)
        batches = order[: len(self) * self.global_batch].reshape(len(self), self.global_batch)
        if self.bucket_batches == 1:
            return batches
        bucketed = np.empty_like(batches)
        for begin in range(0, len(batches), self.bucket_batches):
            run = batches[begin : begin + self.bucket_batches]
            pairs = run.ravel()
            by_length = pairs[np.argsort(self.lengths[pairs], kind="stable")].reshape(run.shape)
            bucketed[begin : begin + len(run)] = by_length[generator.permutation(len(run))]
        return bucketed[generator.permutation(len(bucketed))]


def _without_repeats(
    order: npt.NDArray[np.int32], texts: npt.NDArray[np.integer], count: int, size: int
) -> npt.NDArray[np.int32]:
    """`count` batches of `size` pairs in this order, but for pairs that wait because a text of
    theirs is in the batch already.

    Where even `_AHEAD` batches hold too few different texts (one document may have half of all
    pairs), the batch is filled with repeats.
    """
    batches = np.empty((count, size), np.int32)
    waiting, begin = order[:0], 0
    for batch in batches:
        different = _different(waiting, texts)
        while len(different) < size and begin < len(order) and len(waiting) < _AHEAD * size:
            waiting = np.concatenate([waiting, order[begin : begin + size]])
            begin += size
            different = _different(waiting, texts)
        taken = different[:size]
        if len(taken) < size:
            taken = np.concatenate([taken, np.setdiff1d(np.arange(len(waiting)), taken)[: size - len(taken)]])
        batch[:] = waiting[taken]
        waiting = np.delete(waiting, taken)
    return batches


def _different(pairs: npt.NDArray[np.int32], texts: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Places, ascending, of pairs that share no text with an earlier one of them."""
    kept = np.arange(len(pairs))
    for numbers in texts:
        kept = kept[np.sort(np.unique(numbers[pairs[kept]], return_index=True)[1])]
    return kept


def check_batch_fits(batch_size: int, pairs: int, processes: int = 1, source: str = "") -> None:
    """Raise `UserError` unless the global batch has at least one pair and at most as many as there
    are; it names the source, where one is given.
    """
    if batch_size < 1:
        raise UserError("a batch_size of at least 1", str(batch_size), "Mend datamodule.batch_size.")
    if batch_size * processes > pairs:
        raise UserError(
            "a batch no larger than the training data",
            f"a batch of {batch_size * processes} and {pairs} training pairs{source and f' of {source}'}",
            f"Set datamodule.batch_size to {max(1, pairs // processes)} or less, or bring more data.",
        )
