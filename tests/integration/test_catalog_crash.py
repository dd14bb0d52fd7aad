"""What is left of the catalog when a process, a connection, a disk or a file fails it."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import event, text

from evidence_store.errors import CatalogBusyError, DamagedError, NoSpaceError, SettingsError
from evidence_store.identifiers import Role
from storage.catalog import SqlCatalog, create_catalog, group_commit, open_catalog, revision_of
from storage.catalog.engine import sqlite_file
from tests.catalogs import NOW, SI, Filled
from tests.queues import queue

ROOT = Path(__file__).parents[2]
BATCH = 20
# A transaction so large that SQLite has to write a part of it before its end.
IN_THE_MIDDLE = """
import sys, time
from storage.catalog import open_catalog
from tests.catalogs import Filled
filled = Filled(open_catalog(sys.argv[1]))
filled.add(20)
with filled.catalog.write() as writer:
    erns = writer.allocate(2026, 10_000)
    objects = [filled.sealed(filled.fresh(ern)) for ern in erns]
    writer.add_items([filled.item(ern) for ern in erns])
    writer.add_sealed(objects)
    writer.add_versions([(filled.version(*each), bytes(2000)) for each in zip(erns, objects)])
    print("in the middle", flush=True)
    time.sleep(60)
"""
BATCH_AFTER_BATCH = """
import sys
from storage.catalog import open_catalog
from tests.catalogs import Filled
filled = Filled(open_catalog(sys.argv[1]))
while True:
    print(*[ern.serial for ern in filled.add(20)], flush=True)
