"""Kinds of queries to look at apart: by language, by length, by what training has seen, by how much is relevant."""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hr_retrieval.data.clean import normalise

Mask = npt.NDArray[np.bool_]

_CYRILLIC = re.compile("[\u0400-\u052f]")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")
# "Программист C++" is Russian: a script that holds so large a share of the letters names the language.
_SHARE = 0.8


def query_slices(texts: Sequence[str], seen: Sequence[bool], relevant: Sequence[int]) -> dict[str, dict[str, Mask]]:
    """Masks `[Q]` by kind and name; the names of a kind divide the queries, and none is empty.

    Args:
        texts: of the `Q` queries.
        seen: whether the normalised text is that of a training query.
        relevant: how many documents are relevant.
    """
    kinds = {
        "language": [script(text) for text in texts],
        "length": length_names([len(normalise(text).split()) for text in texts]),
        "title": ["seen in training" if value else "unseen" for value in seen],
        "relevant documents": ["one" if count == 1 else "several" for count in relevant],
    }
    return {kind: _masks(names) for kind, names in kinds.items()}


def script(text: str) -> str:
    """`Cyrillic` or `Latin` if at least 80 % of these scripts' letters are; `mixed`, or `other` if there are none."""
    cyrillic, latin = len(_CYRILLIC.findall(text)), len(_LATIN.findall(text))
    total = cyrillic + latin
    if not total:
        return "other"
    if cyrillic >= _SHARE * total:
        return "Cyrillic"
    return "Latin" if latin >= _SHARE * total else "mixed"


def length_names(lengths: Sequence[int]) -> list[str]:
    """The third, by number of words, that each query is in; thirds that fall together are one."""
    short, middle = (int(bound) for bound in np.quantile(lengths, [1 / 3, 2 / 3], method="lower"))
    longest = max(lengths)

    def name(length: int) -> str:
        if length <= short:
            return f"up to {_words(short)}"
        if length <= middle:
            return _words(middle) if short + 1 == middle else f"{short + 1} to {_words(middle)}"
        return _words(longest) if middle + 1 == longest else f"{middle + 1} to {_words(longest)}"

    return [name(length) for length in lengths]


def _words(count: int) -> str:
    return "1 word" if count == 1 else f"{count} words"


def _masks(names: Sequence[str]) -> dict[str, Mask]:
    array = np.array(names)
    return {str(name): array == name for name in np.unique(array)}
