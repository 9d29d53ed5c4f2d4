"""Rows of databases, and what a user is told where there are none; PostgreSQL for real where it is installed."""

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.columns import Columns
from hr_retrieval.prepare.preparation import Preparation
from hr_retrieval.prepare.readers.reader import BATCH_ROWS
from hr_retrieval.prepare.readers.sql import SqlReader
from tests.prepare.readers.sources import read, rows_of

QUERY = "SELECT title, text FROM jobs ORDER BY id"
WANTED = ["title", "text"]
SECRET = "s3cret-Пароль"
BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


def jobs(count: int) -> list[tuple[int, str, str]]:
    return [(number, f"сварщик {number}", f"100% of welding: {number}") for number in range(count)]


@pytest.fixture
def base(tmp_path: Path) -> str:
    with sqlite3.connect(tmp_path / "jobs.db") as connection:
        connection.execute("CREATE TABLE jobs (id INTEGER, title TEXT, text TEXT)")
        connection.executemany("INSERT INTO jobs VALUES (?, ?, ?)", jobs(BATCH_ROWS + 5))
    connection.close()
    return f"sqlite:///{tmp_path / 'jobs.db'}"


def test_the_rows_of_a_query_come_block_by_block(base: str) -> None:
    batches = read(SqlReader(base, QUERY), WANTED)
    assert [len(batch.rows) for batch in batches] == [BATCH_ROWS, 5]
    assert rows_of(batches)[-1] == {"title": f"сварщик {BATCH_ROWS + 4}", "text": f"100% of welding: {BATCH_ROWS + 4}"}
    assert batches[1].rows[0] == BATCH_ROWS


def test_it_is_prepared_and_says_nothing_secret(base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HR_RETRIEVAL_SQL_PASSWORD", SECRET)
    made = Preparation(
        SqlReader(base, f"{QUERY} LIMIT 60"), str(tmp_path / "made"), "made", columns=Columns("title", "text")
    )
    assert made.run().query_count == 60
    assert made.open_or_run().query_count == 60
    assert SECRET not in (tmp_path / "made" / "dataset.json").read_text()


@pytest.mark.parametrize(
    ("url", "query", "said"),
    [
        ("postgresql://me:secret@localhost/base", QUERY, "without a password"),
        ("postgresql://me@localhost/base?password=secret", QUERY, "without a password"),
        ("not a url with secret", QUERY, "a text that is none"),
        ("sqlite:///nowhere.db", QUERY, "no such file"),
        ("sqlite:///{base}", "SELECT title FROM jobs", "the column 'text'"),
        ("sqlite:///{base}", "SELECT title FROM nowhere", "no such table: nowhere"),
        ("sqlite:///{base}", "DELETE FROM jobs", "one that answers no rows"),
        ("sqlite:///{base}", " ", "got an empty text"),
        ("nodb://me@localhost/base", QUERY, "nodb"),
        ("postgresql://me@127.0.0.1:9/base", QUERY, "rows of the query from postgresql://me@127.0.0.1:9/base"),
    ],
)
def test_what_is_wrong_is_one_message_without_the_secret(base: str, url: str, query: str, said: str) -> None:
    with pytest.raises(UserError, match=said.replace("?", r"\?")) as raised:
        read(SqlReader(url.replace("{base}", base.removeprefix("sqlite:///")), query), WANTED)
    assert "secret" not in str(raised.value)
    assert len(rows_of(read(SqlReader(base, QUERY), WANTED))) == BATCH_ROWS + 5


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a PostgreSQL that asks for a password."""
    if not BINARIES or os.getuid() != 0 or shutil.which("runuser") is None:
        pytest.skip(
            "needs PostgreSQL's binaries (apt-get install postgresql) and root, who starts it as the user postgres"
        )
    programs = BINARIES[-1].parent
    # PostgreSQL's user may not enter the folders of pytest.
    folder = Path(tempfile.mkdtemp(prefix="hr-retrieval-postgres-"))
    shutil.chown(folder, "postgres", "postgres")
    (folder / "password").write_text(SECRET, encoding="utf-8")
    shutil.chown(folder / "password", "postgres")

    def run(*command: str) -> None:
        subprocess.run(["runuser", "-u", "postgres", "--", *command], check=True, capture_output=True, cwd=folder)

    data = str(folder / "data")
    try:
        run(
            str(programs / "initdb"), "-D", data, "-U", "reader", "-A", "scram-sha-256", "--no-sync", "-E", "UTF8", "--locale=C",
            f"--pwfile={folder / 'password'}",
        )  # fmt: skip
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off -c port=5599"
        run(str(programs / "pg_ctl"), "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql://reader@/postgres?host={folder}&port=5599"
        finally:
            run(str(programs / "pg_ctl"), "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


# psycopg warns of the cursor of a statement that no cursor can be declared for.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_postgresql_streams_reads_only_and_asks_for_the_password(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HR_RETRIEVAL_SQL_PASSWORD", SECRET)
    many = (
        "SELECT 'title 10:30 %s ' || n::text AS title, repeat('x', 2000) AS text FROM generate_series(1, 100000) AS n"
    )
    stream = SqlReader(server, many).batches(WANTED)
    # The first block comes before a hundred thousand rows are there, and the rest is never asked for.
    first = next(stream)
    assert len(first.rows) == BATCH_ROWS
    assert first.values[0]["title"] == "title 10:30 %s 1"
    stream.close()
    with pytest.raises(UserError, match="rows of the query"):
        read(SqlReader(server, "CREATE TABLE t AS SELECT 1"), WANTED)
    for password in ("wrong-secret", None):
        if password is None:
            monkeypatch.delenv("HR_RETRIEVAL_SQL_PASSWORD")
        else:
            monkeypatch.setenv("HR_RETRIEVAL_SQL_PASSWORD", password)
        with pytest.raises(UserError, match="the password in HR_RETRIEVAL_SQL_PASSWORD") as raised:
            read(SqlReader(server, many), WANTED)
        assert "wrong-secret" not in str(raised.value)
