"""Rows of PostgreSQL as dicts of Python: by our reader, which goes through SQLAlchemy and psycopg, and by ADBC.

    python -m benchmarks.databases --url 'postgresql://me@/base?host=/tmp/socket' [--rows 300000]

A query makes the rows: a title and a text of 300 letters. Blocks of 2,048, in turns; `seconds` is
what the process computed, the least of three, `peak MB` what it held more at its highest, in a process
of its own each time. A password comes from HR_RETRIEVAL_SQL_PASSWORD.
Needs adbc-driver-postgresql (`pip install adbc-driver-postgresql`).
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from urllib.parse import quote

from hr_retrieval.markdown import markdown_table
from hr_retrieval.prepare.readers.reader import BATCH_ROWS
from hr_retrieval.prepare.readers.sql import SqlReader

_QUERY = (
    "SELECT 'title ' || n AS title, repeat(md5(n::text), 9) || ' повар' AS text FROM generate_series(1, {rows}) AS n"
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--engine", choices=("ours", "adbc"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.engine:
        print(json.dumps(_measured(arguments.engine, arguments.url, arguments.rows)))
        return
    found: dict[str, list[dict[str, float]]] = {"ours": [], "adbc": []}
    for _ in range(3):
        for engine, own in found.items():
            command = [sys.executable, "-m", "benchmarks.databases", *sys.argv[1:], "--engine", engine]
            own.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
    rows = [["engine", "rows", "seconds", "elapsed", "peak MB"]]
    for engine, own in found.items():
        least = {name: min(one[name] for one in own) for name in own[0]}
        rows.append(
            [
                engine,
                f"{least['rows']:,.0f}",
                f"{least['seconds']:.2f}",
                f"{least['elapsed']:.2f}",
                f"{least['peak']:.0f}",
            ]
        )
    print(markdown_table(rows))


def _measured(engine: str, url: str, count: int) -> dict[str, float]:
    read = _ours if engine == "ours" else _adbc
    # To import and to connect is no matter of rows.
    sum(1 for _ in read(url, _QUERY.format(rows=10)))
    held, begin, computed = _resident(), time.monotonic(), time.process_time()
    rows = sum(len(block) for block in read(url, _QUERY.format(rows=count)))
    return {
        "rows": rows,
        "seconds": time.process_time() - computed,
        "elapsed": time.monotonic() - begin,
        "peak": _resident() - held,
    }


def _ours(url: str, query: str) -> Iterator[list[dict[str, str]]]:
    for batch in SqlReader(url, query).batches(["title", "text"]):
        yield list(batch.values)  # type: ignore[arg-type]


def _adbc(url: str, query: str) -> Iterator[list[dict[str, str]]]:
    from adbc_driver_postgresql import dbapi

    user, _, rest = url.removeprefix("postgresql://").partition("@")
    secret = os.environ.get("HR_RETRIEVAL_SQL_PASSWORD")
    account = user if secret is None else f"{user}:{quote(secret)}"
    with dbapi.connect(f"postgresql://{account}@{rest}") as connection, connection.cursor() as cursor:
        cursor.execute(query)
        for block in cursor.fetch_record_batch():
            for begin in range(0, block.num_rows, BATCH_ROWS):
                yield block.slice(begin, BATCH_ROWS).to_pylist()


def _resident() -> float:
    """MB, at its highest."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
