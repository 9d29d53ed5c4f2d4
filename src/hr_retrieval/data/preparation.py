"""From raw rows to a prepared data set: `data/README.md` describes both ends."""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from hr_retrieval.config import build
from hr_retrieval.data.clean import Columns
from hr_retrieval.data.duplicates import near_duplicates
from hr_retrieval.data.intake import Intake, Occurrences, RejectedWriter, limited, take_in
from hr_retrieval.data.keys import Codes, Hashes, Places
from hr_retrieval.data.raw import RawBatch, Reader, Rejected
from hr_retrieval.data.resolution import Pairs, Resolution, resolve
from hr_retrieval.data.split import check_shares
from hr_retrieval.data.tables import (
    ROW_GROUP,
    SCHEMA_VERSION,
    SCHEMAS,
    SPLIT_NAMES,
    PreparedDataset,
    column_batches,
    file_hashes,
    fingerprint_of,
    take_rows,
    write_rows,
)
from hr_retrieval.errors import UserError
from hr_retrieval.files import check_vacant, sha256_of, whole_folder, write_json

log = logging.getLogger(__name__)

# Pairs that are looked at together.
_BLOCK = 1 << 22

_SPLIT_RULE = (
    "whole components of what shares a group, a positive, a near-duplicate document or a normalised text, "
    "in the order of a hash of their smallest query and the seed"
)
_STATED_SPLIT_RULE = "as the source states it"


