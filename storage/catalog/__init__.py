"""The catalog: cases, items, versions and sealed objects, on SQLite or PostgreSQL.

Trusted for availability and order. Rows are private to this package. Whoever
writes holds the catalog's one writer's lock; readers never wait for it.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, insert, inspect, select, text

from evidence_store.doors import TokenReader
from evidence_store.errors import ConflictError, SettingsError
from evidence_store.identifiers import StateCode
from evidence_store.item import SealedObject
from evidence_store.journal import JournalView
from evidence_store.ports import CatalogReader, CatalogWriter
from storage import migrations
from storage.catalog.acting import say_done
from storage.catalog.doors import SqlTokenReader
from storage.catalog.engine import (
    engine_for,
    make_private,
    reading,
    sqlite_file,
    with_password,
    writing,
)
from storage.catalog.faults import translated
from storage.catalog.group_commit import GroupCommit
from storage.catalog.journal import SqlJournalView, restore
from storage.catalog.reader import SqlCatalogReader
from storage.catalog.tables import InstallationRow, table_of
from storage.catalog.writer import SqlCatalogWriter

__all__ = [
    "HEAD",
    "SqlCatalog",
    "create_catalog",
    "create_empty",
    "migrate",
    "open_catalog",
    "revision_of",
    "with_password",
]

HEAD = migrations.HEAD
BUSY_SECONDS = 10.0


class SqlCatalog:
    """Implements `evidence_store.ports.Catalog`. Safe to use from several threads."""

    def __init__(self, engine: Engine, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self.engine = engine
        self._turns = GroupCommit(engine, busy_seconds)

    @property
    def is_in_process(self) -> bool:
        """Whether the database works within this process: to read computes here, and does not wait."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[CatalogReader]:
        """See `Catalog.read`."""
        with reading(self.engine) as connection:
            yield SqlCatalogReader(connection)

    @contextmanager
    def read_at_the_door(self) -> Iterator[tuple[CatalogReader, TokenReader]]:
        """As `Catalog.read`, with tokens in the same view: who calls is asked at every request."""
        with reading(self.engine) as connection:
            reader = SqlCatalogReader(connection)
            yield reader, SqlTokenReader(reader)

    @contextmanager
    def write(self) -> Iterator[CatalogWriter]:
        """See `Catalog.write`."""
        with self._written(shares=False) as writer:
            yield writer

    @contextmanager
    def act(self) -> Iterator[CatalogWriter]:
        """See `Catalog.act`."""
        with self._written(shares=True) as writer:
            yield writer

    @contextmanager
    def _written(self, *, shares: bool) -> Iterator[CatalogWriter]:
        """What the database refused is raised again at the end, if the caller let it pass.

        Of such a transaction SQLite would keep a part, and PostgreSQL nothing without saying so.
        """
        with self._turns.turn(shares=shares) as connection:
            writer = SqlCatalogWriter(connection)
            yield writer
            if writer.refusal is not None:
                raise writer.refusal
            say_done(connection)

    @contextmanager
    def journal(self) -> Iterator[JournalView]:
        """See `evidence_store.journal.JournalledCatalog.journal`."""
        with reading(self.engine) as connection:
            yield SqlJournalView(connection)

    @contextmanager
    def restoring(
        self, lines: Iterable[Mapping[str, Any]], objects: Iterable[SealedObject]
    ) -> Iterator[CatalogReader]:
        """Fill a catalog that has nothing but its tables from a journal, in one transaction.

        What the caller finds in the view that it is given is a part of it: nothing is kept if
        that raises.

        Raises:
            MalformedError: if a line is none of a journal.
            ConflictError: if there is something in it already.
        """
        with writing(self.engine) as connection:
            restore(connection, lines, objects)
            yield SqlCatalogReader(connection)

    def close(self) -> None:
        """Let go of every connection."""
        self._turns.close()
        self.engine.dispose()


