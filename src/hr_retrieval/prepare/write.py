"""What was resolved as `corpus.parquet`, `queries.parquet` and `qrels.parquet`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hr_retrieval.data.arrays import Hashes, PairNumbers, Places
from hr_retrieval.data.grades import Grades, Weights
from hr_retrieval.data.tables import ROW_GROUP, SCHEMAS, SPLITS, column_batches, finish, parquet_file, take_rows
from hr_retrieval.prepare.intake import Intake
from hr_retrieval.prepare.occurrences import Occurrences
from hr_retrieval.prepare.readers.reader import Rejected, as_json
from hr_retrieval.prepare.rejections import RejectedWriter
from hr_retrieval.prepare.resolution import Resolution

# Finds the languages of texts, if anything does.
Languages = Callable[[Sequence[str]], list[str]] | None


def write_corpus(folder: Path, occurrences: Occurrences, resolution: Resolution, languages: Languages) -> None:
    """Write the documents; those of a cluster share the name of its first one's text."""
    documents, clusters = resolution.documents, resolution.clusters
    sizes = np.bincount(clusters)
    first = np.zeros(len(sizes), np.int32)
    # Of repeated indices the last assignment stays: in reversed order, the first document of each
    # cluster.
    first[clusters[::-1]] = np.arange(len(clusters), dtype=np.int32)[::-1]
    with _writer(folder, "corpus") as write:
        for rows, batch in _chosen(occurrences, documents.places):
            names = documents.norms[first[clusters[rows]]].tolist()
            duplicates = [
                f"t{name:016x}" if size > 1 else None
                for name, size in zip(names, sizes[clusters[rows]].tolist(), strict=True)
            ]
            write(
                [
                    *_identified(batch, documents.groups[rows], documents.hashes[rows], "d"),
                    duplicates,
                    _tags(batch, languages),
                ]
            )


def write_queries(folder: Path, occurrences: Occurrences, resolution: Resolution, languages: Languages) -> None:
    """Write the queries and their splits."""
    queries, names = resolution.queries, list(SPLITS)
    with _writer(folder, "queries") as write:
        for rows, batch in _chosen(occurrences, queries.places):
            splits = [names[number] for number in resolution.splits[rows]]
            write(
                [*_identified(batch, queries.groups[rows], queries.hashes[rows], "q"), splits, _tags(batch, languages)]
            )


def write_qrels(
    folder: Path, count: int, positives: PairNumbers, grades: Grades, weights: Weights | None, negatives: PairNumbers
) -> None:
    """Write `query * count + document` pairs; positives by their grades and, if there are some, weights."""
    query_ids, document_ids = _ids(folder, "queries", "query_id"), _ids(folder, "corpus", "document_id")
    columns = [name for name in SCHEMAS["qrels"].names if name != "weight" or weights is not None]
    with _writer(folder, "qrels", columns) as write:
        for numbers, relevance, weight in (
            (positives, grades, weights),
            (negatives, np.zeros(len(negatives), np.int8), None),
        ):
            for begin in range(0, len(numbers), ROW_GROUP):
                part = slice(begin, begin + ROW_GROUP)
                owners, members = np.divmod(numbers[part], count)
                ids = [
                    names.take(pa.array(rows)).cast(pa.string())
                    for names, rows in ((query_ids, owners), (document_ids, members))
                ]
                known = pa.nulls(len(owners), pa.float32()) if weight is None else weight[part]
                write([*ids, relevance[part], known][: len(columns)])


def write_dropped(intake: Intake, resolution: Resolution, rejected: RejectedWriter) -> None:
    """Write the negatives that are not used to the rejected rows."""
    if not resolution.dropped:
        return
    pairs, source_rows = intake.negatives.read(), intake.negative_rows.read()
    with parquet_file(intake.queries.file) as queries, parquet_file(intake.documents.file) as documents:
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
                            as_json({"anchor": anchor, "negative": negative}),
                        )
                        for (source, row), anchor, negative in zip(rows, anchors, negatives, strict=True)
                    ]
                )


def texts_at(occurrences: Occurrences, places: Places) -> Iterator[list[str]]:
    """The texts at ascending places, block by block."""
    for _, batch in _chosen(occurrences, places):
        yield batch.column("text").to_pylist()


def _chosen(occurrences: Occurrences, places: Places) -> Iterator[tuple[slice, pa.RecordBatch]]:
    """The occurrences at ascending places, block by block, and which part of `places` each block is."""
    begin = done = 0
    for batch in column_batches(occurrences.file, ["text", "id", "group", "language"]):
        upto = int(np.searchsorted(places, begin + batch.num_rows))
        if upto > done:
            yield slice(done, upto), batch.take(pa.array(places[done:upto] - begin))
        begin, done = begin + batch.num_rows, upto


def _identified(batch: pa.RecordBatch, group_hashes: Hashes, hashes: Hashes, letter: str) -> list[Any]:
    """Ids, texts and groups of a block; ids that the source does not state are made from hashes, so
    that they are stable.
    """
    ids = [
        f"{letter}{number:016x}" if name is None else name
        for name, number in zip(batch.column("id").to_pylist(), hashes.tolist(), strict=True)
    ]
    groups = [
        name if number else None
        for name, number in zip(batch.column("group").to_pylist(), group_hashes.tolist(), strict=True)
    ]
    return [pa.array(ids, pa.string()), batch.column("text"), groups]


def _tags(batch: pa.RecordBatch, languages: Languages) -> list[str | None]:
    """The languages of a block: as stated, or else as found."""
    stated: list[str | None] = batch.column("language").to_pylist()
    missing = [place for place, tag in enumerate(stated) if tag is None]
    if languages is not None and missing:
        texts = batch.column("text").to_pylist()
        for place, tag in zip(missing, languages([texts[place] for place in missing]), strict=True):
            stated[place] = tag
    return stated


def _ids(folder: Path, table: str, column: str) -> pa.LargeStringArray:
    blocks = [
        batch.column(0).cast(pa.large_string()) for batch in column_batches(folder / f"{table}.parquet", [column])
    ]
    return pa.concat_arrays(blocks)


@contextmanager
def _writer(folder: Path, table: str, columns: Sequence[str] | None = None) -> Iterator[Any]:
    """A function that adds a block of columns to a table, all of its schema or these; small blocks
    are gathered into row groups.
    """
    schema = pa.schema([SCHEMAS[table].field(name) for name in columns or SCHEMAS[table].names])
    waiting: list[pa.RecordBatch] = []
    file = pq.ParquetWriter(folder / f"{table}.parquet", schema, compression="zstd")

    def flush() -> None:
        file.write_table(pa.Table.from_batches(waiting, schema), row_group_size=ROW_GROUP)
        waiting.clear()

    def write(columns: list[Any]) -> None:
        waiting.extend(pa.table(columns, schema=schema).to_batches())
        if sum(batch.num_rows for batch in waiting) >= ROW_GROUP:
            flush()

    whole = False
    try:
        yield write
        flush()
        whole = True
    finally:
        finish(file, whole)
