"""Token tables: made once, equal to tokenising on the spot, whole or absent."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hr_retrieval.data.tokens import TokenTable, token_table
from hr_retrieval.encoder.ragged import Ragged
from hr_retrieval.encoder.wording import Kind


class Letters:
    """A tokeniser of letters that reads four of them and counts its calls."""

    fingerprint = "letters-4"

    def __init__(self) -> None:
        self.calls = 0

    def tokenise(self, texts: list[str], kind: Kind) -> tuple[Ragged, int]:
        self.calls += 1
        return Ragged.from_lists([[ord(letter) for letter in text[:4]] for text in texts]), sum(
            len(text) > 4 for text in texts
        )


TEXTS = [["ab", "abcdef"], ["я"], ["xyz", "pqrst"]]


def make(folder: Path, tokeniser: Letters) -> TokenTable:
    return token_table(folder, "corpus", iter(TEXTS), 5, tokeniser, "document")


def test_holds_the_tokens_of_every_text_and_how_many_were_cut(tmp_path: Path) -> None:
    table = make(tmp_path, Letters())
    assert len(table) == 5
    assert table.cut == 2
    assert table.lengths(np.arange(5)).tolist() == [2, 4, 1, 3, 4]
    taken = table.take(np.array([3, 0, 3]))
    assert taken.ids.tolist() == [ord(letter) for letter in "xyzabxyz"]
    assert taken.lengths.tolist() == [3, 2, 3]
    assert table.take(np.array([], dtype=np.int64)).lengths.tolist() == []


def test_texts_are_tokenised_once(tmp_path: Path) -> None:
    tokeniser = Letters()
    make(tmp_path, tokeniser)
    calls = tokeniser.calls
    again = make(tmp_path, tokeniser)
    assert tokeniser.calls == calls == 3
    assert again.cut == 2


def test_another_tokeniser_gets_a_table_of_its_own(tmp_path: Path) -> None:
    make(tmp_path, Letters())
    other = Letters()
    other.fingerprint = "other"
    make(tmp_path, other)
    assert other.calls == 3
    assert {path.name for path in tmp_path.iterdir()} == {"letters-4", "other"}


def test_what_was_cut_off_half_way_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[list[str]]:
        yield ["ab"]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        token_table(tmp_path, "corpus", broken(), 5, Letters(), "document")
    assert list((tmp_path / "letters-4").iterdir()) == []
    assert len(make(tmp_path, Letters())) == 5
