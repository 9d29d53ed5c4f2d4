"""Mixing of embeddings at ranking time: with nearest documents, with what a query finds, less what
is near to everything.
"""

from hr_retrieval.retrieval.mixing.base import RankingMixing
from hr_retrieval.retrieval.mixing.composition import AutoMixing, Composition, Mixed
from hr_retrieval.retrieval.mixing.corpus import Bank, Corpus, Side
from hr_retrieval.retrieval.mixing.documents import DocumentMixing
from hr_retrieval.retrieval.mixing.hubs import HubCorrection
from hr_retrieval.retrieval.mixing.lexical import LexicalMixing
from hr_retrieval.retrieval.mixing.queries import QueryMixing
from hr_retrieval.retrieval.mixing.views import ViewMixing

__all__ = [
    "AutoMixing",
    "Bank",
    "Composition",
    "Corpus",
    "DocumentMixing",
    "HubCorrection",
    "LexicalMixing",
    "Mixed",
    "QueryMixing",
    "RankingMixing",
    "Side",
    "ViewMixing",
]
