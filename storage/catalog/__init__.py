"""The catalog: cases, items, versions and sealed objects, on SQLite or PostgreSQL.

Trusted for availability and order. Rows are private to this package. Whoever
writes holds the catalog's one writer's lock; readers never wait for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import Engine, insert, inspect, text

from evidence_store.errors import ConflictError, SettingsError
from evidence_store.identifiers import StateCode
from evidence_store.ports import CatalogReader, CatalogWriter
from storage import migrations
from storage.catalog.engine import engine_for, private_file, reading, translated, writing
from storage.catalog.reader import SqlCatalogReader
from storage.catalog.tables import InstallationRow
from storage.catalog.writer import SqlCatalogWriter

__all__ = ["SqlCatalog", "create_catalog", "migrate", "open_catalog", "revision_of"]

BUSY_SECONDS = 10.0


class SqlCatalog:
    """Implements `evidence_store.ports.Catalog`. Safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @contextmanager
    def read(self) -> Iterator[CatalogReader]:
        """See `Catalog.read`."""
        with reading(self.engine) as connection:
            yield SqlCatalogReader(connection)

    @contextmanager
    def write(self) -> Iterator[CatalogWriter]:
        """See `Catalog.write`."""
        with writing(self.engine) as connection:
            yield SqlCatalogWriter(connection)

    def close(self) -> None:
        """Let go of every connection."""
        self.engine.dispose()


def create_catalog(
    url: str,
    state: StateCode,
    authority: str,
    now: datetime,
    *,
    busy_seconds: float = BUSY_SECONDS,
) -> SqlCatalog:
    """Make the tables, and enter whose catalog it is.

    Raises:
        ConflictError: if it belongs to somebody already; it stays as it is.
        SettingsError: if the URL is wrong.
        CatalogBusyError: if the database does not answer.
    """
    private_file(url)
    migrate(url, busy_seconds=busy_seconds)
    catalog = open_catalog(url, busy_seconds=busy_seconds)
    owner = {"id": 1, "state": state.value, "authority": authority, "created_at": now}
    try:
        with writing(catalog.engine) as connection:
            connection.execute(insert(InstallationRow), owner)
    except ConflictError:
        catalog.close()
        raise ConflictError("catalog: it belongs to an instance already; nothing changed") from None
    return catalog


def open_catalog(url: str, *, busy_seconds: float = BUSY_SECONDS) -> SqlCatalog:
    """Open a catalog whose tables are as this version of the software needs them.

    Raises:
        SettingsError: if there is none, or its tables are older or newer.
        CatalogBusyError: if the database does not answer.
    """
    engine = engine_for(url, busy_seconds=busy_seconds)
    found = _revision(engine)
    if found != migrations.HEAD:
        engine.dispose()
        if found is None:
            raise SettingsError("catalog: there is none yet; run `evidence init`")
        raise SettingsError(
            f"catalog: expected tables of revision {migrations.HEAD}, found {found}; run "
            "`evidence migrate` with the newest version of the software"
        )
    return SqlCatalog(engine)


def migrate(url: str, *, busy_seconds: float = BUSY_SECONDS) -> tuple[str | None, str | None]:
    """Bring the tables to what this version needs; returns the revisions before and after.

    Raises:
        SettingsError: if the URL is wrong.
        CatalogBusyError: if the database does not answer or somebody is writing.
    """
    engine = engine_for(url, busy_seconds=busy_seconds)
    try:
        before = _revision(engine)
        with writing(engine) as connection:
            migrations.upgrade(connection)
        return before, _revision(engine)
    finally:
        engine.dispose()


def revision_of(url: str) -> str | None:
    """The revision of the tables, None if there are none.

    Raises:
        SettingsError: if the URL is wrong.
        CatalogBusyError: if the database does not answer.
    """
    engine = engine_for(url, busy_seconds=BUSY_SECONDS)
    try:
        return _revision(engine)
    finally:
        engine.dispose()


def _revision(engine: Engine) -> str | None:
    with translated(), engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return None if found is None else str(found)
