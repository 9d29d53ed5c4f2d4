"""Near-duplicates of texts, found by ours and by a library of MinHash.

    python -m benchmarks.near_duplicates --texts 100000 --peer rensa

Made texts of 60 words, every fifth the one before with two words changed. Shingles, the check of
candidates and the clusters are ours in both: the library brings its signatures, and datasketch its
index.
Needs datasketch or rensa (`pip install datasketch rensa`).
"""

import argparse
from collections.abc import Callable
from time import process_time

import numpy as np

from hr_retrieval.data.arrays import Codes, Hashes, Offsets
from hr_retrieval.prepare.duplicates import _band_key, _candidates, _jaccard, _shingles, near_duplicates
from hr_retrieval.prepare.split import alone, join

_THRESHOLD, _FUNCTIONS = 0.8, 128
# Bands and rows that ours takes for this threshold.
_BANDS = 18
Pairs = tuple[list[int], list[int]]


def main() -> None:
    """Print seconds of processor time, and what each finds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--peer", choices=_PEERS, default="rensa")
    arguments = parser.parse_args()
    texts = _texts(arguments.texts)
    blocks = [texts[begin : begin + 4096] for begin in range(0, len(texts), 4096)]
    begin = process_time()
    ours = near_duplicates(blocks, _THRESHOLD)
    between = process_time()
    theirs = _by_peer(blocks, _PEERS[arguments.peer])
    end = process_time()
    copies = np.arange(4, len(texts), 5)
    for name, seconds, roots in (("ours", between - begin, ours), (arguments.peer, end - between, theirs)):
        found = (roots[copies] == roots[copies - 1]).mean()
        print(f"{name:<11}{seconds:8.1f} s of processor time, {found:.4f} of the copies found")
    print(f"{arguments.peer} / ours: {(end - between) / (between - begin):.2f}")


def _texts(count: int) -> list[str]:
    draw = np.random.default_rng(1)
    words = draw.integers(0, 20_000, (count, 60))
    words[4::5] = words[3::5][: len(words[4::5])]
    words[4::5, 20:22] = draw.integers(0, 20_000, (len(words[4::5]), 2))
    return [" ".join(f"w{word}" for word in row) for row in words.tolist()]


def _by_peer(blocks: list[list[str]], candidates: Callable[[Hashes, Offsets], Pairs]) -> Codes:
    hashes, offsets = _shingles(blocks)
    left, right = (np.array(side, np.int32) for side in candidates(hashes, offsets))
    alike = _jaccard(hashes, offsets, left, right) >= _THRESHOLD
    return join(alone(len(offsets) - 1), left[alike], right[alike])


def _datasketch(hashes: Hashes, offsets: Offsets) -> Pairs:
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=_FUNCTIONS, params=(_BANDS, _FUNCTIONS // _BANDS))
    left, right = [], []
    for row in range(len(offsets) - 1):
        signature = MinHash(num_perm=_FUNCTIONS, hashfunc=int)
        signature.update_batch((hashes[offsets[row] : offsets[row + 1]] >> np.uint64(32)).tolist())
        for other in index.query(signature):
            left.append(other)
            right.append(row)
        index.insert(row, signature)
    return left, right


def _rensa(hashes: Hashes, offsets: Offsets) -> Pairs:
    from rensa import RMinHash

    # Its index answers for one object of Python a text, or says only which texts have a twin: the
    # bands are ours.
    digests = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets.astype(np.uint64), _FUNCTIONS, 1)
    signatures = np.array(digests.to_rows(), np.uint64)
    rows = _FUNCTIONS // _BANDS
    left: list[int] = []
    right: list[int] = []
    for band in range(_BANDS):
        pairs = _candidates(_band_key(signatures[:, band * rows : (band + 1) * rows]))
        left += pairs[0].tolist()
        right += pairs[1].tolist()
    return left, right


_PEERS = {"datasketch": _datasketch, "rensa": _rensa}

if __name__ == "__main__":
    main()
