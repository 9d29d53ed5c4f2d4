"""Vectors of parts of texts, from the same pass that embeds the texts."""

from collections.abc import Sequence
from dataclasses import dataclass

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
    def of(cls, encoder: Encoder, texts: Sequence[str], parts: Sequence[Sequence[Span]], kind: Kind) -> "PartTokens":
        """Tokenise.

        Args:
            parts: of each text, as places of its first letter and behind its last one.
        """
        encodings = encoder.tokenizer(kind).encode_batch(encoder.worded(list(texts), kind))
        shift = len(encoder.prefixes[kind])
        ranges = [_ranges(encoding, own, shift) for encoding, own in zip(encodings, parts, strict=True)]
        return cls(Ragged.from_lists([encoding.ids for encoding in encodings]).of(kind), ranges, kind)


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
