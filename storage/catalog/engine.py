"""Connections and transactions on SQLite and PostgreSQL."""

import errno
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    RootTransaction,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.exc import InvalidatePoolError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from evidence_store.errors import NoSpaceError, SettingsError
from storage.catalog.faults import translated
from storage.catalog.prepared import driven

WRITER_LOCK = 0x45_56_49_44  # "EVID": the advisory lock of whoever writes to this catalog
IDLE_SECONDS = 1.0  # a connection that was used since then is taken for alive
_LEFT = "evidence.left"
_SQLITE_PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    # Digests and random names fall all over the indexes, so a batch changes a page for nearly
    # every entry: 16 MiB hold them all, and only every sixth batch or so is copied into the file.
    "cache_size = -16384",
    "wal_autocheckpoint = 10000",
)


def engine_for(url: str, *, busy_seconds: float) -> Engine:
    """An engine for the catalog at this URL. It makes no file.

    Raises:
        SettingsError: if the URL is not one of SQLite or PostgreSQL.
    """
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(Path(str(parsed.database)), busy_seconds)
    return _postgresql(parsed, busy_seconds)


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite catalog.

    Raises:
        SettingsError: if the URL is not one of SQLite or PostgreSQL.
    """
    parsed = _parsed(url)
    return Path(str(parsed.database)) if parsed.get_backend_name() == "sqlite" else None


def with_password(url: str, password: str) -> str:
    """The URL with the password in it: from here on it is a secret.

    Raises:
        SettingsError: if the URL is not one of SQLite or PostgreSQL.
    """
    return _parsed(url).set(password=password).render_as_string(hide_password=False)


def make_private(file: Path) -> None:
    """Make an empty file that its owner alone may read, unless there is one: SQLite would let all.

    Raises:
        NoSpaceError: if the disk is full.
        SettingsError: if it cannot be made there.
    """
    try:
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        kind = NoSpaceError if error.errno == errno.ENOSPC else SettingsError
        raise kind(f"database_url: {file} cannot be made: {error.strerror}") from error


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError):
        raise SettingsError("database_url: expected sqlite:///FILE or postgresql://…") from None
    match parsed.drivername:
        case "sqlite" | "sqlite+pysqlite":
            database = parsed.database or ":memory:"
            if parsed.query or database.startswith((":", "file:")):
                raise SettingsError("database_url: expected sqlite:///FILE, without options")
            return parsed
        case "postgresql" | "postgres" | "postgresql+psycopg":
            return parsed.set(drivername="postgresql+psycopg")
        case name:
            raise SettingsError(f"database_url: expected sqlite or postgresql, found {name}")


def _sqlite(file: Path, busy_seconds: float) -> Engine:
    # As a URI, so that SQLite never makes the file: it would be readable by all.
    location = f"file:{quote(str(file))}"
    engine = create_engine(
        URL.create("sqlite", database=location, query={"mode": "rw", "uri": "true"}),
        connect_args={"timeout": busy_seconds, "check_same_thread": False},
        pool_timeout=busy_seconds,
        pool_use_lifo=True,  # the one that was used last has its pages and statements at hand
    )

    def connected(connection: Any, _: object) -> None:  # noqa: ANN401 - a driver's connection
        # The driver would begin transactions of its own, and late; `begun` does it.
        connection.isolation_level = None
        for pragma in _SQLITE_PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").close()

    def begun(connection: Connection) -> None:
        # A transaction that reads first and then writes could not wait for another writer.
        writing = connection.get_execution_options().get("writing", False)
        driven(connection, "BEGIN IMMEDIATE" if writing else "BEGIN")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)
    return engine


def _postgresql(url: URL, busy_seconds: float) -> Engine:
    milliseconds = max(1, int(busy_seconds * 1000))
    own = f"-c lock_timeout={milliseconds} -c timezone=UTC"
    engine = create_engine(
        url,
        connect_args={
            "options": " ".join((*url.normalized_query.get("options", ()), own)),
            "connect_timeout": max(2, int(busy_seconds)),  # libpq takes no less
        },
        pool_timeout=busy_seconds,
        pool_use_lifo=True,
    )

    # A connection that waited may be dead: the server was started anew, or something between dropped
    # it. To ask of every connection, as the library would, is a third of what a short request takes.
    def left(_: object, record: ConnectionPoolEntry) -> None:
        record.info[_LEFT] = time.monotonic()

    def taken(connection: Any, record: ConnectionPoolEntry, _: object) -> None:  # noqa: ANN401 - a driver's connection
        if time.monotonic() - record.info.get(_LEFT, math.inf) < IDLE_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error:
            raise InvalidatePoolError from None  # all that are as old are let go of, too

    event.listen(engine, "checkin", left)
    event.listen(engine, "checkout", taken)
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection with a consistent view: of the catalog as it is at the first question.

    Raises:
        CatalogBusyError: if the database is locked or does not answer.
    """
    with translated(), engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A connection in a transaction that nobody else writes beside; committed on a clean exit.

    Raises:
        CatalogBusyError: if another writer holds it longer than the configured wait.
        NoSpaceError: if the disk is full.
    """
    with translated(), for_writing(engine) as connection:
        transaction = begun_writing(connection)
        yield connection  # closing the connection undoes what was not committed
        commit(transaction)


def for_writing(engine: Engine) -> Connection:
    """A connection for `begun_writing`.

    Raises:
        SQLAlchemyError: see `translated`.
    """
    return engine.connect().execution_options(writing=True)


def begun_writing(connection: Connection) -> RootTransaction:
    """Begin a transaction that nobody else writes beside; the connection is closed if that fails.

    Raises:
        SQLAlchemyError: see `translated`.
    """
    try:
        transaction = connection.begin()
        if connection.dialect.name == "postgresql":
            lock = text("SELECT pg_advisory_xact_lock(:lock)")
            connection.execute(lock, {"lock": WRITER_LOCK})
    except BaseException:
        connection.close()
        raise
    return transaction


def commit(transaction: RootTransaction) -> None:
    """Make a transaction durable. A connection whose commit fails is never used again.

    Raises:
        SQLAlchemyError: see `translated`.
    """
    try:
        transaction.commit()
    except BaseException:
        # The pool would hand it out within the transaction still, holding the writer's lock.
        transaction.connection.invalidate()
        raise