@dataclass(frozen=True)
class Preparation:
    """How a data set is prepared; `run` does it.

    Args:
        reader: where the rows come from.
        folder: the prepared data set.
        name: of the data set.
        licence: under which the texts may be used, for `dataset.json`.
        source: where they come from, likewise; by default the files.
        columns: which columns hold what.
        validation_share: of the queries, unless a column states the split.
        test_share: likewise.
        near_duplicates: `normalised` takes documents for one that are equal but for case, punctuation and space;
            `minhash` also those that share most of their three-word shingles.
        near_duplicate_threshold: the Jaccard index from which `minhash` takes two documents for one.
        max_rows: read so many rows only.
    """

    reader: Reader
    folder: str
    name: str
    licence: str = "unknown"
    source: str | None = None
    columns: Columns = field(default_factory=Columns)
    validation_share: float = 0.1
    test_share: float = 0.1
    near_duplicates: str = "normalised"
    near_duplicate_threshold: float = 0.8
    max_rows: int | None = None

    def __post_init__(self) -> None:
        check_shares(self.validation_share, self.test_share)
        if self.near_duplicates not in ("normalised", "minhash"):
            raise UserError(
                "near_duplicates to be 'normalised' or 'minhash'", repr(self.near_duplicates), "Choose one of the two."
            )
        if not 0 < self.near_duplicate_threshold <= 1:
            raise UserError(
                "near_duplicate_threshold above 0 and up to 1",
                str(self.near_duplicate_threshold),
                "A usual one is 0.8.",
            )
        if self.max_rows is not None and self.max_rows < 1:
            raise UserError("max_rows of at least 1, or null", str(self.max_rows), "Mend data.max_rows.")

    def run(self, seed: int = 1, replace: bool = False) -> PreparedDataset:
        """Write the data set, whole or not at all, and open it.

        Memory: about 175 bytes a pair beside one block of texts, and files of as much again; `minhash` needs about 3 KB a document more.

        Args:
            seed: of the split.
            replace: whether what stands at the folder may be replaced.

        Raises:
            UserError: the folder is taken, the source cannot be read, no rows or only one text are left, or the rows
                have too few groups to be split.
        """
        folder = Path(self.folder)
        if not replace:
            check_vacant(folder)
        inputs = self.reader.inputs()
        with whole_folder(folder, replace) as partial:
            info = self._info(inputs, seed) | {"counts": self._write(partial, seed)}
            hashes = file_hashes(partial)
            info |= {"files": hashes, "fingerprint": fingerprint_of(hashes)}
            write_rows(partial)
            write_json(partial / "dataset.json", info)
        if info["counts"]["leaks"]:
            log.warning(
                "%d validation or test queries of the stated split share a text or a group with another split",
                info["counts"]["leaks"],
            )
        return PreparedDataset.open(folder)

    def open_or_run(self, seed: int = 1) -> PreparedDataset:
        """Open the data set, preparing it first if the folder is missing.

        Raises:
            UserError: it was prepared with other settings or another seed.
        """
        folder = Path(self.folder)
        if not folder.exists() or not any(folder.iterdir()):
            return self.run(seed)
        dataset = PreparedDataset.open(folder)
        if "options" not in dataset.info:
            # Made by hand.
            return dataset
        recorded = dataset.info["options"] | {"seed": dataset.info["seed"]}
        wanted = json.loads(json.dumps(self._options())) | {"seed": seed}
        for key, value in wanted.items():
            if recorded.get(key) != value:
                raise UserError(
                    f"a data set prepared with {key} = {value}",
                    f"{folder}, prepared with {recorded.get(key)}",
                    "Prepare it again with replace=true, or name another data.folder.",
                )
        return dataset

    def _write(self, folder: Path, seed: int) -> dict[str, Any]:
        """Write the tables; gives the counts."""
        with (
            RejectedWriter(folder / "rejected.parquet") as rejected,
            TemporaryDirectory(dir=folder, prefix=".intake-") as spool,
            _progress() as follow,
        ):
            batches = follow(limited(self.reader.batches(self.columns.names()), self.max_rows))
            intake = take_in(batches, self.columns, Path(spool), rejected)
            _check_enough(intake, rejected.counts)
            resolution = self._resolve(intake, seed)
            _check_documents(resolution)
            _reject_negatives(intake, resolution, rejected)
            _write_corpus(folder, intake.documents, resolution)
            _write_queries(folder, intake.queries, resolution)
            counts = _counts(resolution, rejected.counts, intake.skipped)
            count, pairs = len(resolution.documents), {1: resolution.positives, 0: resolution.negatives}
            # The ids of both tables come into memory next.
            del resolution
            _write_qrels(folder, count, pairs)
        return counts

    def _resolve(self, intake: Intake, seed: int) -> Resolution:
        def clusterer(places: Places) -> Codes:
            return near_duplicates(_texts_at(intake.documents, places), self.near_duplicate_threshold)

        return resolve(
            intake,
            self.columns.group is not None,
            self.columns.split is not None,
            clusterer if self.near_duplicates == "minhash" else None,
            self.validation_share,
            self.test_share,
            seed,
        )

    def _options(self) -> dict[str, Any]:
        """What the content of the data set follows from, beside the inputs and the seed."""
        options = {
            key: value for key, value in asdict(self).items() if key not in ("folder", "name", "licence", "source")
        }
        options["reader"] = {"class": type(self.reader).__name__} | options["reader"]
        return options

    def _info(self, inputs: list[Path], seed: int) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "source": self.source or ", ".join(str(path) for path in inputs[:3]),
            "licence": self.licence,
            "inputs": {str(path): sha256_of(path) for path in inputs},
            "options": self._options(),
            "seed": seed,
            "split_rule": _SPLIT_RULE if self.columns.split is None else _STATED_SPLIT_RULE,
        }


def prepare(data: Mapping[str, Any], seed: int, replace: bool = False) -> PreparedDataset:
    """Prepare the data set that a config describes; see `Preparation.run`."""
    return configured(data).run(seed, replace)


def prepared_dataset(data: Mapping[str, Any], seed: int) -> PreparedDataset:
    """Open the data set that a config describes (see `Preparation`), preparing it first if need be."""
    return configured(data).open_or_run(seed)


def configured(data: Mapping[str, Any]) -> Preparation:
    """The `Preparation` that a config describes.

    Raises:
        UserError: a setting is out of range.
    """
    preparation: Preparation = build(data, _convert_="all")
    return preparation


