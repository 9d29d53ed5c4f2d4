"""Vectors of parts of texts, from the same pass that embeds the texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from jaxtyping import Float, Int
from tokenizers import Encoding
from torch import Tensor

from hr_retrieval.encoder.cpu.threads import in_threads
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.mode import evaluating
from hr_retrieval.encoder.passages import Span
from hr_retrieval.encoder.pooling import pool
from hr_retrieval.encoder.ragged import Ragged, in_batches, on_device
from hr_retrieval.encoder.wording import Kind

# Tokens at a time: on a CPU of each thread.
_CPU, _ACCELERATOR = 2048, 65536


@dataclass(frozen=True)
class PartTokens:
    """Tokens of texts, and which of them are of each part.

    Attributes:
        tokens: of `N` texts.
        ranges: of each text, for each of its parts the first token and that behind the last one.
        kind: of the texts.
    """

    tokens: Ragged
    ranges: list[list[Span]]
    kind: Kind

    @classmethod
    def of(
        cls, encoder: Encoder, encodings: Sequence[Encoding], parts: Sequence[Sequence[Span]], kind: Kind
    ) -> "PartTokens":
        """Find the tokens of the parts.

        Args:
            encodings: of the texts, by `Encoder.encodings`.
            parts: of each text, as places of its first letter and behind its last one.
        """
        shift = len(encoder.prefixes[kind])
        ranges = [_ranges(encoding, own, shift) for encoding, own in zip(encodings, parts, strict=True)]
        return cls(Ragged.from_lists([encoding.ids for encoding in encodings]).of(kind), ranges, kind)


def whole_passages(
    encoder: Encoder, texts: list[str], kind: Kind, overlap: int | None
) -> tuple[list[list[Span]], list[Encoding]]:
    """Where each text is cut, as `Encoder.passages` says, and the encodings of all passages in order.

    A text that is read whole, as most are, is tokenised once.

    Args:
        overlap: tokens that neighbouring passages share; `None` reads the beginning of each text.
    """
    encodings = encoder.encodings(texts, kind)
    spans = [[(0, len(text))] for text in texts]
    if overlap is None:
        return spans, encodings
    full = encoder.readers[kind].max_length
    # `overflowing` copies what was cut: ask only where something can have been.
    long = [place for place, own in enumerate(encodings) if len(own.ids) >= full and own.overflowing]
    for place, cut in zip(long, encoder.passages([texts[place] for place in long], kind, overlap), strict=True):
        spans[place] = cut
    pieces = [texts[place][begin:end] for place in long for begin, end in spans[place]]
    again = iter(encoder.encodings(pieces, kind))
    read = [[own] for own in encodings]
    for place in long:
        read[place] = list(islice(again, len(spans[place])))
    return spans, [own for passages in read for own in passages]


def encode_parts(encoder: Encoder, given: PartTokens) -> tuple[Float[Tensor, "N d"], list[Float[Tensor, "_ d"]]]:
    """The embeddings that `Encoder.encode` gives, and of each part of a text a unit vector.

    That is the mean of its tokens' vectors as they are within the text, through the dense layers:
    under mean pooling the embedding of the text is made of the same means (late chunking, Günther
    et al. 2024, arXiv 2409.04701). A part of which the encoder reads nothing has zeros.
    """
    tokens, ranges = given.tokens, given.ranges
    reader = encoder.readers[given.kind]
    whole = torch.empty(len(tokens), encoder.embedding_dimension)
    counts = [len(own) for own in ranges]
    first = torch.tensor([0, *counts]).cumsum(0).tolist()
    found = torch.zeros(first[-1], encoder.embedding_dimension)

    def embed(rows: Int[Tensor, " b"]) -> None:
        rows = rows[tokens.lengths[rows].argsort(stable=True)]
        taken = tokens.take(rows)
        hidden = reader.token_vectors(taken.to(encoder.device), taken.lengths.tolist()).float()
        pooled = pool(hidden, on_device(taken.offsets, hidden.device), reader.pooling)
        whole[rows] = encoder.finished(pooled, taken.queries).cpu()
        places = [
            (first[row] + number, offset + begin, offset + end)
            for row, offset in zip(rows.tolist(), taken.offsets.tolist(), strict=False)
            for number, (begin, end) in enumerate(ranges[row])
            if begin < end
        ]
        if not places:
            return
        chosen = torch.cat([torch.arange(begin, end) for _, begin, end in places])
        offsets = torch.tensor([0, *(end - begin for _, begin, end in places)]).cumsum(0)
        means = pool(hidden[on_device(chosen, hidden.device)], on_device(offsets, hidden.device), "mean")
        sides = torch.full((len(means),), given.kind == "query")
        found[[place for place, _, _ in places]] = encoder.finished(means, sides).cpu()

    on_cpu = encoder.device.type == "cpu"
    batches = in_batches(tokens.lengths, _CPU if on_cpu else _ACCELERATOR)
    with evaluating(encoder), torch.inference_mode():
        if on_cpu:
            in_threads(embed, batches)
        else:
            for rows in batches:
                embed(rows)
    return whole, list(torch.split(found, counts))


def _ranges(encoding: Encoding, parts: Sequence[Span], shift: int) -> list[Span]:
    """The tokens of each part, from the first to behind the last one; special tokens belong to none."""
    own = np.flatnonzero(np.array(encoding.special_tokens_mask) == 0)
    if not len(own):
        return [(0, 0)] * len(parts)
    begins, ends = np.array(encoding.offsets)[own].T - shift
    return [
        (int(own[0] + np.searchsorted(ends, begin, "right")), int(own[0] + np.searchsorted(begins, end, "left")))
        for begin, end in parts
    ]