def create_catalog(
    url: str,
    state: StateCode,
    authority: str,
    now: datetime,
    *,
    exercise: bool = False,
    busy_seconds: float = BUSY_SECONDS,
) -> SqlCatalog:
    """Make the tables and enter whose catalog it is, in one transaction.

    One that is for an `exercise` stays so for ever.

    Raises:
        ConflictError: if it belongs to somebody already; it stays as it is.
        SettingsError: if the URL is wrong, or the database cannot be made there.
        CatalogBusyError: if the database does not answer.
        NoSpaceError: if the disk is full.
    """
    owner = {
        "id": 1,
        "state": state.value,
        "authority": authority,
        "created_at": now,
        "exercise": exercise,
    }
    with _disposing(url, busy_seconds, make=True) as engine:
        try:
            with writing(engine) as connection:
                migrations.upgrade(connection)
                connection.execute(insert(table_of(InstallationRow)), owner)
        except ConflictError:
            raise ConflictError(
                "catalog: it belongs to an instance already; nothing changed"
            ) from None
    return open_catalog(url, busy_seconds=busy_seconds)


def create_empty(url: str, *, busy_seconds: float = BUSY_SECONDS) -> SqlCatalog:
    """Make the tables of a catalog that is to be restored, and belongs to nobody yet.

    Tables that are there and belong to nobody are what an attempt before this one left.

    Raises:
        ConflictError: if there is a catalog already.
        SettingsError, CatalogBusyError, NoSpaceError: as `create_catalog`.
    """
    revision = revision_of(url, busy_seconds=busy_seconds)
    if revision not in {None, HEAD}:
        raise ConflictError("catalog: there is an older one; nothing changed")
    migrate(url, busy_seconds=busy_seconds)
    made = open_catalog(url, busy_seconds=busy_seconds)
    with reading(made.engine) as connection:
        owned = connection.execute(select(table_of(InstallationRow))).first() is not None
    if owned:
        made.close()
        raise ConflictError("catalog: there is one already; nothing changed")
    return made


def open_catalog(url: str, *, busy_seconds: float = BUSY_SECONDS) -> SqlCatalog:
    """Open a catalog whose tables are as this version of the software needs them.

    Raises:
        SettingsError: if there is none, or its tables are older or newer.
        CatalogBusyError: if the database does not answer.
    """
    found = revision_of(url, busy_seconds=busy_seconds)
    if found is None:
        raise SettingsError("catalog: there is none yet; run `evidence init`")
    if found != HEAD:
        raise SettingsError(
            f"catalog: expected tables of revision {HEAD}, found {found}; run "
            "`evidence migrate` with the newest version of the software"
        )
    return SqlCatalog(engine_for(url, busy_seconds=busy_seconds), busy_seconds=busy_seconds)


def migrate(url: str, *, busy_seconds: float = BUSY_SECONDS) -> tuple[str | None, str | None]:
    """Bring the tables to what this version needs; returns the revisions before and after.

    Raises:
        SettingsError: if the URL is wrong, or the tables are newer than this software.
        CatalogBusyError: if the database does not answer or somebody is writing.
        NoSpaceError: if the disk is full; the tables are as they were.
    """
    with _disposing(url, busy_seconds, make=True) as engine:
        before = _revision(engine)
        with writing(engine) as connection:
            migrations.upgrade(connection)
        return before, _revision(engine)


def revision_of(url: str, *, busy_seconds: float = BUSY_SECONDS) -> str | None:
    """The revision of the tables, None if there are none. What this software needs is `HEAD`.

    Raises:
        SettingsError: if the URL is wrong, or what is there is no database.
        CatalogBusyError: if the database does not answer.
    """
    file = sqlite_file(url)
    if file is not None and not file.exists():
        return None
    with _disposing(url, busy_seconds, make=False) as engine:
        return _revision(engine)


@contextmanager
def _disposing(url: str, busy_seconds: float, *, make: bool) -> Iterator[Engine]:
    file = sqlite_file(url)
    if make and file is not None:
        make_private(file)
    engine = engine_for(url, busy_seconds=busy_seconds)
    try:
        yield engine
    finally:
        engine.dispose()


def _revision(engine: Engine) -> str | None:
    with translated(), engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return None if found is None else str(found)
