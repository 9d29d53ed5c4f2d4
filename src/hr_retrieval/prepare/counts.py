"""What a prepared data set holds, split by split."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from hr_retrieval.data.arrays import PairNumbers
from hr_retrieval.data.tables import SPLITS
from hr_retrieval.prepare.intake import Intake
from hr_retrieval.prepare.resolution import Resolution

# Pairs that are looked at together.
_BLOCK = 1 << 22


def counts_of(resolution: Resolution, intake: Intake, rejected: Mapping[str, int]) -> dict[str, Any]:
    """`counts` of `dataset.json`."""
    by_split = {
        name: {
            "queries": int((resolution.splits == number).sum()),
            "documents": _documents_of(resolution, number),
            "positives": _pairs_of(resolution, resolution.positives, number),
            "negatives": _pairs_of(resolution, resolution.negatives, number),
        }
        for name, number in SPLITS.items()
    }
    sizes = np.bincount(resolution.clusters)
    return {
        "queries": len(resolution.queries),
        "documents": len(resolution.documents),
        "positives": len(resolution.positives),
        "negatives": len(resolution.negatives),
        "splits": by_split,
        "merged": resolution.merged,
        "near_duplicate_documents": int(sizes[sizes > 1].sum()),
        "skipped_values": dict(intake.skipped),
        "rejected": dict(rejected),
        "masked": dict(intake.masked),
        "boilerplate": intake.boilerplate,
        "leaks": resolution.leaks,
        "repaired": resolution.repaired,
    }


def _in_split(resolution: Resolution, pairs: PairNumbers, split: int) -> Iterator[PairNumbers]:
    """The pairs of a split, block by block."""
    count = len(resolution.documents)
    for begin in range(0, len(pairs), _BLOCK):
        block = pairs[begin : begin + _BLOCK]
        yield block[resolution.splits[block // count] == split]


def _pairs_of(resolution: Resolution, pairs: PairNumbers, split: int) -> int:
    return sum(len(block) for block in _in_split(resolution, pairs, split))


def _documents_of(resolution: Resolution, split: int) -> int:
    """How many documents answer a query of the split."""
    count = len(resolution.documents)
    answers = np.zeros(count, dtype=bool)
    for block in _in_split(resolution, resolution.positives, split):
        answers[block % count] = True
    return int(answers.sum())
