"""Distinct texts, distinct pairs and components: by ours, and as relational operations of an engine.

    python -m benchmarks.relations --rows 1000000 --engine duckdb

Made keys of as many rows: a third as many queries and as many documents, of which each row takes one.
Prints seconds of processor time, the peak of memory above what the process began with, and the
counts, which all engines share. Needs duckdb or polars (`pip install duckdb polars`).
"""

import argparse
import resource
from collections.abc import Callable
from time import process_time

import numpy as np
import pyarrow as pa

from hr_retrieval.data.arrays import Hashes
from hr_retrieval.data.keys import Distinct, distinct_numbers, mix
from hr_retrieval.prepare.split import alone, join

Counts = tuple[int, int, int, int]


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--engine", choices=_ENGINES, default="ours")
    arguments = parser.parse_args()
    draw = np.random.default_rng(1)
    queries, documents = (
        _keys(draw.integers(0, most, arguments.rows)) for most in (arguments.rows // 3, arguments.rows)
    )
    # What an engine takes to import is no matter of rows.
    _ENGINES[arguments.engine](queries[:99], documents[:99])
    before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, process_time()
    counts = _ENGINES[arguments.engine](queries, documents)
    seconds, peak = process_time() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    said = "{:,} queries, {:,} documents, {:,} pairs, {:,} components".format(*counts)
    print(f"{arguments.engine:<7}{arguments.rows:>10,} rows {seconds:6.1f} s {peak >> 10:>6,} MB: {said}")


def _keys(numbers: Hashes) -> Hashes:
    return np.stack([mix(numbers.astype(np.uint64), salt) for salt in (1, 2)], axis=1)


def _ours(queries: Hashes, documents: Hashes) -> Counts:
    query, document = Distinct.of(queries), Distinct.of(documents)
    pairs = distinct_numbers(query.codes.astype(np.int64) * len(document) + document.codes)
    owners, members = np.divmod(pairs, len(document))
    roots = join(alone(len(document) + len(query)), members.astype(np.int32), (owners + len(document)).astype(np.int32))
    return len(query), len(document), len(pairs), len(np.unique(roots))


def _duckdb(queries: Hashes, documents: Hashes) -> Counts:
    import duckdb

    rows = pa.table({"q": queries[:, 0], "q2": queries[:, 1], "d": documents[:, 0], "d2": documents[:, 1]})
    base = duckdb.connect(config={"threads": 1})
    base.register("rows", rows)
    base.execute(
        "CREATE TABLE queries AS SELECT q, q2, row_number() OVER () - 1 AS query FROM (SELECT DISTINCT q, q2 FROM rows);"
        "CREATE TABLE documents AS SELECT d, d2, row_number() OVER () - 1 + (SELECT count(*) FROM queries) AS document"
        " FROM (SELECT DISTINCT d, d2 FROM rows);"
        "CREATE TABLE pairs AS SELECT DISTINCT query, document FROM rows JOIN queries USING (q, q2)"
        " JOIN documents USING (d, d2);"
        "CREATE TABLE edges AS SELECT query AS a, document AS b FROM pairs UNION ALL SELECT document, query FROM pairs;"
        "CREATE TABLE roots AS SELECT DISTINCT a AS node, a AS root FROM edges;"
    )
    while True:
        base.execute(
            # The smallest root among a node and its neighbours, and then the root of that one.
            "CREATE OR REPLACE TABLE nearer AS SELECT x.node, least(min(x.root), min(y.root)) AS root"
            " FROM roots x JOIN edges ON a = x.node JOIN roots y ON y.node = b GROUP BY x.node;"
            "CREATE OR REPLACE TABLE jumped AS SELECT x.node, y.root FROM nearer x JOIN nearer y ON y.node = x.root;"
        )
        (changed,) = base.execute(
            "SELECT count(*) FROM roots JOIN jumped USING (node) WHERE roots.root <> jumped.root"
        ).fetchone() or (0,)
        base.execute("CREATE OR REPLACE TABLE roots AS FROM jumped")
        if not changed:
            break
    found = base.execute(
        "SELECT (SELECT count(*) FROM queries), (SELECT count(*) FROM documents), (SELECT count(*) FROM pairs),"
        " (SELECT count(DISTINCT root) FROM roots)"
    ).fetchone()
    assert found is not None
    return found[0], found[1], found[2], found[3]


def _polars(queries: Hashes, documents: Hashes) -> Counts:
    import polars as pl

    rows = pl.DataFrame({"q": queries[:, 0], "q2": queries[:, 1], "d": documents[:, 0], "d2": documents[:, 1]})
    query = rows.select("q", "q2").unique().with_row_index("query")
    document = rows.select("d", "d2").unique().with_row_index("document", offset=len(query))
    pairs = rows.join(query, on=["q", "q2"]).join(document, on=["d", "d2"]).select("query", "document").unique()
    edges = pl.concat([pairs.select(a="query", b="document"), pairs.select(a="document", b="query")])
    roots = edges.select(node="a").unique().with_columns(root="node")
    while True:
        near = edges.join(roots, left_on="b", right_on="node").group_by("a").agg(pl.col("root").min())
        nearer = roots.join(near, left_on="node", right_on="a").select(
            "node", root=pl.min_horizontal("root", "root_right")
        )
        jumped = nearer.join(nearer, left_on="root", right_on="node").select("node", root="root_right")
        if roots.join(jumped, on=["node", "root"]).height == roots.height:
            break
        roots = jumped
    return len(query), len(document), len(pairs), roots["root"].n_unique()


_ENGINES: dict[str, Callable[[Hashes, Hashes], Counts]] = {"ours": _ours, "duckdb": _duckdb, "polars": _polars}

if __name__ == "__main__":
    main()
