"""Word lists of what a text may say of a person, and the text that says the counterpart instead.

A list is `<language>/<attribute>.csv` with the columns `kind`, and one for each of the two sides,
whose header names it:

    kind,male,female
    pronoun,he,she
    template,"John Wilson, {text}","Mary Wilson, {text}"

A row whose kind is `template`, or begins with that word (`template female`), is put around a text,
in the place of `{text}`; every other row is a pair of words or phrases that are swapped for each
other. Nothing is inflected: each form is a row of its own.
"""

import csv
import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hr_retrieval.errors import UserError
from hr_retrieval.text import script

TEMPLATE, PLACE = "template", "{text}"

# `ё` is often written `е`: as long, so that places in the folded text are places in the text.
_FOLD = str.maketrans("ёЁ", "еЕ")

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Swap:
    """A text with the words of a list swapped.

    Attributes:
        text: the changed text.
        sides: which sides' words the original had: 0, 1 or both.
    """

    text: str
    sides: frozenset[int]


@dataclass(frozen=True)
class WordList:
    """The pairs of one attribute in one language.

    Attributes:
        language: name of the folder.
        attribute: name of the file.
        sides: what the two sides are called.
        pairs: words or phrases of the one side and their counterparts; a word stands in one pair
            only.
        templates: what is put around a text, with `{text}` in the text's place.
        kinds: of each template: those of one kind differ in nothing but a name or phrase; empty
            where all are of one.

    Raises:
        UserError: a cell is empty, the sides of a row are equal, a word stands in two rows, a
            template has no `{text}` or a word has one, or nothing is listed.
    """

    language: str
    attribute: str
    sides: tuple[str, str]
    pairs: Pairs
    templates: Pairs
    kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.pairs and not self.templates:
            self._refuse("at least one row", "none")
        for row in (*self.pairs, *self.templates):
            if any(not cell.strip() for cell in row) or row[0] == row[1]:
                self._refuse("two cells that are filled and differ in each row", repr(row))
        for row in self.pairs:
            if any(cell != cell.strip() or PLACE in cell for cell in row):
                self._refuse("words without space around them and without {text}", repr(row))
        for row in self.templates:
            if any(cell.count(PLACE) != 1 for cell in row):
                self._refuse("{text} once on both sides of a template", repr(row))
        seen: set[str] = set()
        for word in (_key(word) for row in self.pairs for word in row):
            if word in seen:
                self._refuse("each word once (case and ё aside), so that a swap can be undone", f"{word!r} twice")
            seen.add(word)

    @property
    def name(self) -> str:
        """`<language>/<attribute>`."""
        return f"{self.language}/{self.attribute}"

    @cached_property
    def script(self) -> str:
        """The script of its words, as `slices.script` names it."""
        return script(" ".join(cell for row in (*self.pairs, *self.templates) for cell in row).replace(PLACE, ""))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of what is listed."""
        return hashlib.sha256(repr((self.sides, self.pairs, self.templates, self.kinds)).encode()).hexdigest()

    def following(self, place: int) -> int:
        """The place of the next template of the same kind, the first one again after the last;
        itself where it is alone.
        """
        count = len(self.templates)
        kinds = self.kinds or ("",) * count
        return next(at % count for at in range(place + 1, place + count + 1) if kinds[at % count] == kinds[place])

    def applies_to(self, text: str) -> bool:
        """Whether the text is written, wholly or in part, in the list's script."""
        return script(text) in (self.script, "mixed")

    def swap(self, text: str) -> Swap | None:
        """The text with each listed word as its counterpart, or `None` where none occurs.

        Whole words only: a word with a hyphen is one word, and so is one with a bracket right
        behind it, which names both sides already (`waiter(ess)`, `работал(а)`). A word is found in
        lower case, with a capital, or in capitals, and written likewise; one that is listed with a
        capital is not found in lower case. `ё` and `е` are the same when words are looked for, and
        written as listed: but for that, swapping twice gives the text again.
        """
        if self._pattern is None:
            return None
        folded = text.translate(_FOLD)
        parts, end, sides = [], 0, set[int]()
        for match in self._pattern.finditer(folded):
            counterpart, side = self._forms[match.group()]
            parts += [text[end : match.start()], counterpart]
            end = match.end()
            sides.add(side)
        return Swap("".join(parts) + text[end:], frozenset(sides)) if sides else None

    @cached_property
    def _forms(self) -> dict[str, tuple[str, int]]:
        """Each written form of each word, folded: its counterpart in the same case, and the side of the word."""
        forms: dict[str, tuple[str, int]] = {}
        for row in self.pairs:
            for side in (0, 1):
                word, other = row[side], row[1 - side]
                for change in (str.upper, _capitalised, str):
                    forms[change(word).translate(_FOLD)] = (change(other), side)
        return forms

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        # The longest first: "young woman" before "young".
        words = sorted(self._forms, key=lambda word: (-len(word), word))
        return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, words))})(?![\w(-])") if words else None

    def _refuse(self, expected: str, got: str) -> None:
        raise UserError(f"{expected} in the word list {self.name}", got, "Mend the file.")


def builtin_lists() -> Path:
    """The folder of the lists that come with the package: inside an installed wheel, else in a checkout's `data/`."""
    packaged = Path(__file__).parents[2] / "counterfactuals"
    return packaged if packaged.is_dir() else Path(__file__).parents[4] / "data" / "counterfactuals"


def read_lists(folder: Path) -> list[WordList]:
    """The lists `<language>/<attribute>.csv` of a folder, in the order of their names.

    Raises:
        UserError: there is none, or one is not as it should be.
    """
    paths = sorted(folder.glob("*/*.csv"))
    if not paths:
        raise UserError(
            f"word lists <language>/<attribute>.csv in {folder}",
            "none",
            "Name a folder like data/counterfactuals, or set counterfactuals=null.",
        )
    return [_read(path) for path in paths]


def _read(path: Path) -> WordList:
    try:
        # Spreadsheets put a byte order mark first.
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *rows = [row for row in csv.reader(file, strict=True) if row] or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"a CSV in UTF-8 in {path}", str(error), "Save the file as such.") from None
    wrong = next((row for row in rows if len(row) != 3), None)
    if len(header) != 3 or header[0] != "kind" or len(set(header)) != 3 or wrong:
        raise UserError(
            f"the columns kind and the names of two sides in {path}",
            f"{wrong or header}",
            "Begin with a line like kind,male,female and give each row three cells.",
        )
    pairs, templates = ([row for row in rows if _is_template(row[0]) is wanted] for wanted in (False, True))
    texts = [tuple((one, other) for _, one, other in part) for part in (pairs, templates)]
    kinds = tuple(row[0] for row in templates)
    return WordList(path.parent.name, path.stem, (header[1], header[2]), texts[0], texts[1], kinds)


def _is_template(kind: str) -> bool:
    return kind.split()[:1] == [TEMPLATE]


def _key(word: str) -> str:
    return word.casefold().translate(_FOLD)


def _capitalised(word: str) -> str:
    return word[:1].upper() + word[1:]
