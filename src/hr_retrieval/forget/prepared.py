"""A prepared data set without the rows that tell a person."""

import shutil
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hr_retrieval.data.rows import write_rows
from hr_retrieval.data.tables import ROW_GROUP, file_hashes, fingerprint_of, parquet_file
from hr_retrieval.errors import UserError
from hr_retrieval.files import read_json, whole_folder, write_json
from hr_retrieval.forget.person import Person

_TABLES = {"queries": "query_id", "corpus": "document_id"}
_REST = ("rejected.parquet", "dataset.json")
_MARK = "[forgotten]"
# What a preparation keeps of its stages; and what was to become a folder, or to give way to one.
_STAGES, _WORK = "stage-*", ("*.partial", "*.old")


def prepared_in(folder: Path) -> list[Path]:
    """The folders at or below one that hold the three tables."""
    places = sorted(file.parent for file in folder.rglob("corpus.parquet"))
    return [place for place in places if all((place / f"{name}.parquet").is_file() for name in (*_TABLES, "qrels"))]


def left_in(folder: Path) -> dict[Path, bool]:
    """What commands that were stopped have left beside or below a folder, and whether all of it can be made anew."""
    found = {
        path: kind == _STAGES
        for kind in (_STAGES, *_WORK)
        for path in (*folder.parent.glob(f".{folder.name}.{kind}"), *folder.rglob(f".*.{kind}"))
        if path.is_dir()
    }
    return {path: found[path] for path in sorted(found)}


def found_in(folder: Path, person: Person) -> dict[str, set[str]]:
    """The ids of the queries and documents that tell the person, the places of such rejected rows, and
    the texts of `dataset.json` that do."""
    found = {
        table: {name for _, name, told in _rows(folder / f"{table}.parquet", person, column) if told}
        for table, column in _TABLES.items()
    }
    rejected, info = (folder / name for name in _REST)
    rows = _rows(rejected, person, "source") if rejected.is_file() else ()
    found["rejected"] = {str(place) for place, _, told in rows if told}
    found["dataset.json"] = set(person.told(read_json(info))) if info.is_file() else set()
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
    lost = {name: len(before[name]) - len(after[name]) for name in after} | {
        name: len(found[name]) for name in ("rejected", "dataset.json")
    }
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
            info = _without_texts(info, found["dataset.json"])
            forgotten = {name: info.get("forgotten", {}).get(name, 0) + count for name, count in lost.items()}
            write_json(
                partial / "dataset.json",
                info | {"files": hashes, "fingerprint": fingerprint_of(hashes), "forgotten": forgotten},
            )
        write_rows(partial)
    return lost


def _rows(file: Path, person: Person, column: str) -> Iterator[tuple[int, str, bool]]:
    """Place, a column and whether it tells the person, of each row."""
    with parquet_file(file) as table:
        place = 0
        for batch in table.iter_batches():
            for name, told in zip(batch[column].to_pylist(), person.rows(batch), strict=True):
                yield place, name, told
                place += 1


def _without_texts(value: Any, texts: Set[str]) -> Any:
    """The same with a mark in the place of these texts; as keys they stay apart by a number."""
    if isinstance(value, str):
        return _MARK if value in texts else value
    if isinstance(value, Mapping):
        names = {key: f"{_MARK} {number}" for number, key in enumerate(value, 1) if key in texts}
        return {names.get(key, key): _without_texts(inner, texts) for key, inner in value.items()}
    return [_without_texts(inner, texts) for inner in value] if isinstance(value, list) else value


def _without(table: pa.Table, column: str, names: set[str]) -> pa.Table:
    return table.filter(pc.invert(pc.is_in(table[column], pa.array(sorted(names), pa.string())))) if names else table
