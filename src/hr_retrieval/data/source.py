"""A prepared data set as one of the sources of a training: its name, its share, and the wording of its texts."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hr_retrieval.data.arrays import Rows
from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.evaluation_set import EvaluationSet
from hr_retrieval.data.guard import Guard
from hr_retrieval.data.joined import first_rows
from hr_retrieval.data.parts import Parts, TextTable, text_table
from hr_retrieval.data.tables import Table
from hr_retrieval.data.tokens import Rewordable, Tokeniser, TokenTable, token_table
from hr_retrieval.errors import UserError

# What stands behind `validation/` in the names of figures, and cannot be a source's name.
_TAKEN = "document_to_query"
_WORDING = ("query_prefix", "document_prefix", "query_template", "document_template")


@dataclass(frozen=True)
class SourceOptions:
    """What can be said of each source.

    Attributes:
        weight: its share of the batches and of the mean of the figures, as a part of the sum of all
            weights; with 0 it is measured, and not trained on.
        query_prefix: in place of the encoder's own, as for the rest of them.
        parts_at: what stands between the parts of a document that is a list: in training it is made
            anew of some of them each time it is drawn (see `Parts`); `None` takes texts as they
            are.
        least_parts, most_parts: how many of them.
    """

    weight: float = 1.0
    query_prefix: str | None = None
    document_prefix: str | None = None
    query_template: str | None = None
    document_template: str | None = None
    parts_at: str | None = None
    least_parts: int = 5
    most_parts: int = 8

    @property
    def wording(self) -> dict[str, str]:
        """The options of a wording that are given."""
        given = {name: getattr(self, name) for name in _WORDING}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def parts(self) -> Parts | None:
        """How documents are made anew, if they are."""
        return None if self.parts_at is None else Parts(self.parts_at, self.least_parts, self.most_parts)


@dataclass(frozen=True, eq=False)
class Source:
    """One of the data sets of a training.

    Attributes:
        name: the last part of its folder.
        share: of the batches, and of the mean of the figures; all shares sum to 1.
        dataset: its tables, whose rows count from 0.
        guard: what it says by itself: it is measured by its own judgements, as `evaluate` does.
        first_query, first_document: where its rows begin among those of all sources.
        wording: options of the encoder in place of its own.
        tokeniser: puts its texts into these words.
        cache: where its token tables go.
        parts: how its documents are made anew in training, if they are.
    """

    name: str
    share: float
    dataset: PreparedDataset
    guard: Guard
    first_query: int
    first_document: int
    wording: Mapping[str, str]
    tokeniser: Tokeniser
    cache: Path
    parts: Parts | None = None

    def texts(self) -> TextTable | None:
        """The texts of its corpus, where documents are made anew of them."""
        if self.parts is None:
            return None
        return text_table(self.cache / self.dataset.fingerprint[:16] / "texts", self.dataset.texts("corpus"))

    def tokens(self) -> tuple[TokenTable, TokenTable]:
        """The token tables of its queries and of its corpus, made if no cache holds them."""
        data = self.dataset
        # Of what the tables held: a cache may serve several data sets, and outlive what one was.
        place = self.cache / data.fingerprint[:16]
        return (
            token_table(place, "queries", data.texts("queries"), data.query_count, self.tokeniser, "query"),
            token_table(place, "corpus", data.texts("corpus"), data.document_count, self.tokeniser, "document"),
        )


def open_sources(
    folder: str | Path | Sequence[str | Path],
    options: Mapping[str, Mapping[str, Any]] | None,
    tokeniser: Rewordable,
    identical_text: str,
    cache: Path | None,
) -> list[Source]:
    """The data sets of these folders, in their order.

    Args:
        options: `SourceOptions` by the name of the source; `None` for none.
        cache: where all token tables go; `None` for `tokens` in the folder of each.

    Raises:
        UserError: two folders have one name, an option is of no source or unknown, weights are
            negative or all 0, a template has not `{text}` once, or a folder is no prepared data
            set.
    """
    folders = [Path(folder)] if isinstance(folder, str | Path) else [Path(one) for one in folder]
    names = _names(folders)
    said = _said(names, options or {})
    total = sum(one.weight for one in said)
    tokenisers = [tokeniser.reworded(**one.wording) for one in said]
    datasets = [PreparedDataset.open(one) for one in folders]
    sources = []
    for name, own, data, words, first_query, first_document in zip(
        names, said, datasets, tokenisers, *first_rows(datasets), strict=True
    ):
        guard, place = Guard(data, identical_text=identical_text), cache or data.folder / "tokens"
        share = own.weight / total
        sources.append(
            Source(name, share, data, guard, first_query, first_document, own.wording, words, place, own.parts)
        )
    return sources


def fingerprint_of_all(sources: Sequence[Source]) -> str:
    """The fingerprint of the data set; of several, one over theirs in their order."""
    prints = [source.dataset.fingerprint for source in sources]
    return prints[0] if len(prints) == 1 else hashlib.sha256("".join(prints).encode()).hexdigest()


def source_of(sources: Sequence[Source], query_row: int) -> Source:
    """The source that has a row among the queries of all."""
    return next(source for source in reversed(sources) if source.first_query <= query_row)


def ids_at(sources: Sequence[Source], table: Table, source: Source, rows: Rows) -> list[str]:
    """The ids of rows of a source, with its name before them where there are several."""
    ids = source.dataset.ids_at(table, rows)
    return ids if len(sources) == 1 else [f"{source.name}/{one}" for one in ids]


def corpora(sources: Sequence[Source], evaluations: Sequence[EvaluationSet]) -> str:
    """What is ranked for the queries of each source, in words."""
    if len(sources) == 1:
        return evaluations[0].corpus
    return "; ".join(f"{source.name}: {one.corpus}" for source, one in zip(sources, evaluations, strict=True))


def mean_of(sources: Sequence[Source], figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Figures of each source as one: their mean by shares, and the sum of what is counted; of several
    sources also those of each, as `<source>/<figure>`.
    """
    whole = {
        name: sum(
            own[name] * (1.0 if name.endswith("excluded") else source.share)
            for source, own in zip(sources, figures, strict=True)
        )
        for name in figures[0]
    }
    if len(sources) == 1:
        return whole
    each = [
        {f"{source.name}/{name}": value for name, value in own.items()}
        for source, own in zip(sources, figures, strict=True)
    ]
    return whole | {name: value for own in each for name, value in own.items()}


