"""Which columns of a source hold what, as the user names them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.dates import check_date_format

# How exports write that a cell has no value.
PLACEHOLDERS = (
    "n/a", "na", "nan", "nat", "null", "none", "nil", "<na>", "(null)", r"\N", "н/д",
    "#n/a", "#н/д", "#null!", "#value!", "#ref!", "#name?", "#num!", "#div/0!",
)  # fmt: skip
# What parts the texts of `joined`.
JOINT = "; "


# The options that name columns.
_NAMING = (
    "anchor", "positive", "negative", "group", "related", "anchor_id", "positive_id", "split", "date", "language", "relevance",
    "weight", "lists", "joined",
)  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """Which columns of the source hold what; the names are those of the file.

    A cell may hold one text or a list of texts, and `anchor`, `positive` and `negative` may each
    name several columns: pairs, triplets and rows with many positives or negatives are all read
    alike.

    A name is a text or a number, `lists`, `joined` and the first three take several.

    Args:
        anchor: the query side; each of several texts is a query of its own.
        positive: documents that answer every anchor of the row.
        negative: documents that are known not to.
        group: what answers the same need: every document of a group is a right answer to every
            anchor of it.
        related: what is only likely to answer the same need, such as a unit group of ISCO: a document
            of the same one as a right answer is neither relevant nor a negative in training, and a
            plain document in evaluation. A document that is stated for several is of none.
        anchor_id: identifier of the query; made from the text by default. With several anchors,
            `-1`, `-2`, ... are added.
        positive_id: identifier of the document, likewise.
        split: `train`, `validation` (`dev`, `val`) or `test`; by default the split is drawn.
        date: of the row, for `data.split=time`: ISO 8601, `31.01.2026`, or as Parquet and databases
            hold dates.
        date_format: of dates in other texts, as `datetime.strptime` has it: `%m/%d/%Y`.
        language: tag of the language of the row's texts, such as `ru` or `pt-BR`.
        relevance: how well the positives of the row answer its anchors, 0 to 3: 0 makes them stated
            negatives; 1 for all by default.
        weight: what the row's pairs weigh in the loss beside that, above 0; 1 for all by default.
        missing: cells that say that there is no value, in any case of letters.
        lists: columns whose cells hold several texts as one; what is in brackets, as Python and
            JSON write lists, is always read so there.
        separator: what stands between the texts of such a cell otherwise: `lines` for line ends, or
            the sign itself; or a list with one for each of `lists`.
        joined: columns whose several texts are one text, parted by "; ": the skills of an
            occupation, say, of which training can take some (`datamodule.sources.<source>.parts_at`).

    Raises:
        UserError: no anchor, no positive, a name that is no text or number, or separators that do
            not fit `lists`.
    """

    # A command line makes a number of a name that looks like one: `Any` until `__post_init__` has
    # made text of it.
    anchor: Any = "position"
    positive: Any = "description"
    negative: Any = None
    group: Any = None
    related: Any = None
    anchor_id: Any = None
    positive_id: Any = None
    split: Any = None
    date: Any = None
    date_format: str | None = None
    language: Any = None
    relevance: Any = None
    weight: Any = None
    missing: str | Sequence[str] = PLACEHOLDERS
    lists: Any = None
    separator: str | Sequence[str] = "lines"
    joined: Any = None

    def __post_init__(self) -> None:
        for key in _NAMING:
            object.__setattr__(self, key, _as_names(key, getattr(self, key)))
        for key in ("anchor", "positive"):
            if not several(getattr(self, key)):
                raise UserError(f"a column for data.columns.{key}", "none", "Name one of the file.")
        check_date_format(self.date_format)
        if isinstance(self.missing, str):
            object.__setattr__(self, "missing", [self.missing])
        lists, separators = several(self.lists), several(self.separator)
        if not all(isinstance(sign, str) and sign for sign in separators) or (len(separators) not in (1, len(lists))):
            raise UserError(
                "data.columns.separator to be one sign, or one for each of data.columns.lists",
                repr(self.separator),
                "Say lines for line ends, or the sign, as in 'data.columns.separator=\";\"'.",
            )
        for key, names in (("lists", lists), ("joined", several(self.joined))):
            unknown = [name for name in names if name not in self.text_names()]
            if unknown:
                raise UserError(
                    f"data.columns.{key} to name columns of texts",
                    repr(unknown[0]),
                    f"Those are {', '.join(map(repr, self.text_names()))}.",
                )

    @cached_property
    def placeholders(self) -> dict[str, str]:
        """`missing` by the folded text."""
        return {str(text).strip().casefold(): str(text) for text in self.missing or ()}

    @cached_property
    def separators(self) -> dict[str, str]:
        """What separates the texts of a cell, by the columns of `lists`."""
        lists, separators = several(self.lists), several(self.separator)
        signs = list(separators) * (len(lists) if len(separators) == 1 else 1)
        return dict(zip(lists, signs, strict=False))

    def text_names(self) -> list[str]:
        """The columns of anchors, positives and negatives, each once."""
        return list(dict.fromkeys([*several(self.anchor), *several(self.positive), *several(self.negative)]))

    def names(self) -> list[str]:
        """Every column that is read, each once."""
        named = self.text_names()
        others = (
            self.group, self.related, self.anchor_id, self.positive_id, self.split, self.date, self.language,
            self.relevance, self.weight,
        )  # fmt: skip
        named += [name for name in others if name is not None]
        return list(dict.fromkeys(named))


def _as_names(key: str, value: Any) -> Any:
    """Names of columns as text: a command line makes a number of what looks like one."""
    if isinstance(value, list | tuple):
        return [_as_names(key, name) for name in value]
    if isinstance(value, bool) or not (value is None or isinstance(value, str | int | float)):
        raise UserError(
            f"data.columns.{key} to name columns",
            repr(value),
            f"Put a name that Hydra reads as something else in quotes: 'data.columns.{key}=\"{str(value).lower()}\"'.",
        )
    return value if value is None else str(value)


def several(names: str | Sequence[str] | None) -> Sequence[str]:
    """The names of one, several or no columns."""
    if names is None:
        return ()
    return (names,) if isinstance(names, str) else names
