"""The vector engines that `benchmarks.engines` measures, each asked by the same calls."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from hr_retrieval.retrieval.passages import PassageIndex
from hr_retrieval.store.table import inverted_file, nearest_in

Vectors = npt.NDArray[np.float32]
DIMENSION, K = 384, 10
# One in ten is of each city.
CITIES = [f"city {number}" for number in range(10)]


class Engine(Protocol):
    """What is asked of each; a search with twice the effort looks at about twice as much."""

    def insert(self, begin: int, vectors: Vectors) -> None: ...
    def replace(self, begin: int, vectors: Vectors) -> None: ...
    def finish(self) -> None: ...
    def search(self, query: Vectors, city: str | None, effort: float = 1) -> list[int]: ...
    def delete(self, rows: Sequence[int]) -> None: ...
    def count(self) -> int: ...


class Lance:
    """LanceDB: Lance files, an inverted file over 8-bit vectors, whose best are compared by the whole ones."""

    def __init__(self, folder: Path, size: int) -> None:
        import lancedb
        import pyarrow as pa

        schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32(), DIMENSION)), ("city", pa.string())])
        database = lancedb.connect(folder)
        self._table = database.create_table("x", schema=schema, exist_ok=True)
        self._size = size

    def _rows(self, begin: int, vectors: Vectors) -> Any:
        import pyarrow as pa

        places = range(begin, begin + len(vectors))
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIMENSION)
        return pa.table(
            {"id": list(places), "vector": column, "city": [CITIES[row % 10] for row in places]},
            schema=self._table.schema,
        )

    def insert(self, begin: int, vectors: Vectors) -> None:
        self._table.add(self._rows(begin, vectors))

    def replace(self, begin: int, vectors: Vectors) -> None:
        change = self._table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
        change.execute(self._rows(begin, vectors))

    def finish(self) -> None:
        self._table.optimize()
        from lancedb.index import BTree

        self._table.create_index("vector", config=inverted_file(DIMENSION))
        self._table.create_index("id", config=BTree())
        self._table.create_index("city", config=BTree())

    def search(self, query: Vectors, city: str | None, effort: float = 1) -> list[int]:
        found = nearest_in(self._table, query, f"city = '{city}'" if city else None, effort)
        column: list[int] = found.select(["id", "_distance"]).limit(K).to_arrow().column("id").to_pylist()
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
            schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIMENSION)
            schema.add_field("city", DataType.VARCHAR, max_length=64)
            index = MilvusClient.prepare_index_params()
            index.add_index("vector", index_type="HNSW", metric_type="IP", params={"M": 20, "efConstruction": 150})
            self._client.create_collection("x", schema=schema, index_params=index)
        self._client.load_collection("x")

    def _rows(self, begin: int, vectors: Vectors) -> list[dict[str, Any]]:
        return [
            {"id": begin + place, "vector": vector, "city": CITIES[(begin + place) % 10]}
            for place, vector in enumerate(vectors)
        ]

    def insert(self, begin: int, vectors: Vectors) -> None:
        self._client.insert("x", self._rows(begin, vectors))

    def replace(self, begin: int, vectors: Vectors) -> None:
        self._client.upsert("x", self._rows(begin, vectors))

    def finish(self) -> None:
        self._client.flush("x")
        self._client.load_collection("x")

    def search(self, query: Vectors, city: str | None, effort: float = 1) -> list[int]:
        where, looked = f"city == '{city}'" if city else "", max(K, round(100 * effort))
        found = self._client.search("x", [query], limit=K, filter=where, search_params={"params": {"ef": looked}})
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
            vectors=edge.EdgeVectorParams(DIMENSION, edge.Distance.Dot),
            hnsw_config=edge.HnswIndexConfig(m=20, ef_construct=150, full_scan_threshold=1000),
        )
        place = folder / "x"
        self._shard = edge.EdgeShard.load(str(place)) if place.exists() else edge.EdgeShard.create(str(place), config)

    def insert(self, begin: int, vectors: Vectors) -> None:
        points = [
            self._edge.Point(begin + place, vector.tolist(), {"city": CITIES[(begin + place) % 10]})
            for place, vector in enumerate(vectors)
        ]
        self._shard.update(self._edge.UpdateOperation.upsert_points(points))

    replace = insert

    def finish(self) -> None:
        kind = self._edge.PayloadSchemaType.Keyword
        self._shard.update(self._edge.UpdateOperation.create_field_index("city", kind))
        self._shard.optimize()
        self._shard.flush()

    def search(self, query: Vectors, city: str | None, effort: float = 1) -> list[int]:
        match = self._edge.MatchValue(city) if city else None
        own = self._edge.Filter(must=[self._edge.FieldCondition("city", match=match)]) if city else None
        asked = self._edge.Query.Nearest(query.tolist())
        looked = self._edge.SearchParams(hnsw_ef=max(K, round(100 * effort)))
        found = self._shard.search(self._edge.SearchRequest(asked, K, filter=own, params=looked))
        return [hit.id for hit in found if isinstance(hit.id, int)]

    def delete(self, rows: Sequence[int]) -> None:
        self._shard.update(self._edge.UpdateOperation.delete_points(list(rows)))

    def count(self) -> int:
        return int(self._shard.count(self._edge.CountRequest(exact=True)))


class Exact:
    """Ours for small corpora: every vector is compared. They lie in one file, deleted ones in another."""

    def __init__(self, folder: Path, size: int) -> None:
        self._file, self._gone = folder / "vectors.f32", folder / "deleted.i64"
        self._file.touch()
        self._gone.touch()
        self._index: Any = None

    def insert(self, begin: int, vectors: Vectors) -> None:
        with self._file.open("ab") as file:
            file.write(vectors.tobytes())

    def replace(self, begin: int, vectors: Vectors) -> None:
        with self._file.open("r+b") as file:
            file.seek(begin * DIMENSION * 4)
            file.write(vectors.tobytes())
        self._index = None

    def finish(self) -> None:
        self._index = None

    def search(self, query: Vectors, city: str | None, effort: float = 1) -> list[int]:
        if self._index is None:
            self._open()
        allowed = self._there if city is None else self._there & (self._cities == CITIES.index(city))
        found = self._index.search(torch.from_numpy(query[None]), K, allowed=None if allowed.all() else allowed)
        rows: list[int] = found.documents[0].tolist()
        return rows

    def delete(self, rows: Sequence[int]) -> None:
        with self._gone.open("ab") as file:
            file.write(np.array(rows, np.int64).tobytes())
        self._index = None

    def count(self) -> int:
        return self._file.stat().st_size // (DIMENSION * 4) - self._gone.stat().st_size // 8

    def _open(self) -> None:
        vectors = torch.from_numpy(np.fromfile(self._file, np.float32)).view(-1, DIMENSION)
        self._index = PassageIndex(vectors, torch.arange(len(vectors) + 1))
        self._there = torch.ones(len(vectors), dtype=torch.bool)
        self._there[torch.from_numpy(np.fromfile(self._gone, np.int64))] = False
        self._cities = torch.arange(len(vectors)) % len(CITIES)


ENGINES: dict[str, Any] = {"exact": Exact, "lance": Lance, "milvus": Milvus, "qdrant": Qdrant}
