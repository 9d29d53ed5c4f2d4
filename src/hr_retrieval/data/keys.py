"""Texts as pairs of 64-bit hashes in arrays, so that tens of millions are compared without holding one of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pandas.util import hash_array

from hr_retrieval.data.arrays import Codes, Hashes, Mask, Offsets, Places, Rows
from hr_retrieval.errors import UserError

# The first hash sorts and finds; the second, under another key, proves that equal first hashes mean
# equal texts.
_HASH_KEYS = ("hr_retrieval.key", "retrieval_hr.chk")


def keys_of(texts: Sequence[str]) -> Hashes:
    """Keys `[n, 2]` of texts (SipHash under two fixed keys): equal texts have equal keys, on every machine."""
    return np.stack([_hashed(texts, key) for key in _HASH_KEYS], axis=1)


def hashes_of(texts: Sequence[str]) -> Hashes:
    """The first hash `[n]` alone, for what needs no proof."""
    return _hashed(texts, _HASH_KEYS[0])


def _hashed(texts: Sequence[str], key: str) -> Hashes:
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    try:
        hashes: Hashes = hash_array(array, hash_key=key, categorize=False)
    except UnicodeEncodeError:
        # JSON can say a lone surrogate, UTF-8 cannot.
        hashes = _hashed([text.encode("utf-8", "backslashreplace").decode() for text in texts], key)
    return hashes


def mix(hashes: Hashes, salt: Hashes | int) -> Hashes:
    """Hash of (hash, salt), elementwise: SplitMix64 (Steele et al. 2014), a bijection for a fixed salt."""
    mixed = hashes + np.asarray(salt, np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed ^= mixed >> np.uint64(shift)
        mixed *= np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def places_of(wanted: Hashes, hashes: Hashes) -> Codes:
    """The place of each wanted hash among distinct ones, and -1 for one that is not there."""
    if not len(hashes):
        return np.full(len(wanted), -1, np.int32)
    by_hash = np.argsort(hashes).astype(np.int32)
    at = by_hash[np.minimum(np.searchsorted(hashes, wanted, sorter=by_hash), len(hashes) - 1)]
    at[hashes[at] != wanted] = -1
    return at


def rows_by_code(codes: Codes, count: int) -> tuple[Offsets, Rows]:
    """Offsets and rows: those of code `c`, of 0 to `count - 1`, are `rows[offsets[c] : offsets[c + 1]]`, ascending."""
    rows = np.argsort(codes, kind="stable").astype(np.int32)
    return np.searchsorted(codes[rows], np.arange(count + 1, dtype=np.int32)).astype(np.int64), rows


def distinct_numbers(numbers: Places) -> Places:
    """`np.unique`, which needs several times the memory."""
    ordered = np.sort(numbers)
    return ordered[_begins(ordered)]


@dataclass(frozen=True)
class Distinct:
    """The distinct keys among `n`, numbered in order of first occurrence.

    Attributes:
        first: place of the first occurrence of each of `u` distinct keys, ascending.
        codes: for each of the `n` keys the number of its distinct key, in `[0, u)`.
    """

    first: Places
    codes: Codes

    def __len__(self) -> int:
        return len(self.first)

    @classmethod
    def of(cls, keys: Hashes) -> "Distinct":
        """Number keys `[n, 2]`, or hashes `[n]` whose collisions are accepted.

        Raises:
            UserError: two different keys share their first hash.
        """
        # Ten million keys are 80 MB an array: each is dropped as soon as it has served.
        hashes = keys if keys.ndim == 1 else keys[:, 0]
        order = np.argsort(hashes, kind="stable")
        begins = _begins(hashes[order])
        # The sort is stable: the head of a run of equal hashes is its first occurrence.
        first = order[begins]
        if keys.ndim == 2:
            differs = _begins(keys[order, 1])
            if (differs & ~begins).any():
                raise collision()
            del differs
        run = np.cumsum(begins, dtype=np.int32) - np.int32(1)
        del begins
        by_place = np.argsort(first)
        number = np.empty(len(first), np.int32)
        number[by_place] = np.arange(len(first), dtype=np.int32)
        codes = np.empty(len(hashes), np.int32)
        codes[order] = number[run]
        return cls(first[by_place], codes)


class Index:
    """Rows by key.

    Args:
        keys: `[n, 2]`, distinct.
    """

    def __init__(self, keys: Hashes) -> None:
        self.order = np.argsort(keys[:, 0], kind="stable").astype(np.int32)
        self.hashes, self.checks = keys[self.order, 0], keys[self.order, 1]

    def rows(self, keys: Hashes) -> Codes:
        """The row of each key `[m, 2]`, and -1 for a key that is not there."""
        if len(self.order) == 0:
            return np.full(len(keys), -1, np.int32)
        at = np.minimum(np.searchsorted(self.hashes, keys[:, 0]), len(self.hashes) - 1)
        found = self.hashes[at] == keys[:, 0]
        if not np.array_equal(self.checks[at[found]], keys[found, 1]):
            raise collision()
        return np.where(found, self.order[at], np.int32(-1)).astype(np.int32)

    def repeated(self) -> Places:
        """The rows, ascending, whose key an earlier row has."""
        again = ~_begins(self.hashes)
        return np.sort(self.order[again]).astype(np.int64)


def collision() -> UserError:
    """The error for two different texts with one 64-bit hash (once in 10^5 data sets of ten million texts)."""
    return UserError(
        "different texts to have different 64-bit hashes",
        "two that share theirs",
        "Prepare the data in two parts, or leave one row out.",
    )


def _begins(ordered: Hashes | Places) -> Mask:
    begins = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
    return begins
