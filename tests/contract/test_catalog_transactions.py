"""One suite for every catalog: all or nothing, one writer at a time, and errors that say little."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import text

from evidence_store.digest import fingerprint
from evidence_store.errors import (
    CatalogBusyError,
    ConflictError,
    EvidenceError,
    FixityError,
    MalformedError,
    SettingsError,
)
from evidence_store.identifiers import Ern, Role, StateCode
from evidence_store.ports import CatalogReader
from storage.catalog import SqlCatalog, create_catalog, open_catalog
from storage.catalog.engine import sqlite_file
from tests.catalogs import NOW, Filled

ROOT = Path(__file__).parents[2]
ALLOCATE = """
import sys
from storage.catalog import open_catalog
catalog = open_catalog(sys.argv[1], busy_seconds=30)
for _ in range(15):
    with catalog.write() as writer:
        serials = [ern.serial for ern in writer.allocate(2026, 3)]
    print(*serials)
catalog.close()
"""


# ----------------------------------------------------------------------- whose it is


def test_a_catalog_belongs_to_one_state_for_ever(catalog: SqlCatalog, catalog_url: str) -> None:
    with pytest.raises(ConflictError):
        create_catalog(catalog_url, StateCode("HR"), "Other", NOW)
    with catalog.read() as reader:
        assert reader.state() == StateCode("SI")


def test_of_two_who_create_a_catalog_at_the_same_time_one_gets_it(catalog_url: str) -> None:
    def create(state: str) -> str | None:
        try:
            create_catalog(catalog_url, StateCode(state), state, NOW).close()
        except (ConflictError, CatalogBusyError):
            return None
        return state

    with ThreadPoolExecutor(2) as pool:
        winners = [state for state in pool.map(create, ["SI", "HR"]) if state is not None]
    assert len(winners) == 1
    with closing(open_catalog(catalog_url)) as catalog, catalog.read() as reader:
        assert reader.authority() == winners[0]


def test_a_catalog_that_is_not_there_says_how_to_make_one_and_is_not_made(
    catalog_url: str,
) -> None:
    for _ in range(2):
        with pytest.raises(SettingsError, match="init"):
            open_catalog(catalog_url)
    file = sqlite_file(catalog_url)
    assert file is None or not file.exists()


# -------------------------------------------------------------------- all or nothing


def test_a_transaction_that_fails_leaves_nothing_not_even_its_numbers(filled: Filled) -> None:
    def failing() -> None:
        with filled.catalog.write() as writer:
            (ern,) = writer.allocate(2026, 1)
            sealed = filled.sealed(fingerprint([b"x"]))
            writer.open_case("Another", None, NOW)
            writer.add_items([filled.item(ern)])
            writer.add_sealed([sealed])
            writer.add_versions([(filled.version(ern, sealed), b"")])
            raise MalformedError("the caller changed its mind")

    with pytest.raises(MalformedError):
        failing()
    assert filled.counts() == (1, 0, 0, 0)
    assert [str(ern) for ern in filled.add(1)] == ["SI-2026-000001"]


def test_a_batch_of_which_one_entry_is_refused_leaves_nothing(filled: Filled) -> None:
    (taken,) = filled.add(1)
    fresh = [Ern(taken.state, 2026, serial) for serial in (7, 8)]
    with pytest.raises(ConflictError), filled.catalog.write() as writer:
        writer.add_items([filled.item(ern) for ern in (fresh[0], taken, fresh[1])])
    assert filled.counts() == (1, 1, 1, 1)


def test_a_refusal_is_ours_within_the_transaction_and_cannot_be_passed_over(
    filled: Filled,
) -> None:
    caught: list[EvidenceError] = []

    def passing_over() -> None:
        with filled.catalog.write() as writer:
            writer.open_case("Before", None, NOW)
            try:
                writer.open_case("Refused", "Kt/1", NOW)
            except ConflictError as error:
                caught.append(error)

    with pytest.raises(ConflictError):
        passing_over()
    assert len(caught) == 1
    assert filled.counts() == (1, 0, 0, 0)


def test_a_writer_sees_what_it_wrote(filled: Filled) -> None:
    with filled.catalog.write() as writer:
        (ern,) = writer.allocate(2026, 1)
        writer.add_items([filled.item(ern, key=b"k" * 32)])
        assert writer.item(ern).ern == ern
        assert writer.erns_of([b"k" * 32]) == {b"k" * 32: ern}


def test_a_reader_sees_the_catalog_as_it_was_when_it_began(filled: Filled) -> None:
    (ern,) = filled.add(1)
    with filled.catalog.read() as reader:
        assert len(reader.items().entries) == 1
        filled.add(1)
        with filled.catalog.write() as writer:
            writer.void(ern, "meanwhile")
        assert [item.status_reason for item in reader.items().entries] == [None]
    with filled.catalog.read() as reader:
        assert [item.status_reason for item in reader.items().entries] == ["meanwhile", None]


# ------------------------------------------------------------- one writer at a time


def test_no_number_is_given_out_twice_to_threads_at_the_same_time(filled: Filled) -> None:
    def allocate(_: int) -> list[Ern]:
        with filled.catalog.write() as writer:
            return list(writer.allocate(2026, 3))

    with ThreadPoolExecutor(4) as pool:
        batches = list(pool.map(allocate, range(20)))
    assert all(batch[-1].serial - batch[0].serial == 2 for batch in batches)
    assert sorted(ern.serial for batch in batches for ern in batch) == list(range(1, 61))


@pytest.mark.slow
def test_no_number_is_given_out_twice_to_processes_at_the_same_time(
    catalog: SqlCatalog, catalog_url: str
) -> None:
    catalog.close()
    processes = [
        subprocess.Popen(  # noqa: S603 - this very Python, with our own program
            [sys.executable, "-c", ALLOCATE, catalog_url],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    lines = [line for each in processes for line in each.communicate(timeout=120)[0].splitlines()]
    assert [each.returncode for each in processes] == [0] * 4
    batches = [[int(serial) for serial in line.split()] for line in lines]
    assert all(batch == list(range(batch[0], batch[0] + 3)) for batch in batches)
    assert sorted(serial for batch in batches for serial in batch) == list(range(1, 181))


def test_a_second_writer_waits_and_then_gives_up_with_try_again(
    filled: Filled, catalog_url: str
) -> None:
    impatient = open_catalog(catalog_url, busy_seconds=0.2)
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with filled.catalog.write():
            entered.set()
            leave.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait(10)
    started = time.monotonic()
    try:
        with pytest.raises(CatalogBusyError), impatient.write():
            pytest.fail("two writers at once")
        assert 0.1 < time.monotonic() - started < 10
        with impatient.read() as reader:
            assert reader.state() == StateCode("SI")  # readers never wait
    finally:
        leave.set()
        holder.join()
    with impatient.write() as writer:
        assert len(writer.allocate(2026, 1)) == 1
    impatient.close()


def test_more_readers_than_connections_are_told_to_try_again(
    catalog: SqlCatalog, catalog_url: str
) -> None:
    catalog.close()
    with closing(open_catalog(catalog_url, busy_seconds=0.2)) as impatient:

        def read_a_hundred_times_at_once() -> None:
            with ExitStack() as readers:
                for _ in range(100):
                    readers.enter_context(impatient.read()).state()

        started = time.monotonic()
        with pytest.raises(CatalogBusyError):
            read_a_hundred_times_at_once()
        assert time.monotonic() - started < 2.5
        with impatient.read() as reader:
            assert reader.state() == StateCode("SI")


# --------------------------------------------------------------------------- errors


def test_errors_hold_no_statement_and_no_value(filled: Filled) -> None:
    secret = "WITNESS-NAME"  # noqa: S105 - what must not be shown
    with filled.catalog.write() as writer:
        writer.open_case(secret, secret, NOW)
    with pytest.raises(EvidenceError) as raised, filled.catalog.write() as writer:
        writer.open_case(secret, secret, NOW)
    assert secret not in str(raised.value)
    assert "INSERT" not in str(raised.value).upper()
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


ALTERATIONS: dict[str, tuple[str, Callable[[CatalogReader, Ern], object]]] = {
    "a status": ("UPDATE item SET status = 'x'", lambda reader, ern: reader.item(ern)),
    "a time": ("UPDATE item SET collected_at = '1'", lambda reader, _: reader.items()),
    "fields": ("UPDATE item SET fields = '{'", lambda reader, _: reader.last_registered()),
    "terms": ("UPDATE item SET terms = '{}'", lambda reader, ern: reader.item(ern)),
    "a number": ("UPDATE version SET number = -1", lambda reader, ern: reader.versions(ern)),
    "a type": ("UPDATE version SET type = 'redacted'", lambda reader, _: reader.held()),
    "a size": ("UPDATE sealed_object SET size_bytes = -1", lambda reader, _: reader.held()),
    "a person": (
        "UPDATE person SET name = ' '",
        lambda reader, ern: reader.person(reader.item(ern).asserted.collected_by),
    ),
    "a case": ("UPDATE case_file SET title = ''", lambda reader, _: reader.cases()),
    "a State": ("UPDATE installation SET state = 'x'", lambda reader, _: reader.state()),
}


def by_hand(url: str, statement: str) -> None:
    """Do what an administrator of the database can, past the catalog."""
    with closing(open_catalog(url)) as other, other.engine.begin() as connection:
        connection.execute(text(statement))


@pytest.mark.parametrize("what", ALTERATIONS)
def test_an_entry_that_was_altered_by_hand_is_refused(
    filled: Filled, catalog_url: str, what: str
) -> None:
    statement, read = ALTERATIONS[what]
    (ern,) = filled.add(1)
    by_hand(catalog_url, statement)
    with filled.catalog.read() as reader, pytest.raises(FixityError):
        read(reader, ern)


def test_tables_that_are_missing_are_no_reason_to_try_again(
    filled: Filled, catalog_url: str
) -> None:
    by_hand(catalog_url, "ALTER TABLE person RENAME TO somebody")
    with filled.catalog.read() as reader, pytest.raises(SettingsError):
        reader.person(filled.collector)
    with pytest.raises(SettingsError), filled.catalog.write() as writer:
        writer.person_named(Role.WITNESS, "B")
    by_hand(catalog_url, "ALTER TABLE somebody RENAME TO person")
