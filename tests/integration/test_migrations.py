"""The migrations make what the code declares, on both databases, from anywhere, all or nothing."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DatabaseError
from sqlmodel import SQLModel

from evidence_store.errors import CatalogBusyError, EvidenceError, SettingsError
from storage import migrations
from storage.catalog import create_catalog, migrate, open_catalog, revision_of
from storage.catalog.engine import engine_for, make_private, sqlite_file
from tests.catalogs import NOW, SI

# SQLite cannot tell what an index on an expression is of.
UNSEEN = pytest.mark.filterwarnings("ignore:.*expression-based index .?ix_leaf_tag")


@pytest.fixture
def engine(catalog_url: str) -> Iterator[Engine]:
    """What looks at the tables past the catalog."""
    file = sqlite_file(catalog_url)
    if file is not None:
        make_private(file)
    found = engine_for(catalog_url, busy_seconds=5)
    yield found
    found.dispose()


@UNSEEN
def test_the_migrations_make_exactly_the_tables_that_the_code_uses(
    catalog_url: str, engine: Engine
) -> None:
    migrate(catalog_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []


@UNSEEN
def test_a_table_that_no_migration_makes_is_noticed(catalog_url: str, engine: Engine) -> None:
    migrate(catalog_url)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE item RENAME COLUMN place TO location"))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) != []


def test_the_last_migration_is_the_one_that_opening_a_catalog_expects() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_current_head() == migrations.HEAD


def test_migrating_works_from_any_folder_and_twice_changes_nothing(
    catalog_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert revision_of(catalog_url) is None
    assert migrate(catalog_url) == (None, migrations.HEAD)
    assert migrate(catalog_url) == (migrations.HEAD, migrations.HEAD)
    assert revision_of(catalog_url) == migrations.HEAD


def test_a_migration_that_fails_leaves_everything_as_it_was(
    catalog_url: str, engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE version (in_the_way INTEGER)"))  # made last
    with pytest.raises(EvidenceError):
        create_catalog(catalog_url, SI, "A", NOW)
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["version"]
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE version"))
    create_catalog(catalog_url, SI, "A", NOW).close()


def test_tables_of_another_revision_are_refused_with_advice(
    catalog_url: str, engine: Engine
) -> None:
    create_catalog(catalog_url, SI, "A", NOW).close()
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'other'"))
    with pytest.raises(SettingsError, match="migrate"):
        open_catalog(catalog_url)
    with pytest.raises(SettingsError, match="newest"):
        migrate(catalog_url)
    assert revision_of(catalog_url) == "other"


def test_there_is_no_way_back_because_evidence_is_never_dropped() -> None:
    scripts = list((Path(migrations.__file__).parent / "versions").glob("*.py"))
    assert scripts
    for script in scripts:
        text_of = script.read_text()
        # What SQLite cannot alter moves to a new table, every row of it, and nothing else goes.
        assert text_of.count("drop_table(") == text_of.count("INSERT INTO {table}_new")
        assert "def downgrade" not in text_of


def test_events_from_before_dossiers_are_all_there_afterwards(
    catalog_url: str, engine: Engine
) -> None:
    with engine.begin() as connection:
        _upgrade_to(connection, "0002")
        for statement in (
            "INSERT INTO case_file (case_key, title, opened_at) VALUES ('SI-000000000001', 't', '2026-01-01')",
            "INSERT INTO person (code_key, role, name) VALUES ('COL-000000000001', 'COL', 'n')",
            "INSERT INTO item (ern_key, case_key, status, kind, collected_by, collected_at, method, place, "
            "source, fields, registered_at) VALUES ('SI-2026-000000000001', 'SI-000000000001', "
            "'registered', 'photo', 'COL-000000000001', 'unknown', 'm', 'p', 's', '{}', '2026-01-01')",
            "INSERT INTO chain (ern_key, item_key, seq, head) VALUES ('SI-2026-000000000001', '1', 2, '2')",
            "INSERT INTO event (ern_key, seq, act, kid, recorded_at, commitment, body, signature, disclosures) "
            "VALUES ('SI-2026-000000000001', 1, 'registered', 'k', '2026-01-01', '1', 'b', 's', ''), "
            "('SI-2026-000000000001', 2, 'sealed', 'k', '2026-01-01', '2', 'c', 't', '')",
        ):
            connection.execute(text(statement))
    migrate(catalog_url)
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT subject_key, seq, act FROM event ORDER BY seq")
        ).all()
        chains = connection.execute(text("SELECT subject_key, seq FROM chain")).all()
    assert [tuple(row) for row in found] == [
        ("SI-2026-000000000001", 1, "registered"),
        ("SI-2026-000000000001", 2, "sealed"),
    ]
    assert [tuple(row) for row in chains] == [("SI-2026-000000000001", 2)]
    for statement in ("UPDATE event SET act = 'x'", "DELETE FROM event"):
        with pytest.raises(DatabaseError), engine.begin() as connection:
            connection.execute(text(statement))


def test_transfers_from_before_are_listed_for_both_their_sides(
    catalog_url: str, engine: Engine
) -> None:
    document = json.dumps({"from": {"authority": "a", "person": "A"}, "to": {"authority": "b"}})
    with engine.begin() as connection:
        _upgrade_to(connection, "0006")
        connection.execute(
            text(
                "INSERT INTO transfer (transfer_key, document, made_at) VALUES ('k', :d, '2026-01-01')"
            ),
            {"d": document.encode()},
        )
    migrate(catalog_url)
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT authority, transfer_key FROM transfer_side ORDER BY authority")
        ).all()
    assert [tuple(row) for row in found] == [("a", "k"), ("b", "k")]


def _upgrade_to(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


@pytest.mark.postgresql
def test_postgresql_compares_text_by_its_bytes_whatever_its_language(postgresql_url: str) -> None:
    create_catalog(postgresql_url, SI, "A", NOW).close()
    engine = engine_for(postgresql_url, busy_seconds=5)
    with engine.connect() as connection:
        found = connection.execute(
            text(
                "SELECT table_name, column_name, collation_name FROM information_schema.columns "
                "WHERE table_schema = 'public' AND table_name <> 'alembic_version' "
                "AND data_type IN ('text', 'character varying')"
            )
        ).all()
    engine.dispose()
    assert {row.collation_name for row in found} == {"C"}
    assert ("sealed_object", "name") in {(row.table_name, row.column_name) for row in found}


def test_sqlite_is_durable_private_and_checks_its_references(tmp_path: Path) -> None:
    file = tmp_path / "catalog.db"
    catalog = create_catalog(f"sqlite:///{file}", SI, "A", NOW)
    with catalog.engine.connect() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    catalog.close()
    assert found == ["wal", 2, 1]
    assert modes["catalog.db"] == 0o600
    assert set(modes.values()) == {0o600}  # its journal, too, holds what officers stated


@pytest.mark.parametrize("name", ["with space", "100%25", "a?b", "ä#c"])
def test_an_sqlite_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    url = f"sqlite:///{tmp_path}/{name.replace('?', '')}.db"
    create_catalog(url, SI, "A", NOW).close()
    assert sqlite_file(url) in set(tmp_path.iterdir())
    open_catalog(url).close()


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:s3cret@localhost/x",
        "s3cret",
        "sqlite+nodriver:///x",
        "sqlite+aiosqlite:///x",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x?uri=true",
        "postgresql+asyncpg://u:s3cret@127.0.0.1:1/x",
        "postgresql://u:s3cret@127.0.0.1:port/x",
    ],
)
def test_a_url_of_another_database_is_refused_without_showing_it(url: str) -> None:
    for attempt in (open_catalog, migrate, lambda url: create_catalog(url, SI, "A", NOW)):
        with pytest.raises(SettingsError) as raised:
            attempt(url)
        assert "s3cret" not in str(raised.value)


def test_a_folder_that_is_not_there_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        create_catalog(f"sqlite:///{tmp_path}/none/catalog.db", SI, "A", NOW)


def test_a_server_that_does_not_answer_means_try_again_without_showing_the_password() -> None:
    for scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        url = f"{scheme}://evidence:s3cret@127.0.0.1:1/none"
        with pytest.raises(CatalogBusyError) as raised:
            open_catalog(url, busy_seconds=0.1)
        assert "s3cret" not in str(raised.value)


@pytest.mark.postgresql
def test_options_in_a_postgresql_url_stay_in_force(postgresql_url: str) -> None:
    engine = engine_for(f"{postgresql_url}&options=-c%20work_mem%3D7MB", busy_seconds=3)
    with engine.connect() as connection:
        found = [
            connection.execute(text(f"SHOW {name}")).scalar()
            for name in ("work_mem", "lock_timeout", "timezone")
        ]
    engine.dispose()
    assert found == ["7MB", "3s", "UTC"]
