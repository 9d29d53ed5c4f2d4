"""What a prepared data set holds, in numbers: counts, lengths, languages, duplicates, groups, leaks, rejections."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from hr_retrieval.data.arrays import Rows
from hr_retrieval.data.crossings import Crossing, crossings
from hr_retrieval.data.dataset import PreparedDataset, spaced
from hr_retrieval.data.tables import SPLITS, Table
from hr_retrieval.data.tokens import Tokeniser

# Texts of each side whose tokens are counted and whose language is told, evenly over the table.
_SAMPLE = 20_000
_EXAMPLES = 20
# Letters of a text that are shown.
SHOWN = 300


@dataclass(frozen=True)
class Lengths:
    """Tokens of the texts of one side, by the encoder.

    Attributes:
        quantiles: the smallest, the median, the 95th percentile and the largest; what is cut counts
            as long as it is read.
        cut: share of the texts that are longer than the encoder reads.
    """

    quantiles: tuple[int, int, int, int]
    cut: float


@dataclass(frozen=True)
class Findings:
    """All that the page shows.

    Attributes:
        splits: queries, positives and negatives of each split.
        documents: how many there are, how many have a near-duplicate, and how many answer nothing.
        lengths: of queries and documents; empty without an encoder.
        languages: share of each language, or script, by side and split.
        groups: how many groups are stated, the queries of the largest, and queries without one.
        commonest: the query text with the most right answers, and its share of them.
        opening: how the most documents begin, and their share.
        rejected: rows by reason.
        masked: pieces by kind.
        boilerplate: sentences that were left out of many documents, each with how many had it.
        examples: split, query and a right answer of some queries by lot.
        masks: kind, before and after.
    """

    name: str
    source: str
    splits: dict[str, tuple[int, int, int]]
    documents: tuple[int, int, int]
    lengths: dict[str, Lengths]
    languages: dict[str, dict[str, float]]
    groups: tuple[int, int, int]
    commonest: tuple[str, float]
    opening: tuple[str, float]
    leaks: list[Crossing]
    rejected: dict[str, int]
    masked: dict[str, int]
    boilerplate: list[tuple[str, int]]
    examples: list[tuple[str, str, str]]
    masks: list[tuple[str, str, str]]


def findings(
    dataset: PreparedDataset, encoder: Tokeniser | None, masks: Sequence[tuple[str, str, str]] = (), seed: int = 1
) -> Findings:
    """Look at a data set.

    Args:
        encoder: by whose tokens lengths are counted; `None` leaves them out.
        masks: examples of what was masked.
        seed: of the examples.
    """
    info, counts = dataset.info, dataset.info.get("counts", {})
    sampled = {table: _sampled(dataset, table) for table in ("queries", "corpus")}
    positives, negatives = (np.diff(offsets) for offsets in (dataset.positive_offsets, dataset.negative_offsets))
    splits: dict[str, tuple[int, int, int]] = {}
    for name, number in SPLITS.items():
        own = dataset.query_split == number
        splits[name] = (int(own.sum()), int(positives[own].sum()), int(negatives[own].sum()))
    duplicates = np.bincount(dataset.document_duplicate[dataset.document_duplicate >= 0])
    answering = len(np.unique(dataset.positive_documents))
    groups = np.bincount(dataset.query_group[dataset.query_group >= 0])
    shared = bool(info.get("options", {}).get("shared_documents", False))
    return Findings(
        name=str(info.get("name", dataset.folder.name)),
        source=str(info.get("source", dataset.folder)),
        splits=splits,
        documents=(dataset.document_count, int(duplicates[duplicates > 1].sum()), dataset.document_count - answering),
        lengths={} if encoder is None else {
            "queries": _lengths(encoder, sampled["queries"][1], "query"), "documents": _lengths(encoder, sampled["corpus"][1], "document")
        },
        languages=_languages(dataset, sampled),
        groups=(int((groups > 0).sum()), int(groups.max(initial=0)), int((dataset.query_group < 0).sum())),
        commonest=_commonest(dataset, positives),
        opening=_opening(sampled["corpus"][1]),
        leaks=crossings(dataset, shared),
        rejected=_rejected(dataset),
        masked=dict(counts.get("masked", {})),
        boilerplate=[(text, count) for text, count in counts.get("boilerplate", {}).get("examples", ())],
        examples=_examples(dataset, seed),
        masks=list(masks),
    )  # fmt: skip


def _sampled(dataset: PreparedDataset, table: Table) -> tuple[Rows, list[str]]:
    """Rows and texts, evenly over the table."""
    count = dataset.query_count if table == "queries" else dataset.document_count
    rows = spaced(count, _SAMPLE)
    return rows, dataset.texts_at(table, rows)


def _lengths(encoder: Tokeniser, texts: list[str], kind: Any) -> Lengths:
    tokens, cut = encoder.tokenise(texts, kind)
    lengths = tokens.lengths.numpy()
    low, middle, high, most = (int(value) for value in np.quantile(lengths, [0, 0.5, 0.95, 1]))
    return Lengths((low, middle, high, most), cut / len(texts))


def _languages(dataset: PreparedDataset, sampled: dict[str, Any]) -> dict[str, dict[str, float]]:
    rows, _ = sampled["queries"]
    splits, found = dataset.query_split[rows], dataset.languages_at("queries", rows)
    sides: dict[str, list[str]] = {
        name: [tag for tag, own in zip(found, splits, strict=True) if own == number] for name, number in SPLITS.items()
    }
    sides["documents"] = dataset.languages_at("corpus", sampled["corpus"][0])
    return {name: _shares(own) for name, own in sides.items() if own}


def _shares(tags: list[str]) -> dict[str, float]:
    counts = Counter(tags)
    return {name: count / len(tags) for name, count in counts.most_common()}


def _commonest(dataset: PreparedDataset, positives: npt.NDArray[Any]) -> tuple[str, float]:
    weights = np.bincount(dataset.query_text, weights=positives)
    most = int(weights.argmax())
    (text,) = dataset.texts_at("queries", np.flatnonzero(dataset.query_text == most)[:1])
    return text[:SHOWN], float(weights[most] / max(weights.sum(), 1))


def _opening(texts: list[str]) -> tuple[str, float]:
    """The first 40 letters that the most texts have."""
    (opening, count), *_ = Counter(text[:40] for text in texts).most_common(1)
    return opening, count / len(texts)


def _rejected(dataset: PreparedDataset) -> dict[str, int]:
    file = dataset.folder / "rejected.parquet"
    if not file.is_file():
        return {}
    return dict(Counter(pq.read_table(file, columns=["reason"])["reason"].to_pylist()).most_common())


def _examples(dataset: PreparedDataset, seed: int) -> list[tuple[str, str, str]]:
    able = np.flatnonzero(np.diff(dataset.positive_offsets) > 0)
    draw = np.random.default_rng(seed)
    rows = np.sort(draw.choice(able, min(_EXAMPLES, len(able)), replace=False))
    right = np.asarray(dataset.positive_documents)[np.asarray(dataset.positive_offsets)[rows]]
    names = list(SPLITS)
    queries, documents = dataset.texts_at("queries", rows), dataset.texts_at("corpus", right)
    return [(names[dataset.query_split[row]], query[:SHOWN], document[:SHOWN])
            for row, query, document in zip(rows, queries, documents, strict=True)]  # fmt: skip
