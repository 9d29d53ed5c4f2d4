"""The exactly best documents of an index on disk, by reading all of it: what approximate search is held against."""

from collections.abc import Iterator
from itertools import count

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor


def best_by_scan(
    blocks: Iterator[tuple[list[str], npt.NDArray[np.float32]]],
    embeddings: Float[Tensor, "Q d"],
    documents: int,
    k: int,
    pooled: str,
) -> list[set[str]]:
    """The ids of the best `k` documents of each query; of equal ones those whose ids come first.

    Memory: four bytes a query and document, and the ids.

    Args:
        blocks: ids and vectors of passages, those of a document anywhere.
        documents: how many there are at most.
        pooled: whether a document scores by its best passage (`max`) or by all of them (`mean`).
    """
    combined = np.maximum if pooled == "max" else np.add
    numbers, following = dict[str, int](), count()
    scores = np.full((len(embeddings), documents), -np.inf if pooled == "max" else 0.0, np.float32)
    passages = np.zeros(documents, np.int64)
    for ids, vectors in blocks:
        own = np.array(
            [numbers[name] if name in numbers else numbers.setdefault(name, next(following)) for name in ids]
        )
        order = np.argsort(own, kind="stable")
        places, begins, counts = np.unique(own[order], return_index=True, return_counts=True)
        block = (embeddings @ torch.from_numpy(np.array(vectors)).T).numpy()[:, order]
        scores[:, places] = combined(scores[:, places], combined.reduceat(block, begins, axis=1))
        passages[places] += counts
    names = list(numbers)
    found = scores[:, : len(names)]
    if pooled == "mean":
        found = (found / passages[: len(names)]).astype(np.float32)
    return [_best(line, names, k) for line in found]


def _best(scores: npt.NDArray[np.float32], names: list[str], k: int) -> set[str]:
    least = np.partition(scores, -k)[-k] if k < len(scores) else -np.inf
    rows = np.flatnonzero(scores >= least).tolist()
    return {names[row] for row in sorted(rows, key=lambda row: (-scores[row], names[row]))[:k]}
