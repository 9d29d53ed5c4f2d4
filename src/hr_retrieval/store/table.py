"""The passages of an index on disk, by LanceDB: one row a passage, changes in whole commits, old versions readable."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hr_retrieval.errors import UserError, said
from hr_retrieval.store.filters import literal

_NAME = "passages"
# Columns of every index; others are metadata.
OWN = ("document_id", "passage", "begin", "end", "text", "digest", "vector", "sentences")
# Vectors of one part of the inverted file, and of these by how many its centre is found; parts read
# for a query; candidates compared by whole vectors, for each one that is asked for.
PART, SAMPLED, PROBES, REFINED = 500, 64, 512, 8
# The nearest of what fulfils a condition lie farther off: twice as many parts are read, and passages
# up to this number are all compared.
FEW = 2_000
# Each change adds a small inverted file, which a query reads too; with so many, all become one.
_FILES = 8
_STORE = (
    "Check the address, and what the environment says of the store: AWS_ENDPOINT, AWS_REGION, AWS_ACCESS_KEY_ID, "
    "AWS_SECRET_ACCESS_KEY."
)
# Readers of the version before go on for so long.
_KEPT = timedelta(hours=1)


def schema(dimension: int, metadata: Mapping[str, pa.DataType]) -> pa.Schema:
    """A row is a passage: the letters `begin : end` of its document's text, which its first passage has. Vectors of
    its sentences are as `store.marks.packed` has them.
    """
    return pa.schema(
        [
            pa.field("document_id", pa.string(), nullable=False),
            pa.field("passage", pa.int32(), nullable=False),
            pa.field("begin", pa.int32(), nullable=False),
            pa.field("end", pa.int32(), nullable=False),
            pa.field("text", pa.string()),
            pa.field("digest", pa.string(), nullable=False),
            pa.field("vector", pa.list_(pa.float32(), dimension), nullable=False),
            pa.field("sentences", pa.binary()),
            *(pa.field(name, kind) for name, kind in metadata.items()),
        ]
    )


class PassageTable:
    """A table of passages at one version: the newest, or the one asked for.

    Args:
        place: a folder, or the address of one in an object store that LanceDB knows.
        columns: makes the table if it is not there.
        version: reads this one; such a table cannot be changed.
    """

    def __init__(self, place: Path | str, columns: pa.Schema | None = None, version: int | None = None) -> None:
        # It warns of what is no fault, such as parts that a change leaves empty, a line for each.
        os.environ.setdefault("LANCEDB_LOG", "error")
        # A small index is searched without it, and it takes seconds to import.
        import lancedb

        with _readable(place):
            database = lancedb.connect(str(place))
            if columns is None:
                self._table = database.open_table(_NAME)
            else:
                self._table = database.create_table(_NAME, schema=columns, exist_ok=True)
            if version is not None:
                self._table.checkout(version)
        self._place = place

    @property
    def version(self) -> int:
        """Goes up with each change."""
        return int(self._table.version)

    @property
    def schema(self) -> pa.Schema:
        """Of the rows."""
        return self._table.schema

    def add(self, rows: pa.Table) -> None:
        """Add passages of documents that are not there yet, all or none."""
        with _writable(self._place):
            self._table.add(rows)

    def replace(self, rows: pa.Table) -> None:
        """Put all passages of these documents in the place of those that were there, all or none."""
        ids = ", ".join(map(literal, rows.column("document_id").unique().to_pylist()))
        with _writable(self._place):
            (
                self._table.merge_insert(["document_id", "passage"])
                .when_matched_update_all()
                .when_not_matched_insert_all()
                .when_not_matched_by_source_delete(f"document_id IN ({ids})")
                .execute(rows)
            )

    def delete(self, ids: Sequence[str]) -> None:
        """Take documents out."""
        with _writable(self._place):
            self._table.delete(f"document_id IN ({', '.join(map(literal, ids))})")

    def digests(self) -> dict[str, str]:
        """The digest of each document by its id."""
        found: dict[str, str] = {}
        for batch in self._scan(["document_id", "digest"], "passage = 0"):
            found.update(zip(batch["document_id"].to_pylist(), batch["digest"].to_pylist(), strict=True))
        return found

    def values(self, column: str, most: int) -> list[str]:
        """The values of a column of texts, the commonest first; none if there are more than that."""
        return commonest((batch[column] for batch in self._scan([column], "passage = 0")), most)

    def counts(self) -> tuple[int, int]:
        """Documents and passages."""
        return int(self._table.count_rows("passage = 0")), int(self._table.count_rows())

    def read(self, columns: Sequence[str]) -> pa.Table:
        """All rows of some columns, in memory, in the order of documents' ids and of passages within one."""
        with _readable(self._place):
            names = [*dict.fromkeys(["document_id", "passage", *columns])]
            batches = list(self._scan(names, None))
            table = pa.Table.from_batches(batches) if batches else self.schema.empty_table().select(names)
        return table.sort_by([("document_id", "ascending"), ("passage", "ascending")]).combine_chunks()

    def vectors(self, where: str | None = None) -> Iterator[tuple[list[str], npt.NDArray[np.float32]]]:
        """Ids and embeddings of all passages that fulfil a condition, block by block."""
        for batch in self._scan(["document_id", "vector"], where):
            yield batch["document_id"].to_pylist(), matrix(batch["vector"])

    def tidy(self, lexical: str | None, approximate: bool) -> None:
        """Put small parts together, and make what searches go by; what is up to date is left."""
        from lancedb.index import FTS, BTree

        with _writable(self._place):
            there = {index.name: index.num_segments for index in self._table.list_indices()}
            if approximate and (there.get("vector_idx") or _FILES) >= _FILES:
                dimension = int(self._table.schema.field("vector").type.list_size)
                self._table.create_index("vector", config=inverted_file(dimension))
            if approximate and "vector_idx" not in there:
                for name in ("document_id", *(set(self.schema.names) - set(OWN))):
                    self._table.create_index(name, config=BTree())
            if lexical is not None and "text_idx" not in there:
                kinds: dict[str, dict[str, Any]] = {
                    "words": {"base_tokenizer": "simple"},
                    "ngrams": {"base_tokenizer": "ngram", "ngram_min_length": 3, "ngram_max_length": 5},
                }
                # Without stems and stop words, which are of one language.
                plain = {"stem": False, "remove_stop_words": False, "ascii_folding": False}
                self._table.create_index("text", config=FTS(**plain, **kinds[lexical]))
            self._table.optimize(cleanup_older_than=_KEPT)

    def nearest(self, query: npt.NDArray[np.float32], k: int, where: str | None, columns: Sequence[str]) -> pa.Table:
        """About the `k` passages of the largest inner product, best first, with `_score`; by the inverted file, or
        exactly among the few that fulfil a condition.
        """
        found = nearest_in(self._table, query, where)
        table = found.limit(k).select([*columns, "_distance"]).to_arrow()
        scores = pa.array(1 - numbers(table["_distance"]))
        return table.append_column("_score", scores).drop_columns(["_distance"])

    def lexical(self, query: str, k: int, where: str | None) -> list[tuple[str, float]]:
        """Ids and BM25 scores of the best `k` documents by words or pieces of words, best first."""
        found = self._table.search(query, query_type="fts").limit(k)
        if where:
            found = found.where(where, prefilter=True)
        table = found.select(["document_id", "_score"]).to_arrow()
        return list(zip(table["document_id"].to_pylist(), table["_score"].to_pylist(), strict=True))

    def documents(self, ids: Sequence[str], columns: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Columns of the first passage of some documents, by id."""
        if not ids:
            return {}
        # The first is the one with a text: columns of small numbers take as long to read as all the rest.
        where = f"document_id IN ({', '.join(map(literal, ids))})"
        batches = self._scan([*columns, "document_id", "text"], where)
        return {row["document_id"]: row for batch in batches for row in batch.to_pylist() if row["text"] is not None}

    def passages(self, ids: Sequence[str]) -> pa.Table:
        """All passages of some documents with their embeddings, in order."""
        where = f"document_id IN ({', '.join(map(literal, ids))})"
        columns = ["document_id", "passage", "begin", "end", "vector"]
        table = pa.Table.from_batches([*self._scan(columns, where)], self.schema.empty_table().select(columns).schema)
        return table.sort_by([("document_id", "ascending"), ("passage", "ascending")]).combine_chunks()

    def sentences(self, ids: Sequence[str]) -> dict[tuple[str, int], bytes | None]:
        """Vectors of sentences by document and the place where the passage begins."""
        where = f"document_id IN ({', '.join(map(literal, ids))})"
        rows = [row for batch in self._scan(["document_id", "begin", "sentences"], where) for row in batch.to_pylist()]
        return {(row["document_id"], row["begin"]): row["sentences"] for row in rows}

    def _scan(self, columns: Sequence[str], where: str | None) -> Iterator[pa.RecordBatch]:
        # Without a number of its own, a scan ends after ten rows.
        scan = self._table.search().select([*dict.fromkeys(columns)]).limit(max(1, self._table.count_rows()))
        yield from (scan.where(where) if where else scan).to_batches()


def nearest_in(table: Any, query: npt.NDArray[np.float32], where: str | None, effort: float = 1) -> Any:
    """How a table of LanceDB is asked for what is nearest; `effort` is in so many times the usual parts."""
    parts = max(1, round(PROBES * effort * (2 if where else 1)))
    found = table.search(query, vector_column_name="vector").distance_type("dot").nprobes(parts).refine_factor(REFINED)
    if where:
        found = found.where(where, prefilter=True)
        if table.count_rows(where) <= FEW:
            found = found.bypass_vector_index()
    return found


def inverted_file(dimension: int) -> Any:
    """What a large index is searched by: an inverted file over vectors in one bit a number (RaBitQ, Gao
    and Long 2024, arXiv 2405.12497), which takes dimensions that 8 divides; of others in 8 bits.
    """
    from lancedb.index import IvfRq, IvfSq

    kind = IvfSq if dimension % 8 else IvfRq
    # The size and not the number of parts: what changes the table later joins those that it takes for too small.
    return kind(distance_type="dot", target_partition_size=PART, sample_rate=SAMPLED)


def commonest(parts: Iterable[pa.Array | pa.ChunkedArray], most: int) -> list[str]:
    """The texts in a column, the commonest first; none if there are more than `most`."""
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(value for value in part.to_pylist() if value)
        if len(counts) > most:
            return []
    return [value for value, _ in counts.most_common()]


def matrix(vectors: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.float32]:
    """A column of vectors as an array, without a copy where it is one piece."""
    flat = vectors.combine_chunks() if isinstance(vectors, pa.ChunkedArray) else vectors
    values: npt.NDArray[np.float32] = numbers(flat.flatten())
    return values.reshape(len(flat), -1)


def numbers(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
    """A column of numbers, of which none is missing, likewise. Arrow's own way to an array imports pandas."""
    return np.from_dlpack(column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column)


@contextmanager
def _readable(place: Path | str) -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError, RuntimeError) as error:
        remedy = _STORE if "://" in str(place) else "Index the documents anew, into a new folder."
        raise UserError(f"a table of passages at {place}", said(error), remedy) from error


@contextmanager
def _writable(place: Path | str) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"to write {place}",
            said(error),
            "Nothing that was there is lost: "
            f"{_STORE if '://' in str(place) else 'Free some room or mend what it says, and run the same command again.'}",
        ) from error
