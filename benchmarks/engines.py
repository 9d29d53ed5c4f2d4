"""What a vector engine costs and finds: LanceDB, Milvus Lite, Qdrant Edge and exact search on the same vectors.

    pip install lancedb 'pymilvus[milvus-lite]' qdrant-edge-py
    python -m benchmarks.engines 10000 100000                 all four
    python -m benchmarks.engines 1000000 lance                one engine at one size
    python -m benchmarks.engines 1000000 lance build          one step of it: build, search or crash

Each step of each engine is a process of its own, which is ended after `--limit` seconds of processor
time (900), all threads together. A row of `--output` (benchmarks/results/engines.json) has what the
steps of an engine at a size have found so far, and what they did not end. What is built stays in
`--folder` until it was searched.

Vectors of 384 dimensions lie around many centres, as those of texts do; what is found is compared
with a scan over all of them. A crash is SIGKILL between two acknowledged batches; lost is what had
been acknowledged and is not there when the index is opened again. Memory is what a process grows by
that opens the index and searches it. LanceDB has the settings of an index of ours.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.vector_engines import CITIES, DIMENSION, ENGINES, Engine, K, Vectors
from hr_retrieval.files import read_json, write_json

_BATCH, _QUERIES, _CRASHES = 1000, 200, 5
# What a search looks at, beside the usual.
_EFFORTS = (0.25, 0.5, 2, 4)


STEPS = ("build", "search", "crash")


def made(size: int, seed: int = 0) -> Vectors:
    """Unit vectors around many centres in 64 directions, with a little of all others."""
    generator = np.random.default_rng(0)
    basis = generator.standard_normal((64, DIMENSION)).astype(np.float32)
    centres = generator.standard_normal((2000, 64)).astype(np.float32)
    own = np.random.default_rng(seed + 1)
    parts = []
    for begin in range(0, size, 100_000):
        count = min(100_000, size - begin)
        near = centres[own.integers(0, len(centres), count)] + 0.7 * own.standard_normal((count, 64), np.float32)
        vectors = near @ basis + 0.5 * own.standard_normal((count, DIMENSION), np.float32)
        parts.append(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return np.concatenate(parts).astype(np.float32, copy=False)


def _scanned(queries: Vectors, size: int, city: str | None) -> list[set[int]]:
    """The exactly best of each query; what compares them is gone before any memory is measured."""
    rows = np.arange(size) if city is None else np.arange(CITIES.index(city), size, len(CITIES))
    scores = queries @ made(size)[rows].T
    return [set(rows[np.argpartition(-line, K)[:K]].tolist()) for line in scores]


def build(name: str, size: int, folder: Path) -> dict[str, Any]:
    """Insert all vectors, and make what searches go by."""
    vectors, engine = made(size), _engine(name, folder, size)
    start, busy = time.perf_counter(), time.process_time()
    for begin in range(0, size, _BATCH):
        engine.insert(begin, vectors[begin : begin + _BATCH])
    inserted = time.perf_counter()
    engine.finish()
    return {
        "insert_s": inserted - start,
        "index_s": time.perf_counter() - inserted,
        # Of all threads, whatever else the machine does meanwhile.
        "build_cpu_s": time.process_time() - busy,
        "disk_mb": sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6,
        "build_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }


def search(name: str, size: int, folder: Path) -> dict[str, Any]:
    """Search what was built, then change it."""
    queries = made(_QUERIES, 7)
    best = {city: _scanned(queries, size, city) for city in (None, CITIES[3])}
    base = _resident()
    figures: dict[str, Any] = {}
    engine = _engine(name, folder, size)
    for what, city in (("", None), ("filtered_", CITIES[3])):
        # The first ones open files.
        for query in queries[:10]:
            engine.search(query, city)
        figures |= {f"{what}{key}": value for key, value in _timed(engine, queries, city, best[city], 1).items()}
    figures["memory_mb"] = (_resident() - base) / 1e6
    figures["efforts"] = [
        {"effort": effort, **_timed(engine, queries, None, best[None], effort)} for effort in _EFFORTS
    ]
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
    return figures


def _timed(engine: Engine, queries: Vectors, city: str | None, best: list[set[int]], effort: float) -> dict[str, float]:
    times, hits, busy = [], 0, time.process_time()
    for query, right in zip(queries, best, strict=True):
        start = time.perf_counter()
        found = engine.search(query, city, effort)
        times.append(time.perf_counter() - start)
        hits += len(set(found) & right)
    p50, p95 = (float(value) * 1e3 for value in np.percentile(times, (50, 95)))
    own = (time.process_time() - busy) / len(queries) * 1e3
    return {"p50_ms": p50, "p95_ms": p95, "cpu_ms": own, "recall": hits / len(queries) / K}


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
    engine, vectors = _engine(name, folder, 50_000), made(50_000)
    for begin in range(0, 50_000, _BATCH):
        engine.insert(begin, vectors[begin : begin + _BATCH])
        print(begin + _BATCH, flush=True)


def _engine(name: str, folder: Path, size: int) -> Engine:
    engine: Engine = ENGINES[name](folder, size)
    return engine


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _step(step: str, name: str, size: int, folder: Path, limit: int) -> dict[str, Any]:
    """What a step found, from a process of its own; what it said where it failed or did not end."""
    command = [sys.executable, "-m", "benchmarks.engines", "run", step, name, str(size), str(folder), str(limit)]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode == -signal.SIGXCPU:
        return {f"{step}_failed": f"not ended within {limit} s of processor time"}
    if ran.returncode:
        return {f"{step}_failed": ran.stderr[-600:]}
    figures: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return figures


def main(arguments: Sequence[str]) -> None:
    """Run the named steps (all) of the named engines (all) at the given sizes; keep and print each row."""
    parser = argparse.ArgumentParser(prog="benchmarks.engines")
    parser.add_argument("what", nargs="+", help=f"sizes, engines ({', '.join(ENGINES)}), steps ({', '.join(STEPS)})")
    parser.add_argument("--folder", type=Path, default=Path("outputs/engines"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/engines.json"))
    parser.add_argument("--limit", type=int, default=900)
    given = parser.parse_args(arguments)
    names = [name for name in given.what if name in ENGINES] or list(ENGINES)
    asked = [step for step in STEPS if step in given.what]
    for size in (int(word) for word in given.what if word.isdigit()):
        # What is lost in a crash depends on no size.
        steps = asked or (STEPS if size <= 10_000 else STEPS[:2])
        for name in names:
            for step in steps:
                folder = given.folder / f"{name}-{'crash' if step == 'crash' else size}"
                rows: list[dict[str, Any]] = read_json(given.output) if given.output.is_file() else []
                row: dict[str, Any] = next((own for own in rows if (own["engine"], own["size"]) == (name, size)), {})
                if step == "search" and "build_failed" in row:
                    continue
                if step != "search":
                    shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True, exist_ok=True)
                found = _step(step, name, size, folder, given.limit)
                if step != "build":
                    shutil.rmtree(folder)
                kept = {key: value for key, value in row.items() if key != f"{step}_failed"}
                others = [own for own in rows if own is not row]
                rows = [*others, {"engine": name, "size": size, **kept, **found}]
                write_json(given.output, sorted(rows, key=lambda own: (own["size"], own["engine"])))
                print(json.dumps({"engine": name, "size": size, **found}), flush=True)


def _inner(arguments: Sequence[str]) -> None:
    """What the processes that are started here do."""
    what, *rest = arguments
    if what == "run":
        step, name, size, folder = rest[0], rest[1], int(rest[2]), Path(rest[3])
        resource.setrlimit(resource.RLIMIT_CPU, (int(rest[4]), int(rest[4]) + 60))
        found = crash(name, folder) if step == "crash" else (build if step == "build" else search)(name, size, folder)
        print(json.dumps(found))
    elif what == "write":
        _write(rest[0], Path(rest[1]))
    else:
        print(_engine(rest[0], Path(rest[1]), 0).count())


if __name__ == "__main__":
    _inner(sys.argv[1:]) if sys.argv[1:2] in (["run"], ["write"], ["count"]) else main(sys.argv[1:])
