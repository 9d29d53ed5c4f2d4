"""What a relevant document is worth: its grade where ranks are measured, its weight where triplets are compared.

Of a stated positive, both are as stated. Of a duplicate of one, and of what a query of the same
text states, they are the highest of those. What is relevant by its group alone has 1.
"""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from hr_retrieval.data.arrays import Codes, Offsets, PairNumbers, Places, Rows
from hr_retrieval.data.joins import joined, lists, spread

Grades = npt.NDArray[np.int8]
Weights = npt.NDArray[np.float32]


@runtime_checkable
class GradedTables(Protocol):
    """The arrays of a prepared data set that grades and weights follow from; see `JudgedArrays`."""

    @property
    def document_duplicate(self) -> Codes: ...

    @property
    def query_text(self) -> Codes: ...

    @property
    def text_offsets(self) -> Offsets: ...

    @property
    def text_queries(self) -> Rows: ...

    @property
    def positive_offsets(self) -> Offsets: ...

    @property
    def positive_documents(self) -> Rows: ...

    @property
    def positive_grades(self) -> Grades: ...

    @property
    def positive_weights(self) -> Weights: ...


def grades(
    tables: GradedTables, query_rows: Rows, document_rows: Rows, relevant: tuple[Offsets, Places]
) -> Grades | None:
    """The grade, 1 to 3, of each of the relevant documents; `None` where all positives of the data have 1.

    Args:
        relevant: as from `Guard.relevant` of the same rows.
    """
    if (tables.positive_grades == 1).all():
        return None
    keys, stated = _stated(tables, query_rows, document_rows, lambda places: tables.positive_grades[places])
    owners = np.repeat(np.arange(len(query_rows)), np.diff(relevant[0]))
    found: Grades = _looked_up(keys, stated, owners * len(document_rows) + relevant[1])
    return found


def weighted(tables: GradedTables) -> bool:
    """Whether positives of the data have different weights, or others than 1."""
    return not bool((tables.positive_grades == 1).all() and (tables.positive_weights == 1).all())


def weights(tables: GradedTables, query_rows: Rows, document_rows: Rows) -> Weights:
    """`[B, D]`, grade times stated weight of what is relevant; 1 elsewhere."""

    def worth(places: Places) -> Weights:
        return tables.positive_grades[places].astype(np.float32) * tables.positive_weights[places]

    keys, stated = _stated(tables, query_rows, document_rows, worth)
    found: Weights = np.ones((len(query_rows), len(document_rows)), np.float32)
    found.reshape(-1)[keys] = stated
    return found


def _stated(
    tables: GradedTables, query_rows: Rows, document_rows: Rows, values: Callable[[Places], npt.NDArray[Any]]
) -> tuple[PairNumbers, npt.NDArray[Any]]:
    """What the positives, by their places, say of pairs as `query place * D + document place`, once and ascending."""
    everyone, width = np.arange(len(document_rows)), len(document_rows)
    twins, twin_rows = lists(tables.text_offsets, tables.text_queries, tables.query_text[query_rows])
    duplicate = np.asarray(tables.document_duplicate[document_rows], np.int64)
    keys, found, own = [], [], []
    # What is stated of this very pair holds, whatever is of its duplicates.
    for first, (owners, rows, codes) in enumerate(
        ((twins, twin_rows, duplicate), (np.arange(len(query_rows)), query_rows, np.asarray(document_rows, np.int64)))
    ):
        stating, places = spread(tables.positive_offsets, rows)
        documents = tables.positive_documents[places]
        wanted = documents if first else tables.document_duplicate[documents]
        pairs, columns = joined((np.arange(len(places)), wanted.astype(np.int64)), (everyone, codes))
        keys.append(owners[stating[pairs]] * width + columns)
        found.append(values(places[pairs]))
        own.append(np.full(len(pairs), first))
    key, value = np.concatenate(keys), np.concatenate(found)
    order = np.lexsort((value, np.concatenate(own), key))
    key, value = key[order], value[order]
    last = np.append(key[1:] != key[:-1], True)[: len(key)]
    return key[last], value[last]


def _looked_up(keys: PairNumbers, values: npt.NDArray[Any], wanted: PairNumbers) -> npt.NDArray[Any]:
    """The value of each wanted key; 1 where there is none."""
    found = np.ones(len(wanted), values.dtype)
    at = np.searchsorted(keys, wanted)
    there = np.flatnonzero(at < len(keys))
    there = there[keys[at[there]] == wanted[there]]
    found[there] = values[at[there]]
    return found
