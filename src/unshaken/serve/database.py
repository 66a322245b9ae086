"""`Database`: connections to SQLite or PostgreSQL and their transactions; whatever goes wrong there is one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from unshaken.core.errors import MissingExtra, ParameterError, RunError
from unshaken.core.numbers import shorten

PATIENCE = 30
"""Seconds that a writer waits for another one."""
POSTGRES = "postgresql+psycopg"


class Database:
    """Connections to one database.

    Args:
        url: `sqlite:///PATH`, a path, or `postgresql+psycopg://...`.
        what: it holds, for messages.
        prepare: makes the tables or brings them up to date, from the engine and the name of the database.

    Raises:
        ParameterError: the address is of another form.
        RunError: the database cannot be opened, or was made by a newer version.
        MissingExtra: the driver is absent.
    """

    def __init__(self, url: str | Path, *, what: str, prepare: Callable[[sa.Engine, str], None]) -> None:
        self.what = what
        address = _address(url)
        self.name = address.database or "" if _is_sqlite(address) else address.render_as_string(hide_password=True)
        self.is_sqlite = _is_sqlite(address)
        try:
            self.engine = _engine(address)
        except ModuleNotFoundError:
            raise MissingExtra("psycopg[binary]", "postgresql", "a database in PostgreSQL") from None
        try:
            with self._explained():
                prepare(self.engine, self.name)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state of the database and changes nothing."""
        with self._explained(), self.engine.connect() as connection:
            level = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
            with connection.execution_options(**level).begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that is committed whole at the end, or not at all."""
        with self._explained(), self.engine.connect() as connection, writes(connection):
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            why = " ".join(str(getattr(error, "orig", None) or error).split())[:300]
            raise RunError(f"{self.what} {self.name}: {why}") from error


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _address(url: str | Path) -> URL:
    text = str(url)
    if "://" not in text:
        return URL.create("sqlite", database=str(Path(text).expanduser()))
    advice = "write sqlite:///PATH, a path, or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
    try:
        address = make_url(text)
    except (ArgumentError, ValueError):
        raise ParameterError(
            f"{shorten(text.partition('://')[0] + '://...')} is no address of a store: {advice}"
        ) from None
    if address.drivername == "postgresql":
        address = address.set(drivername=POSTGRES)
    if address.drivername == POSTGRES and address.database:
        return address
    if address.drivername == "sqlite" and address.database and address.database != ":memory:":
        return address
    raise ParameterError(f"{address.render_as_string(hide_password=True)!r} is no address of a store: {advice}")


def _engine(url: URL) -> sa.Engine:
    if not _is_sqlite(url):
        return sa.create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": PATIENCE})
    engine = sa.create_engine(url, connect_args={"timeout": PATIENCE}, poolclass=sa.QueuePool)

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver begins no transaction: `_begin` does
        for line in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-32768"):
            connection.execute(f"PRAGMA {line}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("unshaken_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def writes(connection: sa.Connection) -> sa.RootTransaction:
    """Begin a transaction that takes SQLite's lock at once; a lock taken later could be refused."""
    return connection.execution_options(unshaken_writes=True).begin()
