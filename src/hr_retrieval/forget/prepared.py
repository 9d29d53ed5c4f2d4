"""A prepared data set without the rows that tell a person."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hr_retrieval.data.rows import write_rows
from hr_retrieval.data.tables import ROW_GROUP, file_hashes, fingerprint_of
from hr_retrieval.errors import UserError
from hr_retrieval.files import read_json, whole_folder, write_json
from hr_retrieval.forget.person import Person

_TABLES = {"queries": "query_id", "corpus": "document_id"}
_REST = ("rejected.parquet", "dataset.json")


def is_prepared(folder: Path) -> bool:
    """Whether the folder holds the three tables."""
    return all((folder / f"{name}.parquet").is_file() for name in ("corpus", "queries", "qrels"))


def found_in(folder: Path, person: Person) -> dict[str, set[str]]:
    """The ids of the queries and documents that tell the person, and the places of such rejected rows."""
    found = {
        table: {
            own
            for own, text in _pairs(folder / f"{table}.parquet", column, "text")
            if person.is_in(text) or person.is_in(own)
        }
        for table, column in _TABLES.items()
    }
    rejected = folder / "rejected.parquet"
    rows = enumerate(_pairs(rejected, "content", "source")) if rejected.is_file() else ()
    found["rejected"] = {str(place) for place, texts in rows if any(map(person.is_in, texts))}
    return found


def forget_in(folder: Path, found: dict[str, set[str]]) -> dict[str, int]:
    """Write the data set anew without these rows, whole or not at all; token caches and arrays go with it.

    Returns:
        How many rows each table lost; a query that has no right answer left goes too.

    Raises:
        UserError: nothing would be left.
    """
    before = {name: pq.read_table(folder / f"{name}.parquet") for name in (*_TABLES, "qrels")}
    qrels = _without(_without(before["qrels"], "document_id", found["corpus"]), "query_id", found["queries"])
    answered = set(qrels.filter(pc.greater(qrels["relevance"], 0))["query_id"].to_pylist())
    unanswered = set(before["queries"]["query_id"].to_pylist()) - answered
    after = {
        "corpus": _without(before["corpus"], "document_id", found["corpus"]),
        "queries": _without(before["queries"], "query_id", found["queries"] | unanswered),
        "qrels": _without(qrels, "query_id", unanswered),
    }
    if not len(after["queries"]):
        raise UserError(f"queries that stay in {folder}", "none", "Remove the folder instead.")
    lost = {name: len(before[name]) - len(after[name]) for name in after} | {"rejected": len(found["rejected"])}
    with whole_folder(folder, replace=True) as partial:
        for name, table in after.items():
            pq.write_table(table, partial / f"{name}.parquet", compression="zstd", row_group_size=ROW_GROUP)
        for name in _REST:
            if (folder / name).is_file():
                shutil.copy(folder / name, partial / name)
        if found["rejected"]:
            rejected = pq.read_table(folder / "rejected.parquet")
            kept = [place for place in range(len(rejected)) if str(place) not in found["rejected"]]
            pq.write_table(rejected.take(pa.array(kept, pa.int64())), partial / "rejected.parquet", compression="zstd")
        if (partial / "dataset.json").is_file():
            info: dict[str, Any] = read_json(partial / "dataset.json")
            hashes = file_hashes(partial)
            forgotten = {name: info.get("forgotten", {}).get(name, 0) + count for name, count in lost.items()}
            write_json(
                partial / "dataset.json",
                info | {"files": hashes, "fingerprint": fingerprint_of(hashes), "forgotten": forgotten},
            )
        write_rows(partial)
    return lost


def _pairs(file: Path, first: str, second: str) -> Iterable[tuple[str, str]]:
    with pq.ParquetFile(file) as table:
        for batch in table.iter_batches(columns=[first, second]):
            yield from zip(batch[first].to_pylist(), batch[second].to_pylist(), strict=True)


def _without(table: pa.Table, column: str, names: set[str]) -> pa.Table:
    return table.filter(pc.invert(pc.is_in(table[column], pa.array(sorted(names), pa.string())))) if names else table
