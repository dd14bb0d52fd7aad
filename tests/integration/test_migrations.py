from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text
from sqlmodel import SQLModel

from evidence_store.errors import CatalogBusyError, SettingsError
from evidence_store.identifiers import StateCode
from storage import migrations
from storage.catalog import create_catalog, migrate, open_catalog
from storage.catalog.engine import engine_for

NOW = datetime(2026, 3, 14, tzinfo=UTC)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'catalog.db'}"
    found: str = request.getfixturevalue("postgresql_url")
    return found


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    found = engine_for(url, busy_seconds=5)
    yield found
    found.dispose()


def test_the_migrations_make_exactly_the_tables_that_the_code_uses(
    url: str, engine: Engine
) -> None:
    migrate(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []


def test_the_last_migration_is_the_one_that_opening_a_catalog_expects() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_current_head() == migrations.HEAD


def test_migrating_twice_changes_nothing(url: str) -> None:
    assert migrate(url) == (None, migrations.HEAD)
    assert migrate(url) == (migrations.HEAD, migrations.HEAD)


def test_tables_of_another_revision_are_refused_with_advice(url: str, engine: Engine) -> None:
    create_catalog(url, StateCode("SI"), "A", NOW).close()
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'older'"))
    with pytest.raises(SettingsError, match="migrate"):
        open_catalog(url)


def test_there_is_no_way_back_because_evidence_is_never_dropped() -> None:
    for script in (Path(migrations.__file__).parent / "versions").glob("*.py"):
        assert "drop_table" not in script.read_text()
        assert "def downgrade" not in script.read_text()


def test_sqlite_is_durable_private_and_checks_its_references(tmp_path: Path) -> None:
    file = tmp_path / "catalog.db"
    catalog = create_catalog(f"sqlite:///{file}", StateCode("SI"), "A", NOW)
    with catalog.engine.connect() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    catalog.close()
    assert found == ["wal", 2, 1]
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("url", ["mysql://localhost/x", "nonsense", "sqlite+nodriver:///x"])
def test_a_url_of_another_database_is_refused(url: str) -> None:
    with pytest.raises(SettingsError):
        open_catalog(url)


def test_a_damaged_database_file_is_named_as_such(tmp_path: Path) -> None:
    file = tmp_path / "catalog.db"
    file.write_bytes(b"this is no database, and never was one" * 100)
    with pytest.raises(SettingsError, match="damaged"):
        open_catalog(f"sqlite:///{file}")


def test_a_server_that_does_not_answer_means_try_again_without_showing_the_password() -> None:
    url = "postgresql://evidence:s3cret@127.0.0.1:1/none"
    with pytest.raises(CatalogBusyError) as raised:
        open_catalog(url, busy_seconds=0.1)
    assert "s3cret" not in str(raised.value)
