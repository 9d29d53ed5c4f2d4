"""What a query to a database answers as rows, by SQLAlchemy: streamed, and without its password in any file."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hr_retrieval.errors import UserError, said
from hr_retrieval.extras import check_extra
from hr_retrieval.prepare.readers.reader import BATCH_ROWS, RawBatch, check_columns

if TYPE_CHECKING:
    from sqlalchemy import URL

# Seconds to wait for a server.
_PATIENCE = 10


@dataclass(frozen=True)
class SqlReader:
    """The rows of a query.

    On PostgreSQL the rows come through a server-side cursor within one transaction that only reads,
    so that none is seen half changed. What the query reads has no fingerprint: that it has changed
    since is not noticed.

    Args:
        url: of the database, as SQLAlchemy writes it, without a password: `postgresql://user@host/base`,
            `sqlite:///file.db`.
        query: one SELECT.
        password_variable: the variable of the environment that holds the password.

    Raises:
        UserError: the URL is none, or holds a password; the query is none.
    """

    url: str
    query: str
    password_variable: str = "HR_RETRIEVAL_SQL_PASSWORD"

    def __post_init__(self) -> None:
        check_extra("sources", "sqlalchemy")
        if self._url().password is not None or "password" in {key.casefold() for key in self._url().query}:
            raise UserError(
                "data.reader.url without a password",
                "one with it",
                f"It would stand in config.yaml and logs: put it into the variable {self.password_variable}.",
            )
        if not str(self.query).strip():
            raise UserError("data.reader.query to be a SELECT", "an empty text", "Write the query.")

    def inputs(self) -> list[Path]:
        """The file of a SQLite database; a server has none."""
        url = self._url()
        if url.get_backend_name() != "sqlite":
            return []
        file = Path(url.database or "")
        if not file.is_file():
            raise UserError(f"a SQLite database at {file}", "no such file", "Check data.reader.url.")
        return [file]

    def batches(self, wanted: Sequence[str]) -> Iterator[RawBatch]:
        """The rows as they come."""
        from sqlalchemy import create_engine

        self.inputs()
        url = self._url()
        name = url.render_as_string(hide_password=True)
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        postgres = url.get_backend_name() == "postgresql"
        if postgres:
            check_extra("sources", "psycopg")
        secret = os.environ.get(self.password_variable)
        with self._told(name, secret):
            engine = create_engine(
                url.set(password=secret) if secret and postgres else url,
                connect_args={"connect_timeout": _PATIENCE} if postgres else {},
                hide_parameters=True,
            )
            try:
                with engine.connect() as connection:
                    if postgres:
                        connection = connection.execution_options(
                            postgresql_readonly=True, isolation_level="REPEATABLE READ"
                        )
                    found = connection.execution_options(stream_results=True, yield_per=BATCH_ROWS).execute(
                        self._statement()
                    )
                    if not found.returns_rows:
                        raise UserError(
                            "data.reader.query to be a SELECT",
                            "one that answers no rows",
                            "Select the columns that are mapped.",
                        )
                    columns = list(found.keys())
                    places = check_columns(
                        Path(name), columns, wanted, "Name them in the query: SELECT title AS anchor, ..."
                    )
                    row = 0
                    for part in found.partitions(BATCH_ROWS):
                        values = [{key: line[place] for key, place in places.items()} for line in part]
                        yield RawBatch(name, range(row, row + len(values)), values)
                        row += len(values)
            finally:
                engine.dispose()

    def _url(self) -> "URL":
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            return make_url(str(self.url))
        except (ArgumentError, ValueError):
            # What does not parse may hold a password: it is not repeated.
            raise UserError(
                "data.reader.url to be one of a database",
                "a text that is none",
                "Write postgresql://user@host:5432/base or sqlite:///file.db.",
            ) from None

    def _statement(self) -> Any:
        from sqlalchemy import text

        # A colon begins no parameter here.
        return text(str(self.query).replace(":", r"\:"))

    @contextmanager
    def _told(self, name: str, secret: str | None) -> Iterator[None]:
        """Turn what the database and its driver raise into one message, without the secret."""
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (SQLAlchemyError, ImportError, OSError, UnicodeError) as error:
            came = said(getattr(error, "orig", None) or error)
            if secret:
                came = came.replace(secret, "***")
            raise UserError(
                f"rows of the query from {name}",
                came,
                f"Check data.reader.url, data.reader.query and the password in {self.password_variable}.",
            ) from None
