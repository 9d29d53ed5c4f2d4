"""Mixing of embeddings: what the loss compares instead of the plain anchors and documents."""

from hr_retrieval.model.mixing.anchor import AnchorMixing
from hr_retrieval.model.mixing.base import ABSENT, Mixed, Mixing
from hr_retrieval.model.mixing.candidates import Neighbours
from hr_retrieval.model.mixing.hard_negative import AnchorNegativeMixing, NegativeNegativeMixing
from hr_retrieval.model.mixing.neighbour import NeighbourMixing
from hr_retrieval.model.mixing.neighbour_positive import NeighbourPositiveMixing
from hr_retrieval.model.mixing.none import NoMixing
from hr_retrieval.model.mixing.positive_negative import PositiveNegativeMixing
from hr_retrieval.model.mixing.positive_positive import PositivePositiveMixing
from hr_retrieval.model.mixing.queue import MemoryQueue
from hr_retrieval.model.mixing.soft_label import SoftLabelMixing

__all__ = [
    "ABSENT",
    "AnchorMixing",
    "AnchorNegativeMixing",
    "MemoryQueue",
    "Mixed",
    "Mixing",
    "NegativeNegativeMixing",
    "NeighbourMixing",
    "NeighbourPositiveMixing",
    "Neighbours",
    "NoMixing",
    "PositiveNegativeMixing",
    "PositivePositiveMixing",
    "SoftLabelMixing",
]
