"""Distinct texts, distinct pairs and components: by ours, and as relational operations of an engine.

    python -m benchmarks.relations --rows 1000000 --engine duckdb

Made keys of as many rows: a third as many queries and as many documents, of which each row takes one.
DuckDB and Spark are asked by the same statements; each has one thread. Prints seconds of processor
time, the peak of memory above what the process began with, both with what an engine has started,
and the counts, which all engines share. Needs duckdb, polars or pyspark and Java
(`pip install duckdb polars pyspark`).
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

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
    begin, before = _taken(os.getpid())
    counts = _ENGINES[arguments.engine](queries, documents)
    end, peak = _taken(os.getpid())
    said = "{:,} queries, {:,} documents, {:,} pairs, {:,} components".format(*counts)
    print(f"{arguments.engine:<7}{arguments.rows:>10,} rows {end - begin:6.1f} s {peak - before:>6,.0f} MB: {said}")


def _taken(process: int) -> tuple[float, float]:
    """Seconds of processor time, and MB at the highest, of a process and of those that it has started."""
    own = Path(f"/proc/{process}")
    fields = (own / "stat").read_text().rpartition(")")[2].split()
    status = dict(line.split(":", 1) for line in (own / "status").read_text().splitlines())
    seconds, peak = (
        (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
        int(status.get("VmHWM", "0").split()[0]) / 1024,
    )
    for file in own.glob("task/*/children"):
        for child in file.read_text().split():
            more, higher = _taken(int(child))
            seconds, peak = seconds + more, peak + higher
    return seconds, peak


def _keys(numbers: Hashes) -> Hashes:
    return np.stack([mix(numbers.astype(np.uint64), salt) for salt in (1, 2)], axis=1)


def _ours(queries: Hashes, documents: Hashes) -> Counts:
    query, document = Distinct.of(queries), Distinct.of(documents)
    pairs = distinct_numbers(query.codes.astype(np.int64) * len(document) + document.codes)
    owners, members = np.divmod(pairs, len(document))
    roots = join(alone(len(document) + len(query)), members.astype(np.int32), (owners + len(document)).astype(np.int32))
    return len(query), len(document), len(pairs), len(np.unique(roots))


def _by_sql(keep: Callable[[str, str], None], ask: Callable[[str], Counts]) -> Counts:
    """The same statements for each engine of SQL, over a table `rows`.

    Args:
        keep: names what a statement selects.
        ask: the only row that a statement selects.
    """
    keep(
        "queries",
        "SELECT q, q2, row_number() OVER (ORDER BY q, q2) - 1 AS query FROM (SELECT DISTINCT q, q2 FROM rows) x",
    )
    keep(
        "documents",
        "SELECT d, d2, row_number() OVER (ORDER BY d, d2) - 1 + (SELECT count(*) FROM queries) AS document"
        " FROM (SELECT DISTINCT d, d2 FROM rows) x",
    )
    keep(
        "pairs",
        "SELECT DISTINCT query, document FROM rows JOIN queries USING (q, q2) JOIN documents USING (d, d2)",
    )
    keep("edges", "SELECT query AS a, document AS b FROM pairs UNION ALL SELECT document AS a, query AS b FROM pairs")
    keep("roots0", "SELECT DISTINCT a AS node, a AS root FROM edges")
    number, changed = 0, 1
    while changed:
        roots, nearer, jumped = f"roots{number}", f"nearer{number}", f"roots{number + 1}"
        # The smallest root among a node and its neighbours, and then the root of that one.
        keep(
            nearer,
            f"SELECT x.node, least(min(x.root), min(y.root)) AS root FROM {roots} x JOIN edges ON a = x.node"
            f" JOIN {roots} y ON y.node = b GROUP BY x.node",
        )
        keep(jumped, f"SELECT x.node, y.root FROM {nearer} x JOIN {nearer} y ON y.node = x.root")
        changed, *_ = ask(
            f"SELECT count(*), 0, 0, 0 FROM {roots} x JOIN {jumped} y USING (node) WHERE x.root <> y.root"
        )
        number += 1
    return ask(
        "SELECT (SELECT count(*) FROM queries), (SELECT count(*) FROM documents), (SELECT count(*) FROM pairs),"
        f" (SELECT count(DISTINCT root) FROM roots{number})"
    )


def _duckdb(queries: Hashes, documents: Hashes) -> Counts:
    import duckdb

    rows = pa.table({"q": queries[:, 0], "q2": queries[:, 1], "d": documents[:, 0], "d2": documents[:, 1]})
    base = duckdb.connect(config={"threads": 1})
    base.register("rows", rows)

    def keep(name: str, statement: str) -> None:
        base.execute(f"CREATE OR REPLACE TABLE {name} AS {statement}")

    def ask(statement: str) -> Counts:
        found = base.execute(statement).fetchone()
        assert found is not None
        return found[0], found[1], found[2], found[3]

    return _by_sql(keep, ask)


def _spark(queries: Hashes, documents: Hashes) -> Counts:
    """Spark on this machine, one thread, through files of Parquet."""
    from pyspark.sql import SparkSession

    keys = np.concatenate([queries, documents], axis=1).view(np.int64)
    with TemporaryDirectory() as work:
        pq.write_table(pa.table(dict(zip(("q", "q2", "d", "d2"), keys.T, strict=True))), f"{work}/rows.parquet")
        spark = (
            SparkSession.builder.master("local[1]")
            .config("spark.ui.enabled", "false")
            .config("spark.driver.memory", "8g")
            .config("spark.sql.shuffle.partitions", "8")
            .getOrCreate()
        )
        spark.sparkContext.setLogLevel("ERROR")
        spark.read.parquet(f"{work}/rows.parquet").createOrReplaceTempView("rows")

        def keep(name: str, statement: str) -> None:
            spark.sql(statement).write.mode("overwrite").parquet(f"{work}/{name}")
            spark.read.parquet(f"{work}/{name}").createOrReplaceTempView(name)

        def ask(statement: str) -> Counts:
            first = spark.sql(statement).first()
            return first[0], first[1], first[2], first[3]

        return _by_sql(keep, ask)


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


_ENGINES: dict[str, Callable[[Hashes, Hashes], Counts]] = {
    "ours": _ours,
    "duckdb": _duckdb,
    "polars": _polars,
    "spark": _spark,
}

if __name__ == "__main__":
    main()