def _check_enough(intake: Intake, rejected: Mapping[str, int]) -> None:
    if len(intake.positives.read()) == 0:
        reasons = ", ".join(f"{reason} ({count} rows)" for reason, count in rejected.items())
        raise UserError(
            "rows with an anchor and a positive",
            f"none: {reasons or 'the source has no rows'}",
            "Check data.columns.*.",
        )


def _check_documents(resolution: Resolution) -> None:
    if len(resolution.documents) < 2:
        raise UserError(
            "at least two different documents, so that one can be a negative of the other",
            "one text only",
            "Check that data.columns.positive names the column of the documents.",
        )


def _texts_at(occurrences: Occurrences, places: Places) -> Iterator[list[str]]:
    for _, batch in _chosen(occurrences, places):
        yield batch.column("text").to_pylist()


def _chosen(occurrences: Occurrences, places: Places) -> Iterator[tuple[slice, pa.RecordBatch]]:
    """The occurrences at ascending places, block by block, and which part of `places` each block is."""
    begin = done = 0
    for batch in column_batches(occurrences.file, ["text", "id", "group"]):
        upto = int(np.searchsorted(places, begin + batch.num_rows))
        if upto > done:
            yield slice(done, upto), batch.take(pa.array(places[done:upto] - begin))
        begin, done = begin + batch.num_rows, upto


def _write_corpus(folder: Path, occurrences: Occurrences, resolution: Resolution) -> None:
    documents, clusters = resolution.documents, resolution.clusters
    sizes = np.bincount(clusters)
    first = np.zeros(len(sizes), np.int32)
    # Of repeated indices the last assignment stays: in reversed order, the first document of each cluster.
    first[clusters[::-1]] = np.arange(len(clusters), dtype=np.int32)[::-1]
    with _writer(folder, "corpus") as write:
        for rows, batch in _chosen(occurrences, documents.places):
            names = documents.norms[first[clusters[rows]]].tolist()
            duplicates = [
                f"t{name:016x}" if size > 1 else None
                for name, size in zip(names, sizes[clusters[rows]].tolist(), strict=True)
            ]
            write([*_identified(batch, documents.groups[rows], documents.hashes[rows], "d"), duplicates])


def _write_queries(folder: Path, occurrences: Occurrences, resolution: Resolution) -> None:
    queries = resolution.queries
    with _writer(folder, "queries") as write:
        for rows, batch in _chosen(occurrences, queries.places):
            splits = [SPLIT_NAMES[number] for number in resolution.splits[rows]]
            write([*_identified(batch, queries.groups[rows], queries.hashes[rows], "q"), splits])


def _identified(batch: pa.RecordBatch, group_hashes: Hashes, hashes: Hashes, letter: str) -> list[Any]:
    """Ids, texts and groups of a block; ids that the source does not state are made from hashes, so that they are stable."""
    ids = [
        f"{letter}{number:016x}" if name is None else name
        for name, number in zip(batch.column("id").to_pylist(), hashes.tolist(), strict=True)
    ]
    groups = [
        name if number else None
        for name, number in zip(batch.column("group").to_pylist(), group_hashes.tolist(), strict=True)
    ]
    return [pa.array(ids, pa.string()), batch.column("text"), groups]


def _write_qrels(folder: Path, count: int, pairs: Mapping[int, Pairs]) -> None:
    """Write `query * count + document` pairs by relevance."""
    query_ids, document_ids = _ids(folder, "queries", "query_id"), _ids(folder, "corpus", "document_id")
    with _writer(folder, "qrels") as write:
        for relevance, numbers in pairs.items():
            for begin in range(0, len(numbers), ROW_GROUP):
                owners, members = np.divmod(numbers[begin : begin + ROW_GROUP], count)
                ids = [
                    names.take(pa.array(rows)).cast(pa.string())
                    for names, rows in ((query_ids, owners), (document_ids, members))
                ]
                write([*ids, np.full(len(owners), relevance, np.int8)])


def _ids(folder: Path, table: str, column: str) -> pa.LargeStringArray:
    blocks = [
        batch.column(0).cast(pa.large_string()) for batch in column_batches(folder / f"{table}.parquet", [column])
    ]
    return pa.concat_arrays(blocks)


