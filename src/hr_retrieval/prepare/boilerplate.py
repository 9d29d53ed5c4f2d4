"""Sentences that stand in many documents, such as "equal opportunity" clauses: found by counting, and left out."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hr_retrieval.data.arrays import Codes, Hashes, Mask, Rows
from hr_retrieval.data.keys import Distinct, hashes_of
from hr_retrieval.data.tables import column_batches
from hr_retrieval.errors import UserError
from hr_retrieval.prepare.disk_array import DiskArray
from hr_retrieval.prepare.intake import Intake
from hr_retrieval.prepare.occurrences import changed
from hr_retrieval.text import normalise

# Hashes of sentences one after another, and how many each text has.
Block = tuple[Hashes, Codes]
CHOICES = ("keep", "drop")
# Documents that must share a sentence, whatever the share is: in a handful, two are no pattern.
_LEAST = 5
# Sentences whose counts are held; of more, those that may be common stay.
_HELD = 1 << 20
# Of the commonest, for `dataset.json`; and letters of each.
_EXAMPLES, _SHOWN = 10, 200
# Texts whose sentences are looked at at once.
_BLOCK = 1 << 15
_ENDS = re.compile(r"\n+|(?<=[.!?…])\s+")


def check_boilerplate(choice: str, share: float) -> None:
    """Raise `UserError` unless the choice is known and the share can mean many."""
    if choice not in CHOICES:
        raise UserError(f"data.boilerplate to be {' or '.join(CHOICES)}", repr(choice), "keep is the usual one.")
    if not 0 < share < 1:
        raise UserError("data.boilerplate_share above 0 and below 1", str(share), "A usual one is 0.05.")


@dataclass(frozen=True)
class Sentences:
    """The sentences, or lines, of texts in their order, on disk.

    Attributes:
        hashes: of their normalised forms.
        counts: how many each text has.
    """

    hashes: DiskArray
    counts: DiskArray

    @classmethod
    def at(cls, folder: Path) -> "Sentences":
        """Those in a folder, or where they are to be."""
        return cls(DiskArray(folder / "sentences", np.uint64), DiskArray(folder / "sentence_counts", np.int32))

    def add(self, texts: Iterable[Sequence[str]]) -> None:
        """Add those of some texts, which come in blocks."""
        for block in texts:
            hashes, counts = sentences_of(block)
            self.hashes.append(hashes)
            self.counts.append(counts)

    def take_over(self, other: "Sentences") -> None:
        """Add all that another one holds."""
        self.hashes.append(other.hashes.read())
        self.counts.append(other.counts.read())

    def reader(self) -> Callable[[int], Block]:
        """A function that gives those of the next so many texts, as `sentences_of` does."""
        hashes, counts = self.hashes.read(), self.counts.read()
        text = piece = 0

        def following(size: int) -> Block:
            nonlocal text, piece
            own = counts[text : text + size]
            begin, text, piece = piece, text + size, piece + int(own.sum())
            return hashes[begin:piece], own

        return following


def sentences_of(texts: Sequence[str]) -> Block:
    """Hashes of the sentences of some texts, and how many each text has `[n]`."""
    parts = [_ENDS.split(text) for text in texts]
    hashes = hashes_of([normalise(piece) for own in parts for piece in own])
    return hashes, np.array([len(own) for own in parts], np.int32)


def swept(intake: Intake, folder: Path, share: float, sentences: Sentences) -> Intake:
    """The same with documents without boilerplate; their lines stand apart in what is given.

    Each different text counts once, however often it occurs.

    Args:
        sentences: of all documents.
    """
    documents = intake.documents
    keys = documents.keys.read()
    new = np.zeros(len(keys), bool)
    new[Distinct.of(keys).first] = True

    def different() -> Iterator[Block]:
        following = sentences.reader()
        for begin in range(0, len(new), _BLOCK):
            own = new[begin : begin + _BLOCK]
            hashes, counts = following(len(own))
            yield hashes[np.repeat(own, counts)], counts[own]

    sweeper = Sweeper(common_sentences(different, share))

    def blocks() -> Iterator[list[str]]:
        following, begin = sentences.reader(), 0
        for batch in column_batches(documents.file, ["text"]):
            own = new[begin : begin + batch.num_rows]
            yield sweeper(batch.column(0).to_pylist(), following(len(own)), own)
            begin += len(own)

    kept = changed(documents, folder, blocks())
    return replace(intake, documents=kept, boilerplate=sweeper.report())


@dataclass(frozen=True)
class Boilerplate:
    """The sentences, or lines, whose normalised form stands in more than a share of the documents.

    Attributes:
        hashes: of their normalised forms, ascending.
        documents: in how many documents each stands.
    """

    hashes: Hashes
    documents: Rows


class Sweeper:
    """Leaves the boilerplate out of texts, and counts what it does.

    A text that would be empty is kept whole.
    """

    def __init__(self, boilerplate: Boilerplate) -> None:
        self._own = boilerplate
        self._dropped = self._changed = self._whole = 0
        self._examples: dict[int, str] = {}

    def __call__(self, texts: Sequence[str], sentences: Block, counted: Mask) -> list[str]:
        """The texts on one line each, without it.

        Args:
            sentences: what `sentences_of` gave of the texts.
            counted: of each, whether it counts: those that stood before do not.
        """
        hashes, counts = sentences
        common = np.isin(hashes, self._own.hashes)
        touched = np.bincount(np.repeat(np.arange(len(texts)), counts)[common], minlength=len(texts)) > 0
        # Lines are clean: between them, and behind a sentence, there is one sign.
        swept = [text.replace("\n", " ") for text in texts]
        ends = np.cumsum(counts)
        for place in np.flatnonzero(touched).tolist():
            own = slice(ends[place] - counts[place], ends[place])
            swept[place] = self._swept(texts[place], hashes[own].tolist(), common[own].tolist(), bool(counted[place]))
        return swept

    def _swept(self, text: str, keys: Sequence[int], common: Sequence[bool], counts: bool) -> str:
        pieces = [*zip(_ENDS.split(text), keys, common, strict=True)]
        kept = [piece for piece, _, gone in pieces if not gone]
        if counts:
            for piece, key, gone in pieces:
                if gone:
                    self._examples.setdefault(key, piece[:_SHOWN])
            self._dropped += len(pieces) - len(kept) if kept else 0
            self._changed += bool(kept)
            self._whole += not kept
        return " ".join(kept or [piece for piece, _, _ in pieces])

    def report(self) -> dict[str, Any]:
        """`counts.boilerplate` of `dataset.json`."""
        order = np.argsort(-self._own.documents, kind="stable")[:_EXAMPLES]
        return {
            "sentences": len(self._own.hashes),
            "left_out": self._dropped,
            "documents": self._changed,
            "kept_whole": self._whole,
            "examples": [
                [self._examples[int(key)], int(count)]
                for key, count in zip(self._own.hashes[order], self._own.documents[order], strict=True)
                if int(key) in self._examples
            ],
        }


def common_sentences(texts: Callable[[], Iterable[Block]], share: float) -> Boilerplate:
    """Find them in two passes: which may be common, then how often each of these stands.

    The first is the mergeable summary of Misra and Gries (Agarwal et al. 2012): of `n` sentences,
    what stands in more than `n / 2**20` documents is among those whose counts are held.

    Args:
        texts: gives the sentences of all texts, block by block, each time that it is called.
    """
    held: Hashes = np.empty(0, np.uint64)
    counts: Rows = np.empty(0, np.int64)
    number = 0
    for block in texts():
        number += len(block[1])
        held, counts = _added(held, counts, *_counted(*block))
        if len(held) > _HELD:
            counts -= np.partition(counts, -_HELD - 1)[-_HELD - 1]
            held, counts = held[counts > 0], counts[counts > 0]
    exact = np.zeros(len(held), np.int64)
    for block in texts():
        keys, own = _counted(*block)
        at = np.minimum(np.searchsorted(held, keys), max(len(held) - 1, 0))
        found = held[at] == keys if len(held) else np.zeros(len(keys), bool)
        exact[at[found]] += own[found]
    common = (exact > share * number) & (exact >= _LEAST)
    return Boilerplate(held[common], exact[common])


def _counted(keys: Hashes, counts: Codes) -> tuple[Hashes, Rows]:
    """The sentences of some texts, and in how many of these each stands."""
    owners = np.repeat(np.arange(len(counts), dtype=np.uint64), counts)
    order = np.lexsort((owners, keys))
    keys, owners = keys[order], owners[order]
    first = np.ones(len(keys), bool)
    first[1:] = (keys[1:] != keys[:-1]) | (owners[1:] != owners[:-1])
    found, documents = np.unique(keys[first], return_counts=True)
    return found, documents.astype(np.int64)


def _added(keys: Hashes, counts: Rows, more: Hashes, their: Rows) -> tuple[Hashes, Rows]:
    both, at = np.unique(np.concatenate([keys, more]), return_inverse=True)
    sums = np.zeros(len(both), np.int64)
    np.add.at(sums, at, np.concatenate([counts, their]))
    return both, sums
