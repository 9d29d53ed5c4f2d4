"""An opened prepared data set: what stands in its tables, and what follows from them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hr_retrieval.data.arrays import Hashes, Rows
from hr_retrieval.data.command import data_command
from hr_retrieval.data.judged import JudgedArrays
from hr_retrieval.data.rows import open_rows
from hr_retrieval.data.tables import SCHEMA_VERSION, Split, Table, check_tables, column_batches, parquet_file, take_rows
from hr_retrieval.errors import UserError
from hr_retrieval.files import read_json
from hr_retrieval.text import script


@dataclass(frozen=True, eq=False)
class PreparedDataset(JudgedArrays):
    """An opened prepared data set of `N` documents and `Q` queries; arrays are memory-mapped, texts stay on disk.

    Attributes:
        folder: where it lies.
        info: `dataset.json`; empty for a folder made by hand without one.
        fingerprint: changes with the content of any of the three tables.
        document_lots: the place of each document in an order drawn by lot, which decides what
            scores alone do not: by a hash of its normalised text, of equal texts by one of the id.
            It depends neither on the order of rows nor on relevance.
        query_lots: likewise of each query.
        document_hashes: of the normalised text of each document; equal in any data set for one text.
        query_hashes: likewise of each query.
        group_hashes: likewise of the stated group with each code, as it is spelt.
    """

    folder: Path
    info: dict[str, Any]
    fingerprint: str
    document_lots: npt.NDArray[np.int32]
    query_lots: npt.NDArray[np.int32]
    document_hashes: Hashes
    query_hashes: Hashes
    group_hashes: Hashes

    @classmethod
    def open(cls, folder: Path) -> "PreparedDataset":
        """Open a folder that `prepare` or a hand made; `rows/` is written first if it is missing or
        older than the tables.

        Raises:
            UserError: a table or a column is missing or of the wrong type, an id is doubled or
                unknown, or `dataset.json` has another schema version.
        """
        folder = Path(folder)
        check_tables(folder)
        info = read_json(folder / "dataset.json") if (folder / "dataset.json").exists() else {}
        version = info.get("schema_version", SCHEMA_VERSION)
        if version != SCHEMA_VERSION:
            raise UserError(
                f"schema version {SCHEMA_VERSION} in {folder / 'dataset.json'}",
                repr(version),
                f"Prepare it anew: {data_command('prepare', folder, info, None, 'replace=true')}"
                if "options" in info
                else "Bring its tables to the form of data/README.md.",
            )
        fingerprint, arrays = open_rows(folder)
        return cls(folder=folder, info=info, fingerprint=fingerprint, **arrays)

    def empty_split(self, split: Split) -> UserError:
        """The error for a split that is needed and has no queries."""
        expected, got = f"queries in the {split} split", f"none in {self.folder}"
        if "options" not in self.info:
            return UserError(expected, got, f"Give some rows of queries.parquet the split {split}.")
        options = self.info["options"]
        changes: dict[str, Any] = {}
        rejected = Counter(self.info["counts"]["rejected"])
        if rejected:
            got += f"; {rejections(rejected)}"
        if options["columns"]["split"] is not None:
            got += f"; the source states no query for {split}"
            remedy, changes = "To draw a split instead", {"columns.split": None}
        elif split == "train":
            remedy, changes = "Lower the shares", {"validation_share": 0.1, "test_share": 0.1}
        else:
            remedy, changes = f"Give {split} a share", {f"{split}_share": 0.1}
        command = data_command("prepare", self.folder, self.info, changes, "replace=true")
        return UserError(expected, got, f"{remedy}: {command}")

    @property
    def query_count(self) -> int:
        """`Q`."""
        return len(self.query_group)

    @property
    def document_count(self) -> int:
        """`N`."""
        return len(self.document_duplicate)

    def texts(self, table: Table) -> Iterator[list[str]]:
        """All texts of a table in the order of its rows, block by block."""
        for batch in column_batches(self.folder / f"{table}.parquet", ["text"]):
            yield batch.column(0).to_pylist()

    def texts_at(self, table: Table, rows: Rows) -> list[str]:
        """The texts of the given rows, in their order; for a few rows, as whole parts of the file are read."""
        with parquet_file(self.folder / f"{table}.parquet") as file:
            texts: list[str] = take_rows(file, np.asarray(rows, np.int64), ["text"]).column("text").to_pylist()
        return texts

    def languages_at(self, table: Table, rows: Rows) -> list[str]:
        """The language of each of these texts; its script where none is stated or was found."""
        with parquet_file(self.folder / f"{table}.parquet") as file:
            columns = [name for name in ("text", "language") if name in file.schema_arrow.names]
            return list(map(language_of, take_rows(file, np.asarray(rows, np.int64), columns).to_pylist()))

    def ids_at(self, table: Table, rows: Rows) -> list[str]:
        """The ids of the given rows, in their order; meant for a few rows."""
        column = "query_id" if table == "queries" else "document_id"
        with parquet_file(self.folder / f"{table}.parquet") as file:
            ids: list[str] = take_rows(file, np.asarray(rows, np.int64), [column]).column(column).to_pylist()
        return ids


def language_of(row: Mapping[str, Any]) -> str:
    """The language of a row of queries or corpus; the script of its text where none is stated or was found."""
    return row.get("language") or script(row["text"])


def spaced(size: int, count: int) -> Rows:
    """At most `count` of so many rows, evenly spaced."""
    taken = max(min(count, size), 0)
    return np.arange(taken) * size // max(taken, 1)


def rejections(counts: Counter[str]) -> str:
    """How many rows were rejected, and the commonest reasons."""
    reasons = ", ".join(f"{reason} ({count:,})" for reason, count in counts.most_common(3))
    return f"{counts.total():,} rows were rejected: {reasons}{', ...' if len(counts) > 3 else ''}"
