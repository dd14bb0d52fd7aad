"""Connections and transactions on SQLite and PostgreSQL, and the databases' errors as ours.

No statement, parameter or password ever gets into a message: they hold what
officers stated, and the URL holds a secret.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from evidence_store.errors import (
    CatalogBusyError,
    ConflictError,
    EvidenceError,
    NoSpaceError,
    NotFoundError,
    SettingsError,
)

WRITER_LOCK = 0x45_56_49_44  # "EVID": the advisory lock of whoever writes to this catalog


def engine_for(url: str, *, busy_seconds: float) -> Engine:
    """An engine for the catalog at this URL.

    Raises:
        SettingsError: if the URL is not one of SQLite or PostgreSQL.
    """
    try:
        parsed = make_url(url)
    except SQLAlchemyError:
        raise SettingsError("database_url: expected sqlite:///FILE or postgresql://…") from None
    makers = {"sqlite": _sqlite, "postgresql": _postgresql}
    name = parsed.get_backend_name()
    if name not in makers:
        raise SettingsError(f"database_url: expected sqlite or postgresql, found {name}")
    with translated():
        return makers[name](url, busy_seconds)


def _sqlite(url: str, busy_seconds: float) -> Engine:
    engine = create_engine(url, connect_args={"timeout": busy_seconds, "check_same_thread": False})

    def connected(connection: Any, _: object) -> None:  # noqa: ANN401 - a driver's connection
        # The driver would begin transactions of its own, and late; `begun` does it.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    def begun(connection: Connection) -> None:
        writing = connection.get_execution_options().get("writing", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)
    return engine


def _postgresql(url: str, busy_seconds: float) -> Engine:
    url = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url)
    milliseconds = max(1, int(busy_seconds * 1000))
    options = f"-c lock_timeout={milliseconds} -c timezone=UTC"
    return create_engine(
        url,
        connect_args={"options": options, "connect_timeout": max(2, int(busy_seconds))},
        pool_pre_ping=True,
    )


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection with a consistent view of the catalog.

    Raises:
        CatalogBusyError: if the database is locked or does not answer.
    """
    options: dict[str, object] = {}
    if engine.dialect.name == "postgresql":
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with translated(), engine.connect().execution_options(**options) as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A connection in a transaction that nobody else writes beside; committed on a clean exit.

    Raises:
        CatalogBusyError: if another writer holds it longer than the configured wait.
        NoSpaceError: if the disk is full.
    """
    with (
        translated(),
        engine.connect().execution_options(writing=True) as connection,
        connection.begin(),
    ):
        if engine.dialect.name == "postgresql":
            lock = text("SELECT pg_advisory_xact_lock(:lock)")
            connection.execute(lock, {"lock": WRITER_LOCK})
        yield connection


@contextmanager
def translated() -> Iterator[None]:
    """The databases' errors, as ours."""
    try:
        yield
    except NoSuchModuleError as error:
        raise SettingsError("database_url: there is no driver for it here") from error
    except IntegrityError as error:
        raise _integrity(error) from None
    except DBAPIError as error:
        raise _operational(error) from None


def _integrity(error: IntegrityError) -> EvidenceError:
    code = getattr(error.orig, "sqlite_errorname", None) or getattr(error.orig, "sqlstate", None)
    if code in {"SQLITE_CONSTRAINT_FOREIGNKEY", "23503"}:
        return NotFoundError("catalog: what the new entry refers to is not there")
    return ConflictError("catalog: the identifier or key is taken; what is there was left as it is")


def _operational(error: DBAPIError) -> EvidenceError:
    name = str(getattr(error.orig, "sqlite_errorname", "") or "")
    state = str(getattr(error.orig, "sqlstate", "") or "")
    if name == "SQLITE_FULL" or state.startswith("53100"):
        return NoSpaceError("catalog: the disk is full; nothing of this transaction was kept")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return SettingsError("catalog: the database file is damaged; restore it from a backup")
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
        return SettingsError("catalog: the database file cannot be opened for writing here")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or state == "55P03":
        return CatalogBusyError("catalog: another process is writing to it; try again")
    reason = name or state or type(error.orig).__name__
    return CatalogBusyError(f"catalog: the database did not answer as it should ({reason})")


def private_file(url: str) -> None:
    """Make the file of an SQLite catalog, readable by its owner only, before SQLite would."""
    database = make_url(url).database
    if make_url(url).get_backend_name() == "sqlite" and database:
        Path(database).touch(mode=0o600)