def _names(folders: Sequence[Path]) -> list[str]:
    if not folders:
        raise UserError("at least one folder in datamodule.folder", "none", "Name prepared data sets.")
    names = [folder.resolve().name for folder in folders]
    for number, name in enumerate(names):
        if name in names[:number] or name == _TAKEN:
            first = folders[names.index(name)]
            raise UserError(
                "sources of different names, which are the last parts of their folders",
                f"{first} and {folders[number]}" if name != _TAKEN else str(folders[number]),
                "Rename one of the folders, or prepare it under another data.name.",
            )
    return names


def _said(names: Sequence[str], options: Mapping[str, Mapping[str, Any]]) -> list[SourceOptions]:
    """The options of each source, checked before any of them is opened."""
    known = [field.name for field in fields(SourceOptions)]
    for name, own in options.items():
        if name not in names:
            raise UserError(
                f"datamodule.sources of {', '.join(names)}",
                str(name),
                "A source is named by the last part of its folder in datamodule.folder.",
            )
        for key, value in (own or {}).items():
            if key not in known:
                raise UserError(
                    f"datamodule.sources.{name} with {', '.join(known)}", str(key), "Mend or remove this key."
                )
            if key in (*_WORDING, "parts_at") and not isinstance(value, str | None):
                raise UserError(f"a text as datamodule.sources.{name}.{key}", repr(value), "Put it in quotes.")
        _check_parts(name, own or {})
    given = [dict(options.get(name) or {}) for name in names]
    weights = [own.pop("weight", 1.0) for own in given]
    numbers = all(isinstance(weight, int | float) and not isinstance(weight, bool) for weight in weights)
    if not numbers or not all(0 <= weight < math.inf for weight in weights) or not sum(weights):
        raise UserError(
            "weights of sources of at least 0, and one above 0",
            ", ".join(f"{name} {weight}" for name, weight in zip(names, weights, strict=True)),
            "Mend datamodule.sources.<name>.weight; 1 is the default.",
        )
    return [SourceOptions(float(weight), **own) for weight, own in zip(weights, given, strict=True)]


def _check_parts(name: str, own: Mapping[str, Any]) -> None:
    """Raise `UserError` where the parts of a source are none."""
    if own.get("parts_at") == "":
        raise UserError(f"a sign as datamodule.sources.{name}.parts_at", "an empty text", "Say what parts them: '; '.")
    least, most = (own.get(key, getattr(SourceOptions, key)) for key in ("least_parts", "most_parts"))
    if not all(isinstance(number, int) for number in (least, most)) or not 1 <= least <= most:
        raise UserError(
            f"datamodule.sources.{name} with least_parts of at least 1 and most_parts of no fewer",
            f"{least} and {most}",
            "5 and 8 are the defaults.",
        )
