"""Why a passage was found: its sentences that are nearest to the query, and the words that both have."""

import re
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.wording import Kind
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


def nearest_sentences(
    encoder: Encoder, query: Float[Tensor, "1 d"], kind: Kind, found: Sequence[tuple[str, Found]]
) -> list[tuple[Span, ...]]:
    """Of each passage the sentence that is nearest to the query.

    Args:
        query: its embedding.
        kind: as what the documents are read.
        found: texts of documents, and where their passages are.
    """
    spans = [sentences(text, hit.begin, hit.end) for text, hit in found]
    pieces = [text[begin:end] for (text, _), own in zip(found, spans, strict=True) for begin, end in own]
    scores = (encoder.encode(pieces, kind).cpu() @ query[0]) if pieces else query.new_zeros(0)
    marks: list[tuple[Span, ...]] = []
    start = 0
    for own in spans:
        part = scores[start : start + len(own)]
        marks.append((own[int(torch.argmax(part))],) if own else ())
        start += len(own)
    return marks


def shared_words(query: str, passage: str) -> tuple[str, ...]:
    """Words of the query, in its order, that the passage has too, whatever their endings."""
    there = {word[:_STEM] for word in normalise(passage).split()}
    words = (word for word in normalise(query).split() if len(word) >= _SHORTEST and word[:_STEM] in there)
    return tuple(dict.fromkeys(words))
