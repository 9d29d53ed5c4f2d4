"""Why a passage was found: its sentences that are nearest to the query, and the words that both have."""

import re
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from hr_retrieval.store.found import Found
from hr_retrieval.text import normalise

# Ends of sentences, lines and items of lists.
_ENDS = re.compile(r"(?<=[.!?;…])\s+|\s*[\n•·]+\s*")
# Sentences looked at in one passage, and letters of one.
_MOST, _LETTERS = 12, 300
# Words alike in so many first letters are taken for one: endings differ.
_STEM, _SHORTEST = 5, 3

Span = tuple[int, int]


def sentences(text: str, begin: int, end: int) -> list[Span]:
    """The first sentences within `begin : end`, without the space around them."""
    found, start = [], begin
    for gap in [
        *((begin + match.start(), begin + match.end()) for match in _ENDS.finditer(text[begin:end])),
        (end, end),
    ]:
        piece = text[start : gap[0]]
        if piece.strip():
            left = start + len(piece) - len(piece.lstrip())
            found.append((left, min(start + len(piece.rstrip()), left + _LETTERS)))
        start = gap[1]
    return found[:_MOST]


def packed(texts: Sequence[Float[Tensor, "_ d"]]) -> list[bytes]:
    """Vectors of the sentences of each text in 8 bits; their lengths are lost."""
    if not texts:
        return []
    vectors = torch.cat([*texts])
    largest = vectors.abs().amax(dim=1, keepdim=True).clamp_min(1e-12)
    rounded = (vectors / largest * 127).round().to(torch.int8)
    return [own.numpy().tobytes() for own in torch.split(rounded, [len(text) for text in texts])]


def nearest_sentence(
    query: Float[Tensor, " d"], words: str, text: str, found: Found, vectors: bytes | None
) -> tuple[Span, ...]:
    """Of the passage that was found the sentence that is nearest to the query; none where there is no sentence.

    Args:
        query: its embedding.
        words: its text.
        text: of the document.
        vectors: `packed`, of the passage's sentences; `None` where there are none, and the sentence
            with most of the query's words is taken.
    """
    spans = sentences(text, found.begin, found.end)
    if not spans:
        return ()
    if vectors is None:
        scores = [float(len(shared_words(words, text[begin:end]))) for begin, end in spans]
    else:
        own = torch.from_numpy(np.frombuffer(vectors, np.int8).reshape(len(spans), -1).astype(np.float32))
        scores = (F.normalize(own, dim=1) @ query).tolist()
    return (spans[max(range(len(spans)), key=scores.__getitem__)],)


def shared_words(query: str, passage: str) -> tuple[str, ...]:
    """Words of the query, in its order, that the passage has too, whatever their endings."""
    there = {word[:_STEM] for word in normalise(passage).split()}
    words = (word for word in normalise(query).split() if len(word) >= _SHORTEST and word[:_STEM] in there)
    return tuple(dict.fromkeys(words))
