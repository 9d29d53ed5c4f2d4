"""Sentences that stand in many documents, such as "equal opportunity" clauses: found by counting, and left out."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hr_retrieval.data.arrays import Hashes, Mask, Rows
from hr_retrieval.data.keys import Distinct, hashes_of
from hr_retrieval.data.tables import column_batches
from hr_retrieval.errors import UserError
from hr_retrieval.prepare.intake import Intake
from hr_retrieval.prepare.occurrences import changed
from hr_retrieval.text import normalise

CHOICES = ("keep", "drop")
# Documents that must share a sentence, whatever the share is: in a handful, two are no pattern.
_LEAST = 5
# Sentences whose counts are held; of more, those that may be common stay.
_HELD = 1 << 20
# Of the commonest, for `dataset.json`; and letters of each.
_EXAMPLES, _SHOWN = 10, 200
_ENDS = re.compile(r"\n+|(?<=[.!?…])\s+")


def check_boilerplate(choice: str, share: float) -> None:
    """Raise `UserError` unless the choice is known and the share can mean many."""
    if choice not in CHOICES:
        raise UserError(f"data.boilerplate to be {' or '.join(CHOICES)}", repr(choice), "keep is the usual one.")
    if not 0 < share < 1:
        raise UserError("data.boilerplate_share above 0 and below 1", str(share), "A usual one is 0.05.")


def swept(intake: Intake, folder: Path, share: float) -> Intake:
    """The same with documents without boilerplate; their lines stand apart in what is given.

    Each different text counts once, however often it occurs.
    """
    documents = intake.documents
    first = Distinct.of(documents.keys.read()).first

    def blocks() -> Iterator[tuple[list[str], Mask]]:
        begin = 0
        for batch in column_batches(documents.file, ["text"]):
            places = np.arange(begin, begin + batch.num_rows)
            yield batch.column(0).to_pylist(), np.isin(places, first)
            begin += batch.num_rows

    def different() -> Iterator[list[str]]:
        for texts, new in blocks():
            yield [text for text, own in zip(texts, new.tolist(), strict=True) if own]

    sweeper = Sweeper(common_sentences(different, share))
    kept = changed(documents, folder, (sweeper(*block) for block in blocks()))
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

    def holds(self, pieces: Sequence[str]) -> Mask:
        """Of each piece, whether it is one of them `[n]`."""
        found: Mask = np.isin(_hashes(pieces), self.hashes)
        return found


class Sweeper:
    """Leaves the boilerplate out of texts, and counts what it does.

    A text that would be empty is kept whole.
    """

    def __init__(self, boilerplate: Boilerplate) -> None:
        self._own = boilerplate
        self._dropped = self._changed = self._whole = 0
        self._examples: dict[int, str] = {}

    def __call__(self, texts: Sequence[str], counted: Mask) -> list[str]:
        """The texts on one line each, without it.

        Args:
            counted: of each, whether it counts: those that stood before do not.
        """
        parts = [_ENDS.split(text) for text in texts]
        flat = self._own.holds([piece for own in parts for piece in own]).tolist()
        ends = np.cumsum([0, *map(len, parts)]).tolist()
        swept = []
        for own, begin, end, counts in zip(parts, ends, ends[1:], counted.tolist(), strict=False):
            common = flat[begin:end]
            kept = [piece for piece, gone in zip(own, common, strict=True) if not gone]
            if counts and len(kept) < len(own):
                self._note([piece for piece, gone in zip(own, common, strict=True) if gone], bool(kept))
            swept.append(" ".join(kept or own))
        return swept

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

    def _note(self, gone: Sequence[str], rest: bool) -> None:
        for piece, key in zip(gone, _hashes(gone).tolist(), strict=True):
            self._examples.setdefault(key, piece[:_SHOWN])
        if rest:
            self._dropped += len(gone)
            self._changed += 1
        else:
            self._whole += 1


def common_sentences(texts: Callable[[], Iterable[Sequence[str]]], share: float) -> Boilerplate:
    """Find them in two passes: which may be common, then how often each of these stands.

    The first is the mergeable summary of Misra and Gries (Agarwal et al. 2012): of `n` sentences,
    what stands in more than `n / 2**20` documents is among those whose counts are held.

    Args:
        texts: gives all texts, block by block, each time that it is called.
    """
    held: Hashes = np.empty(0, np.uint64)
    counts: Rows = np.empty(0, np.int64)
    number = 0
    for block in texts():
        number += len(block)
        held, counts = _added(held, counts, *_counted(block))
        if len(held) > _HELD:
            counts -= np.partition(counts, -_HELD - 1)[-_HELD - 1]
            held, counts = held[counts > 0], counts[counts > 0]
    exact = np.zeros(len(held), np.int64)
    for block in texts():
        keys, own = _counted(block)
        at = np.minimum(np.searchsorted(held, keys), max(len(held) - 1, 0))
        found = held[at] == keys if len(held) else np.zeros(len(keys), bool)
        exact[at[found]] += own[found]
    common = (exact > share * number) & (exact >= _LEAST)
    return Boilerplate(held[common], exact[common])


def _counted(block: Sequence[str]) -> tuple[Hashes, Rows]:
    """The sentences of some texts, and in how many of these each stands."""
    parts = [_ENDS.split(text) for text in block]
    keys = _hashes([piece for own in parts for piece in own])
    owners = np.repeat(np.arange(len(parts), dtype=np.uint64), [len(own) for own in parts])
    order = np.lexsort((owners, keys))
    keys, owners = keys[order], owners[order]
    first = np.ones(len(keys), bool)
    first[1:] = (keys[1:] != keys[:-1]) | (owners[1:] != owners[:-1])
    found, counts = np.unique(keys[first], return_counts=True)
    return found, counts.astype(np.int64)


def _added(keys: Hashes, counts: Rows, more: Hashes, their: Rows) -> tuple[Hashes, Rows]:
    both, at = np.unique(np.concatenate([keys, more]), return_inverse=True)
    sums = np.zeros(len(both), np.int64)
    np.add.at(sums, at, np.concatenate([counts, their]))
    return both, sums


def _hashes(pieces: Sequence[str]) -> Hashes:
    return hashes_of([normalise(piece) for piece in pieces])
