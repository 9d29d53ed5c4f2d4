"""Kinds of queries to look at apart: by language, by length, by what training has seen, by how much is relevant."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hr_retrieval.text import normalise

Mask = npt.NDArray[np.bool_]


def query_slices(
    texts: Sequence[str], languages: Sequence[str], seen: Sequence[bool], relevant: Sequence[int]
) -> dict[str, dict[str, Mask]]:
    """Masks `[Q]` by kind and name; the names of a kind divide the queries, and none is empty.

    Args:
        texts: of the `Q` queries.
        languages: their languages, or scripts.
        seen: whether the normalised text is that of a training query.
        relevant: how many documents are relevant.
    """
    lengths = [len(normalise(text)) for text in texts]
    titles = ["seen in training" if value else "unseen" for value in seen]
    counts = ["one" if count == 1 else "several" for count in relevant]
    return {
        "language": _masks(languages, languages),
        "length": _masks(length_names(lengths), lengths),
        "title": _masks(titles, titles),
        "relevant documents": _masks(counts, counts),
    }


def length_names(lengths: Sequence[int]) -> list[str]:
    """The third, by number of characters, that each query is in; thirds that fall together are one."""
    short, middle = (int(bound) for bound in np.quantile(lengths, [1 / 3, 2 / 3], method="lower"))
    longest = max(lengths)

    def name(length: int) -> str:
        if length <= short:
            return f"up to {short} characters"
        return f"{short + 1} to {middle} characters" if length <= middle else f"{middle + 1} to {longest} characters"

    return [name(length) for length in lengths]


def _masks(names: Sequence[str], order: Sequence[str] | Sequence[int]) -> dict[str, Mask]:
    """Masks by name, the names in the order of what belongs to their queries."""
    array = np.array(names)
    return {names[place]: array == names[place] for place in np.argsort(np.array(order), kind="stable").tolist()}
