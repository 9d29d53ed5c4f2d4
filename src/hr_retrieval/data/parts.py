"""Documents that are made anew each time they are drawn: some parts of a text that is a list."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hr_retrieval.data.arrays import Offsets, Rows
from hr_retrieval.files import whole_folder


@dataclass(frozen=True)
class TextTable:
    """The texts of a table in UTF-8, text behind text, memory-mapped: to get at a few of them at once."""

    letters: npt.NDArray[np.uint8]
    offsets: Offsets

    def take(self, rows: Rows) -> list[str]:
        """The texts of the given rows."""
        begins, ends = self.offsets[rows], self.offsets[np.asarray(rows, np.int64) + 1]
        return [bytes(self.letters[begin:end]).decode() for begin, end in zip(begins, ends, strict=True)]


def text_table(folder: Path, texts: Iterable[list[str]]) -> TextTable:
    """Open the texts that lie in a folder, written first if it is not there."""
    if not (folder / "offsets.npy").exists():
        with whole_folder(folder, replace=True, first_stands=True) as partial:
            lengths: list[npt.NDArray[np.int64]] = [np.zeros(1, np.int64)]
            with (partial / "letters.bin").open("wb") as file:
                for block in texts:
                    written = [file.write(text.encode()) for text in block]
                    lengths.append(np.array(written, np.int64))
            np.save(partial / "offsets.npy", np.cumsum(np.concatenate(lengths)))
    letters = np.memmap(folder / "letters.bin", np.uint8, mode="r")
    return TextTable(letters, np.load(folder / "offsets.npy", mmap_mode="r"))


@dataclass(frozen=True)
class Parts:
    """How a document is made of its text: `k` random parts of it in a random order, `least <= k <= most`.

    A text of fewer parts gives all of them. What is drawn depends on the seed, the number of the
    batch and the row alone, so that any number of workers and a resumed run draw the same.
    """

    separator: str
    least: int
    most: int

    def drawn(self, texts: list[str], rows: Rows, number: int, seed: int) -> list[str]:
        """One document of each text.

        Args:
            rows: of these texts.
            number: of the batch.
        """
        return [
            self._drawn(text, np.random.default_rng((seed, number, int(row))))
            for text, row in zip(texts, rows, strict=True)
        ]

    def _drawn(self, text: str, generator: np.random.Generator) -> str:
        parts = text.split(self.separator)
        count = min(len(parts), int(generator.integers(self.least, self.most + 1)))
        return self.separator.join(parts[place] for place in generator.permutation(len(parts))[:count])
