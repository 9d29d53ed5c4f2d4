"""What an embedded vector engine costs and finds: LanceDB, Milvus Lite and Qdrant Edge on the same vectors.

    pip install lancedb 'pymilvus[milvus-lite]' qdrant-edge-py
    python -m benchmarks.engines 10000 100000        about five minutes
    python -m benchmarks.engines 1000000 lance       one engine at one size

Each engine runs in a process of its own. Vectors of 384 dimensions lie around many centres, as
those of texts do; what is found is compared with exact search. A crash is SIGKILL between two
acknowledged batches; lost is what had been acknowledged and is not there when the index is opened
again.
"""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
_DIMENSION, _K, _BATCH, _QUERIES, _CRASHES = 384, 10, 1000, 200, 5
# One in ten is of this city.
_CITIES = [f"city {number}" for number in range(10)]


class Engine(Protocol):
    """What is asked of each."""

    def insert(self, begin: int, vectors: Vectors) -> None: ...
    def replace(self, begin: int, vectors: Vectors) -> None: ...
    def finish(self) -> None: ...
    def search(self, query: Vectors, city: str | None) -> list[int]: ...
    def delete(self, rows: Sequence[int]) -> None: ...
    def count(self) -> int: ...


class Lance:
    """LanceDB: Lance files, an inverted file over 8-bit vectors, whose best are compared by the whole ones."""

    def __init__(self, folder: Path, size: int) -> None:
        import lancedb
        import pyarrow as pa

        schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32(), _DIMENSION)), ("city", pa.string())])
        database = lancedb.connect(folder)
        self._table = database.create_table("x", schema=schema, exist_ok=True)
        self._size = size

    def _rows(self, begin: int, vectors: Vectors) -> Any:
        import pyarrow as pa

        places = range(begin, begin + len(vectors))
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), _DIMENSION)
        return pa.table(
            {"id": list(places), "vector": column, "city": [_CITIES[row % 10] for row in places]},
            schema=self._table.schema,
        )

    def insert(self, begin: int, vectors: Vectors) -> None:
        self._table.add(self._rows(begin, vectors))

    def replace(self, begin: int, vectors: Vectors) -> None:
        change = self._table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
        change.execute(self._rows(begin, vectors))

    def finish(self) -> None:
        self._table.optimize()
        from lancedb.index import BTree, IvfSq

        # Parts of about a thousand vectors.
        self._table.create_index("vector", config=IvfSq(distance_type="dot", num_partitions=max(1, self._size // 1000)))
        self._table.create_index("id", config=BTree())
        self._table.create_index("city", config=BTree())

    def search(self, query: Vectors, city: str | None) -> list[int]:
        found = self._table.search(query).distance_type("dot").nprobes(40).refine_factor(3)
        if city:
            found = found.where(f"city = '{city}'", prefilter=True)
        column: list[int] = found.select(["id", "_distance"]).limit(_K).to_arrow().column("id").to_pylist()
        return column

    def delete(self, rows: Sequence[int]) -> None:
        self._table.delete(f"id in ({', '.join(map(str, rows))})")

    def count(self) -> int:
        return int(self._table.count_rows())


class Milvus:
    """Milvus Lite through pymilvus, which speaks to a cluster by the same calls: HNSW."""

    def __init__(self, folder: Path, size: int) -> None:
        from pymilvus import DataType, MilvusClient

        self._client = MilvusClient(str(folder / "x.db"))
        if not self._client.has_collection("x"):
            schema = MilvusClient.create_schema(auto_id=False)
            schema.add_field("id", DataType.INT64, is_primary=True)
            schema.add_field("vector", DataType.FLOAT_VECTOR, dim=_DIMENSION)
            schema.add_field("city", DataType.VARCHAR, max_length=64)
            index = MilvusClient.prepare_index_params()
            index.add_index("vector", index_type="HNSW", metric_type="IP", params={"M": 20, "efConstruction": 150})
            self._client.create_collection("x", schema=schema, index_params=index)
        self._client.load_collection("x")

    def _rows(self, begin: int, vectors: Vectors) -> list[dict[str, Any]]:
        return [
            {"id": begin + place, "vector": vector, "city": _CITIES[(begin + place) % 10]}
            for place, vector in enumerate(vectors)
        ]

    def insert(self, begin: int, vectors: Vectors) -> None:
        self._client.insert("x", self._rows(begin, vectors))

    def replace(self, begin: int, vectors: Vectors) -> None:
        self._client.upsert("x", self._rows(begin, vectors))

    def finish(self) -> None:
        self._client.flush("x")
        self._client.load_collection("x")

    def search(self, query: Vectors, city: str | None) -> list[int]:
        found = self._client.search(
            "x", [query], limit=_K, filter=f"city == '{city}'" if city else "", search_params={"params": {"ef": 100}}
        )
        return [hit["id"] for hit in found[0]]

    def delete(self, rows: Sequence[int]) -> None:
        self._client.delete("x", ids=list(rows))

    def count(self) -> int:
        return int(self._client.query("x", output_fields=["count(*)"])[0]["count(*)"])


class Qdrant:
    """Qdrant Edge, one shard in the process: HNSW."""

    def __init__(self, folder: Path, size: int) -> None:
        import qdrant_edge as edge

        self._edge = edge
        config = edge.EdgeConfig(
            vectors=edge.EdgeVectorParams(_DIMENSION, edge.Distance.Dot),
            hnsw_config=edge.HnswIndexConfig(m=20, ef_construct=150, full_scan_threshold=1000),
        )
        place = folder / "x"
        self._shard = edge.EdgeShard.load(str(place)) if place.exists() else edge.EdgeShard.create(str(place), config)

    def insert(self, begin: int, vectors: Vectors) -> None:
        points = [
            self._edge.Point(begin + place, vector.tolist(), {"city": _CITIES[(begin + place) % 10]})
            for place, vector in enumerate(vectors)
        ]
        self._shard.update(self._edge.UpdateOperation.upsert_points(points))

    replace = insert

    def finish(self) -> None:
        kind = self._edge.PayloadSchemaType.Keyword
        self._shard.update(self._edge.UpdateOperation.create_field_index("city", kind))
        self._shard.optimize()
        self._shard.flush()

    def search(self, query: Vectors, city: str | None) -> list[int]:
        match = self._edge.MatchValue(city) if city else None
        own = self._edge.Filter(must=[self._edge.FieldCondition("city", match=match)]) if city else None
        asked = self._edge.Query.Nearest(query.tolist())
        found = self._shard.search(
            self._edge.SearchRequest(asked, _K, filter=own, params=self._edge.SearchParams(hnsw_ef=100))
        )
        return [hit.id for hit in found if isinstance(hit.id, int)]

    def delete(self, rows: Sequence[int]) -> None:
        self._shard.update(self._edge.UpdateOperation.delete_points(list(rows)))

    def count(self) -> int:
        return int(self._shard.count(self._edge.CountRequest(exact=True)))


ENGINES: dict[str, type[Lance] | type[Milvus] | type[Qdrant]] = {"lance": Lance, "milvus": Milvus, "qdrant": Qdrant}


def made(size: int, seed: int = 0) -> Vectors:
    """Unit vectors around many centres in 64 directions, with a little of all others."""
    generator = np.random.default_rng(0)
    basis = generator.standard_normal((64, _DIMENSION)).astype(np.float32)
    centres = generator.standard_normal((2000, 64)).astype(np.float32)
    own = np.random.default_rng(seed + 1)
    parts = []
    for begin in range(0, size, 100_000):
        count = min(100_000, size - begin)
        near = centres[own.integers(0, len(centres), count)] + 0.7 * own.standard_normal((count, 64), np.float32)
        vectors = near @ basis + 0.5 * own.standard_normal((count, _DIMENSION), np.float32)
        parts.append(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return np.concatenate(parts).astype(np.float32)


def _best(queries: Vectors, vectors: Vectors, rows: npt.NDArray[np.int64]) -> list[set[int]]:
    scores = queries @ vectors[rows].T
    return [set(rows[np.argpartition(-line, _K)[:_K]].tolist()) for line in scores]


def measure(name: str, size: int, folder: Path) -> dict[str, Any]:
    """Everything but crashes, in this process."""
    vectors, queries = made(size), made(_QUERIES, 7)
    base = _resident()
    figures: dict[str, Any] = {"engine": name, "size": size}
    engine: Engine = ENGINES[name](folder, size)
    start, busy = time.perf_counter(), time.process_time()
    for begin in range(0, size, _BATCH):
        engine.insert(begin, vectors[begin : begin + _BATCH])
    figures["insert_s"] = time.perf_counter() - start
    start = time.perf_counter()
    engine.finish()
    figures["index_s"] = time.perf_counter() - start
    # Of all threads, whatever else the machine does meanwhile.
    figures["build_cpu_s"] = time.process_time() - busy
    figures["disk_mb"] = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
    for what, city in (("", None), ("filtered_", _CITIES[3])):
        rows = np.arange(size) if city is None else np.arange(3, size, 10)
        best = _best(queries, vectors, rows)
        # The first ones open files.
        for query in queries[:10]:
            engine.search(query, city)
        times, hits, busy = [], 0, time.process_time()
        for query, right in zip(queries, best, strict=True):
            start = time.perf_counter()
            found = engine.search(query, city)
            times.append(time.perf_counter() - start)
            hits += len(set(found) & right)
        figures[f"{what}p50_ms"], figures[f"{what}p95_ms"] = (float(x) * 1e3 for x in np.percentile(times, (50, 95)))
        figures[f"{what}cpu_ms"] = (time.process_time() - busy) / _QUERIES * 1e3
        figures[f"{what}recall"] = hits / _QUERIES / _K
    figures["memory_mb"] = (_resident() - base) / 1e6
    start = time.perf_counter()
    # Each of the replaced ones is put where a query is, and must be found there.
    engine.replace(0, queries[:100])
    figures["replace_100_ms"] = (time.perf_counter() - start) * 1e3
    found_again = sum(place in engine.search(query, None) for place, query in enumerate(queries[:100]))
    start = time.perf_counter()
    engine.delete(range(100))
    figures["delete_100_ms"] = (time.perf_counter() - start) * 1e3
    gone = all(row >= 100 for query in queries[:100] for row in engine.search(query, None))
    figures["fresh"] = f"{found_again}/100 found, deleted ones {'gone' if gone else 'found'}"
    figures["count_right"] = engine.count() == size - 100
    figures["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return figures


def crash(name: str, folder: Path) -> dict[str, Any]:
    """What is lost of acknowledged batches when the writer is killed."""
    lost, opened, random = 0, 0, np.random.default_rng(5)
    for number in range(_CRASHES):
        own = folder / str(number)
        own.mkdir(parents=True)
        writer = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.engines", "write", name, str(own)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert writer.stdout is not None
        until = int(random.integers(2, 20))
        acknowledged = 0
        for line in writer.stdout:
            acknowledged = int(line)
            if acknowledged >= until * _BATCH:
                time.sleep(float(random.uniform(0, 0.05)))
                break
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        acknowledged = max([acknowledged, *map(int, writer.stdout.read().split())])
        reader = subprocess.run(
            [sys.executable, "-m", "benchmarks.engines", "count", name, str(own)],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        if reader.returncode == 0:
            opened += 1
            lost += max(0, acknowledged - int(reader.stdout.split()[-1]))
    return {"crash_opened": f"{opened}/{_CRASHES}", "crash_lost": lost}


def _write(name: str, folder: Path) -> None:
    engine, vectors = ENGINES[name](folder, 50_000), made(50_000)
    for begin in range(0, 50_000, _BATCH):
        engine.insert(begin, vectors[begin : begin + _BATCH])
        print(begin + _BATCH, flush=True)


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main(arguments: Sequence[str]) -> None:
    """Measure the named engines, or all, at the given sizes; print one JSON object a line."""
    if arguments[0] == "measure":
        print(json.dumps(measure(arguments[1], int(arguments[2]), Path(arguments[3]))))
    elif arguments[0] == "write":
        _write(arguments[1], Path(arguments[2]))
    elif arguments[0] == "count":
        print(ENGINES[arguments[1]](Path(arguments[2]), 0).count())
    else:
        names = [name for name in arguments if name in ENGINES] or list(ENGINES)
        for size in (int(name) for name in arguments if name.isdigit()):
            for name in names:
                folder = Path(tempfile.mkdtemp())
                try:
                    command = [sys.executable, "-m", "benchmarks.engines", "measure", name, str(size), str(folder)]
                    ran = subprocess.run(command, capture_output=True, text=True)
                    figures = (
                        json.loads(ran.stdout.splitlines()[-1])
                        if ran.returncode == 0
                        else {"engine": name, "size": size, "failed": ran.stderr[-600:]}
                    )
                    if size <= 10_000:
                        figures |= crash(name, folder / "crashes")
                    print(json.dumps(figures), flush=True)
                finally:
                    shutil.rmtree(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
