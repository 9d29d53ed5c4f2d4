"""Near-duplicate documents: texts that differ in a few words, found without comparing all with all."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from hr_retrieval.data.arrays import Codes, Hashes, Offsets
from hr_retrieval.data.keys import hashes_of, mix
from hr_retrieval.prepare.split import alone, join
from hr_retrieval.text import normalise

_SHINGLE_WORDS, _SHINGLE_CHARACTERS, _SHORT = 3, 5, 12
_HASHES = 128
_RECALL = 0.98
# Buckets up to this size are compared all with all, larger ones each text with the first and with
# the one before.
_BUCKET = 64


def near_duplicates(texts: Iterable[Sequence[str]], threshold: float) -> Codes:
    """A cluster number for each text; equal numbers mark near-duplicates, transitively.

    Two texts are near-duplicates if the Jaccard index of their sets of three-word shingles is at
    least `threshold` (five-character shingles if a text has fewer than twelve words). Candidates
    come from MinHash signatures in bands (Broder 1997; Leskovec et al., Mining of Massive Datasets,
    3.4), which find a pair at the threshold with a probability of at least .98; each is then
    checked on the shingles themselves. Memory: about 8 bytes a shingle and 1 KiB a text.

    Args:
        texts: in blocks.
    """
    hashes, offsets = _shingles(texts)
    bands, rows = _bands(threshold)
    signatures = _signatures(hashes, offsets, bands * rows)
    roots = alone(len(offsets) - 1)
    for band in range(bands):
        key = _band_key(signatures[:, band * rows : (band + 1) * rows])
        left, right = _candidates(key)
        # Pairs that earlier bands joined need no second look.
        open_ = roots[left] != roots[right]
        left, right = left[open_], right[open_]
        alike = _jaccard(hashes, offsets, left, right) >= threshold
        join(roots, left[alike], right[alike])
    return roots


def _shingles(texts: Iterable[Sequence[str]]) -> tuple[Hashes, Offsets]:
    """The distinct shingles of all texts, ascending within each, and where each text's begin."""
    parts: list[Hashes] = [np.empty(0, np.uint64)]
    lengths: list[int] = []
    for block in texts:
        words = [normalise(text).split() for text in block]
        numbers = hashes_of([word for text in words for word in text])
        begin = 0
        for text in words:
            tokens, width = numbers[begin : begin + len(text)], _SHINGLE_WORDS
            begin += len(text)
            if len(text) < _SHORT:
                # Salted, so that characters are never taken for words.
                tokens = mix(np.frombuffer(" ".join(text).encode("utf-32-le"), np.uint32).astype(np.uint64), 1)
                width = _SHINGLE_CHARACTERS
            parts.append(np.unique(_windows(tokens, width)))
            lengths.append(len(parts[-1]))
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(np.array(lengths, np.int64), out=offsets[1:])
    return np.concatenate(parts), offsets


def _windows(tokens: Hashes, width: int) -> Hashes:
    """A hash of each run of `width` tokens; of all tokens if they are fewer."""
    width = min(width, len(tokens))
    count = len(tokens) - width + 1
    hashed = np.zeros(count, np.uint64)
    for place in range(width):
        hashed = mix(hashed ^ tokens[place : place + count], place + 1)
    return hashed


def _bands(threshold: float) -> tuple[int, int]:
    """Bands and rows a band: the most rows that still find a pair at the threshold with probability `_RECALL`."""
    rows = 1
    while 1 - (1 - threshold ** (rows + 1)) ** (_HASHES // (rows + 1)) >= _RECALL and rows < 16:
        rows += 1
    return _HASHES // rows, rows


def _signatures(hashes: Hashes, offsets: Offsets, size: int) -> Hashes:
    """MinHash signatures `[texts, size]`: the smallest of each text's shingles under each of `size` hash functions."""
    signatures = np.empty((len(offsets) - 1, size), np.uint64)
    step = 256
    for begin in range(0, len(signatures), step):
        places = offsets[begin : begin + step + 1]
        part = hashes[places[0] : places[-1]]
        for function in range(size):
            signatures[begin : begin + step, function] = np.minimum.reduceat(
                mix(part, function + 1), places[:-1] - places[0]
            )
    return signatures


def _band_key(signature: Hashes) -> Hashes:
    key = np.zeros(len(signature), np.uint64)
    for row in range(signature.shape[1]):
        key = mix(key ^ signature[:, row], row + 1)
    return key


def _candidates(keys: Hashes) -> tuple[Codes, Codes]:
    """Pairs of places with equal keys; see `_BUCKET`."""
    order = np.argsort(keys, kind="stable").astype(np.int32)
    ordered = keys[order]
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    sizes = np.diff(np.append(begins, len(ordered)))
    head, size = np.repeat(begins, sizes), np.repeat(sizes, sizes)
    within = np.arange(len(ordered)) - head
    left, right = [], []
    for distance in range(1, _BUCKET):
        later = np.flatnonzero((within >= distance) & ((size <= _BUCKET) | (distance == 1)))
        if len(later) == 0:
            break
        left.append(order[later - distance])
        right.append(order[later])
    large = np.flatnonzero((size > _BUCKET) & (within > 1))
    left.append(order[head[large]])
    right.append(order[large])
    return np.concatenate(left), np.concatenate(right)


def _jaccard(hashes: Hashes, offsets: Offsets, left: Codes, right: Codes) -> npt.NDArray[np.float64]:
    values = np.empty(len(left), np.float64)
    for place, (a, b) in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
        first, second = hashes[offsets[a] : offsets[a + 1]], hashes[offsets[b] : offsets[b + 1]]
        shared = len(np.intersect1d(first, second, assume_unique=True))
        values[place] = shared / (len(first) + len(second) - shared)
    return values