def _reject_negatives(intake: Intake, resolution: Resolution, rejected: RejectedWriter) -> None:
    if not resolution.dropped:
        return
    pairs, source_rows = intake.negatives.read(), intake.negative_rows.read()
    with pq.ParquetFile(intake.queries.file) as queries, pq.ParquetFile(intake.documents.file) as documents:
        for reason, chosen in resolution.dropped.items():
            for begin in range(0, len(chosen), ROW_GROUP):
                part = chosen[begin : begin + ROW_GROUP]
                anchors, negatives = (
                    take_rows(file, pairs[part, side].astype(np.int64), ["text"]).column(0).to_pylist()
                    for side, file in ((0, queries), (1, documents))
                )
                rows = [intake.source_of(row) for row in source_rows[part].tolist()]
                rejected.write(
                    [
                        Rejected(
                            source,
                            row,
                            reason,
                            json.dumps({"anchor": anchor, "negative": negative}, ensure_ascii=False),
                        )
                        for (source, row), anchor, negative in zip(rows, anchors, negatives, strict=True)
                    ]
                )


def _counts(resolution: Resolution, rejected: Mapping[str, int], skipped: int) -> dict[str, Any]:
    by_split = {
        name: {
            "queries": int((resolution.splits == number).sum()),
            "documents": _documents_of(resolution, number),
            "positives": _pairs_of(resolution, resolution.positives, number),
            "negatives": _pairs_of(resolution, resolution.negatives, number),
        }
        for number, name in enumerate(SPLIT_NAMES)
    }
    sizes = np.bincount(resolution.clusters)
    return {
        "queries": len(resolution.queries),
        "documents": len(resolution.documents),
        "positives": len(resolution.positives),
        "negatives": len(resolution.negatives),
        "splits": by_split,
        "merged": resolution.merged,
        "near_duplicate_documents": int(sizes[sizes > 1].sum()),
        "skipped_values": skipped,
        "rejected": dict(rejected),
        "leaks": resolution.leaks,
    }


def _in_split(resolution: Resolution, pairs: Pairs, split: int) -> Iterator[Pairs]:
    """The pairs of a split, block by block."""
    count = len(resolution.documents)
    for begin in range(0, len(pairs), _BLOCK):
        block = pairs[begin : begin + _BLOCK]
        yield block[resolution.splits[block // count] == split]


def _pairs_of(resolution: Resolution, pairs: Pairs, split: int) -> int:
    return sum(len(block) for block in _in_split(resolution, pairs, split))


def _documents_of(resolution: Resolution, split: int) -> int:
    """How many documents answer a query of the split."""
    count = len(resolution.documents)
    answers = np.zeros(count, dtype=bool)
    for block in _in_split(resolution, resolution.positives, split):
        answers[block % count] = True
    return int(answers.sum())


@contextmanager
def _writer(folder: Path, table: str) -> Iterator[Any]:
    """A function that adds a block of columns to a table; small blocks are gathered into row groups."""
    schema = SCHEMAS[table]
    waiting: list[pa.RecordBatch] = []
    with pq.ParquetWriter(folder / f"{table}.parquet", schema, compression="zstd") as file:

        def flush() -> None:
            file.write_table(pa.Table.from_batches(waiting, schema), row_group_size=ROW_GROUP)
            waiting.clear()

        def write(columns: list[Any]) -> None:
            waiting.extend(pa.table(columns, schema=schema).to_batches())
            if sum(batch.num_rows for batch in waiting) >= ROW_GROUP:
                flush()

        yield write
        flush()


@contextmanager
def _progress() -> Iterator[Any]:
    """Shows how many rows were read, on a terminal only; yields a function that follows an iterator of batches."""
    columns = (SpinnerColumn(), TextColumn("reading: {task.completed:,} rows"), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=None)

        def follow(batches: Iterator[RawBatch]) -> Iterator[RawBatch]:
            for batch in batches:
                yield batch
                bar.advance(task, len(batch.rows))

        yield follow
