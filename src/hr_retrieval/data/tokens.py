"""Token ids of a whole table, made once and memory-mapped afterwards."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hr_retrieval.data.arrays import Offsets, Rows
from hr_retrieval.encoder.ragged import Ragged
from hr_retrieval.encoder.wording import Kind
from hr_retrieval.files import read_json, whole_folder, write_json


@runtime_checkable
class Tokeniser(Protocol):
    """What the data module needs of an encoder."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same text could give other tokens."""
        ...

    def tokenise(self, texts: list[str], kind: Kind) -> tuple[Ragged, int]:
        """Token ids of the texts, and how many of the texts were cut at the maximum length."""
        ...


@runtime_checkable
class Rewordable(Tokeniser, Protocol):
    """A tokeniser that can put texts into other words first."""

    def reworded(
        self,
        query_prefix: str | None = None,
        document_prefix: str | None = None,
        query_template: str | None = None,
        document_template: str | None = None,
    ) -> "Tokeniser":
        """The same, with texts put into other words (see `Encoder.reworded`)."""
        ...


@dataclass(frozen=True)
class TokenTable:
    """The token ids of every text of one table.

    Attributes:
        ids: all token ids, text behind text (memory-mapped).
        offsets: where each text begins (memory-mapped).
        cut: how many texts were longer than the encoder reads.
        kind: what the texts are.
    """

    ids: npt.NDArray[np.int32]
    offsets: Offsets
    cut: int
    kind: Kind

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def lengths(self, rows: Rows) -> npt.NDArray[np.int64]:
        """Tokens of each of the given texts."""
        lengths: npt.NDArray[np.int64] = self.offsets[rows + 1] - self.offsets[rows]
        return lengths

    def take(self, rows: Rows) -> Ragged:
        """The tokens of the given texts."""
        begins, ends = self.offsets[rows], self.offsets[rows + 1]
        pieces = [self.ids[begin:end] for begin, end in zip(begins, ends, strict=True)]
        ids = np.concatenate(pieces) if pieces else np.empty(0, np.int32)
        return Ragged.from_lengths(torch.from_numpy(ids.astype(np.int64)), torch.from_numpy(ends - begins)).of(
            self.kind
        )


def token_table(
    folder: Path, name: str, texts: Iterable[list[str]], total: int, tokeniser: Tokeniser, kind: Kind
) -> TokenTable:
    """Open the token table `folder/<fingerprint>/<name>`, making it first if it is not there.

    Args:
        folder: the cache that holds the tables of all tokenisers.
        texts: the table's texts, in blocks; read only if the table must be made.
        total: how many texts there are, for the progress bar.
    """
    place = folder / tokeniser.fingerprint / name
    if not (place / "table.json").exists():
        with whole_folder(place, replace=True, first_stands=True) as partial:
            _write(partial, name, texts, total, tokeniser, kind)
    info = read_json(place / "table.json")
    ids = np.load(place / "ids.npy", mmap_mode="r")
    offsets = np.load(place / "offsets.npy", mmap_mode="r")
    return TokenTable(ids, offsets, int(info["cut"]), kind)


def _write(folder: Path, name: str, texts: Iterable[list[str]], total: int, tokeniser: Tokeniser, kind: Kind) -> None:
    lengths: list[npt.NDArray[np.int32]] = []
    cut = 0
    with (folder / "ids.raw").open("wb") as raw, progress(f"tokenising {name}", total) as advance:
        for block in texts:
            tokens, cut_here = tokeniser.tokenise(block, kind)
            raw.write(tokens.ids.numpy().astype(np.int32).tobytes())
            lengths.append(tokens.lengths.numpy().astype(np.int32))
            cut += cut_here
            advance(len(block))
    texts_written = sum(map(len, lengths))
    offsets = np.lib.format.open_memmap(folder / "offsets.npy", mode="w+", dtype=np.int64, shape=(texts_written + 1,))
    begin, tokens_written = 0, 0
    for part in lengths:
        offsets[begin + 1 : begin + len(part) + 1] = tokens_written + np.cumsum(part, dtype=np.int64)
        begin, tokens_written = begin + len(part), tokens_written + int(part.sum())
    offsets.flush()
    _raw_to_npy(folder / "ids.raw", folder / "ids.npy", tokens_written)
    write_json(folder / "table.json", {"texts": texts_written, "tokens": tokens_written, "cut": cut})


def _raw_to_npy(raw: Path, target: Path, count: int) -> None:
    array = np.lib.format.open_memmap(target, mode="w+", dtype=np.int32, shape=(count,))
    if count:
        source = np.memmap(raw, np.int32, mode="r")
        step = 1 << 24
        for begin in range(0, count, step):
            array[begin : begin + step] = source[begin : begin + step]
        del source
    array.flush()
    raw.unlink()


@contextmanager
def progress(label: str, total: int) -> Iterator[Any]:
    """A progress bar on a terminal, nothing elsewhere; yields a function that advances it."""
    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda amount: bar.advance(task, amount)
