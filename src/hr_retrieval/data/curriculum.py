"""Which pairs a training takes first."""

import numpy as np
import numpy.typing as npt

from hr_retrieval.data.grades import GradedTables, weighted
from hr_retrieval.data.pairs import TrainingPairs
from hr_retrieval.errors import UserError

CURRICULA = ("length", "weight")


def check_curriculum(curriculum: str | None, tables: GradedTables) -> None:
    """Raise `UserError` unless it is known, and the data tell pairs apart by it."""
    if curriculum not in (None, *CURRICULA):
        raise UserError(f"datamodule.curriculum of {', '.join(CURRICULA)} or null", repr(curriculum), "Choose one.")
    if curriculum == "weight" and not weighted(tables):
        raise UserError(
            "pairs of different weights or grades for datamodule.curriculum=weight",
            "1 for all",
            "Prepare the data with data.columns.weight or data.columns.relevance, or take length.",
        )


def hardness(curriculum: str | None, pairs: TrainingPairs) -> npt.NDArray[np.number] | None:
    """A number of each pair, lower for an easy one: its tokens, or its grade times weight below 0; `None` for none."""
    if curriculum is None:
        return None
    if curriculum == "length":
        return pairs.lengths()
    data = pairs.dataset
    return -(data.positive_grades[pairs.places] * data.positive_weights[pairs.places])
