"""The texts that counterfactual pairs compare: each as it is, and with the words of one side for the other's."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from hr_retrieval.evaluate.fairness.wordlists import PLACE, Swap, WordList
from hr_retrieval.retrieval.relevance import Relevance

Kind = Literal["query", "document"]
Rows = npt.NDArray[np.int64]

# Queries, and documents relevant to them, that are looked through, and cases that are measured of
# each kind.
SCANNED, MEASURED = 10_000, 1_000


@dataclass(frozen=True)
class Ranked:
    """What is ranked: texts, their embeddings on one device, and the relevance between them on the same.

    Attributes:
        queries: texts of `Q` queries.
        documents: texts of `N` documents.
        query_embeddings: `[Q, d]`.
        document_embeddings: `[N, d]`.
        relevance: queries without a relevant document are left out.
    """

    queries: list[str]
    documents: list[str]
    query_embeddings: Float[Tensor, "Q d"]
    document_embeddings: Float[Tensor, "N d"]
    relevance: Relevance


@dataclass(frozen=True)
class Case:
    """Texts that are changed in one way.

    Attributes:
        list_name: of the word list.
        changed: the side of the search that is changed.
        form: substitution or insertion.
        direction: from which side of the list to which.
        affected: queries that were found for it; `rows` are those measured.
        rows: of the queries.
        documents: rows of the documents that are changed; empty where the queries are.
        before: the changed query or document as it is compared.
        after: with its counterpart.
    """

    list_name: str
    changed: Kind
    form: str
    direction: str
    affected: int
    rows: list[int]
    documents: list[int]
    before: list[str]
    after: list[str]


def cases_of(own: WordList, ranked: Ranked, rows: Rows, generator: np.random.Generator) -> Iterator[Case]:
    """Every case of a list in the queries with these rows, and in the documents relevant to them."""
    fitting = [row for row in rows.tolist() if own.applies_to(ranked.queries[row])]
    if own.pairs:
        yield from _swapped_queries(own, ranked, fitting, generator)
    if own.templates:
        yield from _inserted(own, ranked, fitting, generator)
    if own.pairs:
        yield from _swapped_documents(own, ranked, rows, generator)


def drawn(rows: Rows, count: int, generator: np.random.Generator) -> Rows:
    """At most so many of the rows, in their order."""
    return rows if len(rows) <= count else np.sort(generator.choice(rows, count, replace=False))


def _directions(own: WordList) -> dict[str, frozenset[int]]:
    """What each direction is called, and the sides that a text of it names."""
    one, other = own.sides
    return {
        f"{one} to {other}": frozenset({0}),
        f"{other} to {one}": frozenset({1}),
        f"{one} and {other} exchanged": frozenset({0, 1}),
    }


def _swapped_queries(own: WordList, ranked: Ranked, rows: list[int], generator: np.random.Generator) -> Iterator[Case]:
    swaps = _swaps(own, ranked.queries, rows)
    for direction, sides in _directions(own).items():
        found = np.array([row for row, swap in swaps.items() if swap.sides == sides], dtype=np.int64)
        chosen = drawn(found, MEASURED, generator).tolist()
        before, after = [ranked.queries[row] for row in chosen], [swaps[row].text for row in chosen]
        yield Case(own.name, "query", "substitution", direction, len(found), chosen, [], before, after)


def _inserted(own: WordList, ranked: Ranked, rows: list[int], generator: np.random.Generator) -> Iterator[Case]:
    """Each query within one of the templates, which take turns, against the other side, and against
    the next of its kind.
    """
    chosen = drawn(np.array(rows, dtype=np.int64), MEASURED, generator).tolist()
    texts = [ranked.queries[row] for row in chosen]

    turns = [turn % len(own.templates) for turn in range(len(texts))]
    following = [own.following(place) for place in range(len(own.templates))]

    def within(side: int, places: list[int]) -> list[str]:
        return [own.templates[place][side].replace(PLACE, text) for place, text in zip(places, texts, strict=True)]

    one, other = own.sides
    compared = {f"{one} to {other}": within(1, turns)}
    if all(place != after for place, after in enumerate(following)):
        compared[f"{one} to {one}"] = within(0, [following[place] for place in turns])
    for direction, after in compared.items():
        yield Case(own.name, "query", "insertion", direction, len(rows), chosen, [], within(0, turns), after)


def _swapped_documents(own: WordList, ranked: Ranked, rows: Rows, generator: np.random.Generator) -> Iterator[Case]:
    pairs = _relevant_pairs(ranked.relevance, rows)
    known = drawn(np.unique(pairs[:, 1]), SCANNED, generator).tolist()
    swaps = _swaps(own, ranked.documents, [row for row in known if own.applies_to(ranked.documents[row])])
    for direction, sides in _directions(own).items():
        changed = np.array([row for row, swap in swaps.items() if swap.sides == sides], dtype=np.int64)
        of_direction = pairs[np.isin(pairs[:, 1], changed)]
        affected = len(np.unique(of_direction[:, 0]))
        chosen = of_direction[drawn(np.arange(len(of_direction)), MEASURED, generator)]
        queries, documents = chosen[:, 0].tolist(), chosen[:, 1].tolist()
        before, after = [ranked.documents[row] for row in documents], [swaps[row].text for row in documents]
        yield Case(own.name, "document", "substitution", direction, affected, queries, documents, before, after)


def _swaps(own: WordList, texts: Sequence[str], rows: Sequence[int]) -> dict[int, Swap]:
    found = ((row, own.swap(texts[row])) for row in rows)
    return {row: swap for row, swap in found if swap is not None}


def _relevant_pairs(relevance: Relevance, rows: Rows) -> Rows:
    """Query and document row of each relevant document of these queries, `[P, 2]`."""
    pairs = torch.stack([relevance.owners, relevance.documents], dim=1).cpu().numpy()
    return pairs[np.isin(pairs[:, 0], rows)]