"""


@contextmanager
def another_process(program: str, url: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(  # noqa: S603 - this very Python, with our own program
        [sys.executable, "-c", program, url],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def is_whole(catalog: SqlCatalog) -> None:
    """No page is damaged and nothing refers to what is not there."""
    if catalog.engine.dialect.name == "sqlite":
        with catalog.engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []


def serials(catalog: SqlCatalog) -> list[int]:
    """The serial of every item, insisting that each has its version and object."""
    found: list[int] = []
    after = None
    with catalog.read() as reader:
        while True:
            page = reader.items(after=after, limit=1000)
            for item in page.entries:
                (version,) = reader.versions(item.ern)
                assert reader.sealed(version.object_name).fingerprint == version.fingerprint
                found.append(item.ern.serial)
            after = page.after
            if after is None:
                return found


@pytest.fixture
def url(catalog_url: str) -> str:
    create_catalog(catalog_url, SI, "A", NOW).close()
    return catalog_url


@pytest.mark.slow
def test_kill_9_in_the_middle_of_a_transaction_leaves_nothing_of_it(url: str) -> None:
    with another_process(IN_THE_MIDDLE, url) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in the middle\n"
        process.send_signal(signal.SIGKILL)
        assert process.wait(timeout=10) == -signal.SIGKILL
    with closing(open_catalog(url, busy_seconds=5)) as catalog:
        is_whole(catalog)
        assert serials(catalog) == list(range(1, BATCH + 1))
        with catalog.write() as writer:  # the dead one holds no lock, and used no number
            assert [ern.serial for ern in writer.allocate(2026, 1)] == [BATCH + 1]


@pytest.mark.slow
@pytest.mark.parametrize("batches", [1, 4])
def test_kill_9_between_batches_loses_nothing_that_was_acknowledged(url: str, batches: int) -> None:
    with another_process(BATCH_AFTER_BATCH, url) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(batches)]
        time.sleep(0.01 * batches)  # somewhere in a later batch
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().splitlines()
        assert process.wait(timeout=10) == -signal.SIGKILL
    acknowledged = [int(serial) for line in lines for serial in line.split()]
    with closing(open_catalog(url, busy_seconds=5)) as catalog:
        is_whole(catalog)
        found = serials(catalog)
    assert found == list(range(1, len(found) + 1))
    assert set(acknowledged) <= set(found)
    assert len(found) - len(acknowledged) in {0, BATCH}  # no answer is not the same as no


@pytest.mark.postgresql
def test_a_connection_that_is_cut_in_a_transaction_means_try_again(postgresql_url: str) -> None:
    with closing(create_catalog(postgresql_url, SI, "A", NOW, busy_seconds=5)) as catalog:
        filled = Filled(catalog)

        def cut() -> None:
            with catalog.write() as writer:
                writer.open_case("Cut off", None, NOW)
                with psycopg.connect(postgresql_url, autocommit=True) as other:
                    other.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
                writer.person_named(Role.WITNESS, "B")

        with pytest.raises(CatalogBusyError):
            cut()
        assert filled.counts() == (1, 0, 0, 0)
        filled.add(1)
        assert filled.counts() == (1, 1, 1, 1)


def test_a_full_disk_ends_the_transaction_and_nothing_else(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'catalog.db'}"
    with closing(create_catalog(url, SI, "A", NOW)) as catalog:
        filled = Filled(catalog)
        filled.add(10)
        catalog.close()

        def small(connection: sqlite3.Connection, _: object) -> None:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages + 20}").close()

        event.listen(catalog.engine, "connect", small)
        with pytest.raises(NoSpaceError):
            filled.add(2000)
        assert filled.counts() == (1, 10, 10, 10)
        is_whole(catalog)
        event.remove(catalog.engine, "connect", small)
        catalog.close()
        assert [ern.serial for ern in filled.add(1)] == [11]


def test_a_full_disk_in_a_shared_transaction_keeps_what_was_acknowledged_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "OPEN_SECONDS_MAX", 60.0)
    url = f"sqlite:///{tmp_path / 'catalog.db'}"
    with closing(create_catalog(url, SI, "A", NOW)) as catalog:
        filled = Filled(catalog)
        catalog.close()

        def small(connection: sqlite3.Connection, _: object) -> None:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages + 20}").close()

        def add(count: int) -> list[int]:
            with catalog.act() as writer:
                erns = list(writer.allocate(2026, count))
                objects = [filled.sealed(filled.fresh(ern)) for ern in erns]
                writer.add_items([filled.item(ern) for ern in erns])
                writer.add_sealed(objects)
                writer.add_versions(
                    [(filled.version(*each), b"") for each in zip(erns, objects, strict=True)]
                )
            return [ern.serial for ern in erns]

        event.listen(catalog.engine, "connect", small)
        with queue(catalog) as line:
            waiting = [line.come(add, count) for count in (1, 2000, 1)]
        acknowledged = [
            serial
            for each in waiting
            if not isinstance(each.exception(60), (NoSpaceError, CatalogBusyError))
            for serial in each.result()
        ]
        assert isinstance(waiting[1].exception(), NoSpaceError)
        assert serials(catalog) == acknowledged
        is_whole(catalog)
        event.remove(catalog.engine, "connect", small)
        catalog.close()
        assert len(filled.add(1)) == 1


def test_a_file_that_is_no_database_is_named_as_damaged_and_left(tmp_path: Path) -> None:
    file = tmp_path / "catalog.db"
    content = b"this is no database, and never was one" * 100
    file.write_bytes(content)
    for attempt in (open_catalog, revision_of, lambda url: create_catalog(url, SI, "A", NOW)):
        with pytest.raises(DamagedError):
            attempt(f"sqlite:///{file}")
    assert file.read_bytes() == content


def test_a_damaged_page_is_named_when_it_is_met(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'catalog.db'}"
    with closing(create_catalog(url, SI, "A", NOW)) as catalog:
        filled = Filled(catalog)
        filled.add(300)
        with catalog.engine.connect() as connection:
            root = connection.execute(
                text("SELECT rootpage FROM sqlite_master WHERE name = 'sealed_object'")
            ).scalar_one()
    file = sqlite_file(url)
    assert file is not None
    with file.open("r+b") as database:
        database.seek((root - 1) * 4096)
        database.write(b"\xff" * 4096)
    with closing(open_catalog(url)) as catalog:
        with catalog.read() as reader:
            assert len(reader.items().entries) == 100
            with pytest.raises(DamagedError):
                reader.sealed_objects()
        filled.catalog = catalog
        with pytest.raises(DamagedError):
            filled.add(1)


def test_a_file_that_is_taken_away_is_not_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "catalog.db"
    with closing(create_catalog(f"sqlite:///{file}", SI, "A", NOW)) as catalog:
        catalog.close()
        file.unlink()
        with pytest.raises(SettingsError), catalog.read() as reader:
            reader.state()
    assert not file.exists()


def test_a_catalog_that_another_program_locks_whole_means_try_again(tmp_path: Path) -> None:
    file = tmp_path / "catalog.db"
    url = f"sqlite:///{file}"
    with closing(create_catalog(url, SI, "A", NOW, busy_seconds=0.2)) as catalog:
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(CatalogBusyError), catalog.write():
                pytest.fail("two writers at once")
        with catalog.write() as writer:
            writer.person_named(Role.WITNESS, "B")
