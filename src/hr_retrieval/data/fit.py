"""How well an encoder reads the texts of a data set: what it cuts, and whether its tokenizer knows their words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from hr_retrieval.encoder.wording import Kind
from hr_retrieval.text import script

# Texts that are looked at, evenly spaced.
SAMPLE = 500
# A tokenizer that was trained on a language takes 1.2 to 2.3 tokens for one of its words, in German,
# Finnish and Russian too; one that was not takes it letter by letter.
BROKEN = 3.5
_LENGTHS = (128, 256, 384, 512, 1024, 2048, 4096, 8192)
# Share of the texts that a proposed length reads to the end.
_WHOLE = 0.9


@runtime_checkable
class Reader(Protocol):
    """What is asked of an encoder."""

    @property
    def max_length(self) -> int:
        """Tokens that it reads of a text."""
        ...

    def token_counts(self, texts: list[str], kind: Kind) -> list[int]:
        """Tokens of each text if nothing were cut."""
        ...

    @property
    def longest(self) -> int | None:
        """Tokens that it can read of a text; `None` for any number."""
        ...


@dataclass(frozen=True)
class Fit:
    """What a sample of texts says of an encoder.

    Attributes:
        script: in which most of the texts are written, as `text.script` names it.
        tokens_a_word: mean over those texts, without the tokens that each text gets beside its
            words (prefix or template, special tokens); `None` where they are not in words between
            spaces.
        cut: share of the texts that are longer than the encoder reads.
        read: share of all tokens that it reads.
        length: a `max_length` that would read nine in ten texts to the end, or as much as the
            encoder can; `None` where they are read already, or it can read no more.
        cost: how many times as many tokens it would read then.
    """

    script: str
    tokens_a_word: float | None
    cut: float
    read: float
    length: int | None
    cost: float

    @property
    def broken(self) -> bool:
        """Whether the tokenizer takes the words to pieces."""
        return self.tokens_a_word is not None and self.tokens_a_word >= BROKEN


def fit_of(encoder: Reader, texts: Sequence[str], kind: Kind) -> Fit:
    """What at least one text says of an encoder."""
    *each, beside = encoder.token_counts([*texts, ""], kind)
    counts = np.array(each)
    scripts = [script(text) for text in texts]
    most = max(dict.fromkeys(scripts), key=scripts.count)
    own = [place for place, name in enumerate(scripts) if name == most]
    words = sum(len(texts[place].split()) for place in own)
    spaced = most in ("Cyrillic", "Latin") and words > 0
    now, wanted = encoder.max_length, float(np.quantile(counts, _WHOLE))
    longest = encoder.longest or _LENGTHS[-1]
    cut = float((counts > now).mean())
    lengths = [length for length in _LENGTHS if now < length <= longest]
    enough = [length for length in lengths if length >= wanted]
    proposed: list[int | None] = [*enough[:1], *lengths[-1:], None]
    length = proposed[0] if cut > 1 - _WHOLE else None
    read = np.minimum(counts, now).sum()
    return Fit(
        most,
        float((counts[own] - beside).sum() / words) if spaced else None,
        cut,
        float(read / counts.sum()),
        length,
        float(np.minimum(counts, length or now).sum() / read),
    )
