"""Mixing of embeddings: what the loss compares instead of the plain anchors and documents."""

from hr_retrieval.objective.mixing.anchor import AnchorMixing
from hr_retrieval.objective.mixing.base import ABSENT, Mixed, Mixing
from hr_retrieval.objective.mixing.candidates import Neighbours
from hr_retrieval.objective.mixing.document import DocumentMixing
from hr_retrieval.objective.mixing.hard_negative import AnchorNegativeMixing, NegativeNegativeMixing
from hr_retrieval.objective.mixing.neighbour import NeighbourMixing
from hr_retrieval.objective.mixing.neighbour_positive import NeighbourPositiveMixing
from hr_retrieval.objective.mixing.none import NoMixing
from hr_retrieval.objective.mixing.pool_negative import PoolNegativeMixing
from hr_retrieval.objective.mixing.positive_group import PositiveGroupMixing
from hr_retrieval.objective.mixing.positive_negative import PositiveNegativeMixing
from hr_retrieval.objective.mixing.positive_positive import PositivePositiveMixing
from hr_retrieval.objective.mixing.query_view import QueryViewMixing
from hr_retrieval.objective.mixing.soft_label import SoftLabelMixing
from hr_retrieval.objective.queue import MemoryQueue

__all__ = [
    "ABSENT",
    "AnchorMixing",
    "AnchorNegativeMixing",
    "DocumentMixing",
    "MemoryQueue",
    "Mixed",
    "Mixing",
    "NegativeNegativeMixing",
    "NeighbourMixing",
    "NeighbourPositiveMixing",
    "Neighbours",
    "NoMixing",
    "PoolNegativeMixing",
    "PositiveGroupMixing",
    "PositiveNegativeMixing",
    "PositivePositiveMixing",
    "QueryViewMixing",
    "SoftLabelMixing",
]
