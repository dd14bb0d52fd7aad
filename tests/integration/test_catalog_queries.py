"""With a million items nothing the catalog does takes work in proportion to the whole.

Work is counted, not timed: SQLite's virtual machine instructions, PostgreSQL's rows. Both
also show their plans; every test of the contract suite does the latter for what it asks.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Connection, Engine, event, text

from evidence_store.digest import fingerprint
from evidence_store.identifiers import CaseId, DossierKind, Ern, ObjectName, PersonCode, Role
from evidence_store.item import SealedObject
from evidence_store.ports import CatalogReader, CatalogWriter
from storage.catalog import SqlCatalog, create_catalog
from tests.catalogs import NOW, SI, Filled
from tests.plans import Statements, assert_indexed, statements

ITEMS = 1_000_000
ITEMS_POSTGRESQL = 50_000
LAST = 1_000  # so many of the last items are in a case of their own
COLLECTOR = PersonCode(Role.COLLECTOR, 1)
FOUND = fingerprint([b"x"])
# A page of a hundred rows takes some ten thousand; a million rows could not be passed by.
INSTRUCTIONS_MAX = 200_000
ROWS_MAX = 1_500

Reads = dict[str, Callable[[CatalogReader, Filled], object]]
Writes = dict[str, Callable[[CatalogWriter, Filled], object]]


def middle(items: int) -> Ern:
    return Ern(SI, 2026, items // 2)


def reads(items: int) -> Reads:
    """Every way to read, in the middle of so many items."""
    ern, name = middle(items), ObjectName(f"{items // 2:032x}")
    digests = [fingerprint([b"%d" % number]).sha256 for number in range(100)]
    return {
        "whose it is": lambda reader, _: (reader.state(), reader.authority(), reader.is_exercise()),
        "cases": lambda reader, _: reader.cases(),
        "cases that an officer knows": lambda reader, _: reader.dossiers.cases_known(
            COLLECTOR, NOW, after="SI-CASE-0001"
        ),
        "ends of chains by tag": lambda reader, _: reader.dossiers.ends_tagged(
            DossierKind.REGISTRY, "entry", "officer/OFF-0001"
        ),
        "a case": lambda reader, _: reader.case(CaseId(SI, 1)),
        "a person": lambda reader, _: reader.person(COLLECTOR),
        "items": lambda reader, _: reader.items(after=str(ern)),
        "items by name": lambda reader, _: reader.items_listed([ern]),
        "items of a large case": lambda reader, _: reader.items(
            case_id=CaseId(SI, 1), after=str(ern)
        ),
        "items of a small case": lambda reader, _: reader.items(case_id=CaseId(SI, 2)),
        "an item": lambda reader, _: reader.item(ern),
        "the last item": lambda reader, _: reader.last_registered(),
        "versions of an item": lambda reader, _: reader.versions(ern),
        "everything held": lambda reader, _: reader.held(after=f"{ern}/1"),
        "items without versions": lambda reader, _: reader.without_versions(after=str(ern)),
        "claims": lambda reader, _: reader.claims(ern, 1),
        "versions by SHA-256": lambda reader, _: reader.versions_with(FOUND.sha256),
        "versions by BLAKE3": lambda reader, _: reader.versions_with(FOUND.blake3),
        "sources": lambda reader, _: reader.erns_of([digest.value for digest in digests]),
        "an object": lambda reader, _: reader.sealed(name),
        "objects by content": lambda reader, _: reader.sealed_with([*digests, FOUND.sha256]),
        "objects": lambda reader, _: reader.sealed_objects(after=name, limit=100),
        "objects of a key": lambda reader, _: reader.sealed_objects(
            recipient="age1", after=name, limit=100
        ),
        "objects of a rare key": lambda reader, _: reader.sealed_objects(
            recipient="age1rare", limit=100
        ),
        "keys": lambda reader, _: reader.recipients(),
    }


def writes(items: int) -> Writes:
    """Every way to write, in the middle of so many items. Nothing of it is kept."""
    ern, name = middle(items), ObjectName(f"{items // 2:032x}")
    own = SealedObject(ObjectName("f" * 32), FOUND, 33, b"", "age1")
    return {
        "a new case": lambda writer, _: writer.open_case("New", None, NOW),
        "a known person": lambda writer, _: writer.person_named(Role.COLLECTOR, "A. Novak"),
        "a code for a person": lambda writer, _: writer.next_person(Role.OFFICER),
        "a new person": lambda writer, _: writer.person_named(Role.WITNESS, "B"),
        "numbers": lambda writer, _: writer.allocate(2026, 100),
        "an item": lambda writer, filled: writer.add_items([filled.item(Ern(SI, 2027, 1))]),
        "void": lambda writer, _: writer.void(ern, "wrong"),
        "an object": lambda writer, _: writer.add_sealed([own]),
        "a new header": lambda writer, _: writer.rewrap(name, header=b"h", recipient="age2"),
        "a version": lambda writer, filled: (
            writer.add_sealed([own]),
            writer.add_versions([(filled.version(ern, own, 2), b"")]),
        ),
    }


def fill(catalog: SqlCatalog, items: int) -> None:
    """That many items, each with an object and a version, made by the database itself."""
    Filled(catalog)
    with catalog.write() as writer:
        writer.open_case("Small", None, NOW)
    sqlite = catalog.engine.dialect.name == "sqlite"
    numbers = (
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {items})"
        if sqlite
        else ""
    )
    source = "n" if sqlite else f"generate_series(1, {items}) AS n(i)"
    key = "'SI-2026-' || " + ("printf('%012d', i)" if sqlite else "lpad(i::text, 12, '0')")
    name = "printf('%032x', i)" if sqlite else "lpad(to_hex(i), 32, '0')"
    blob = "randomblob(32)" if sqlite else "decode(md5(i::text) || md5((i + 1)::text), 'hex')"
    at = "'2026-03-14 00:00:00.000000'" if sqlite else "TIMESTAMPTZ '2026-03-14 00:00:00Z'"
    no, empty = ("0", "x''") if sqlite else ("false", "''::bytea")
    case = f"CASE WHEN i > {items - LAST} THEN 'SI-000000000002' ELSE 'SI-000000000001' END"
    recipient = "CASE WHEN i / 100000 * 100000 = i THEN 'age1rare' ELSE 'age1' END"
    inserts = (
        "INSERT INTO item (ern_key, case_key, status, kind, collected_by, collected_at, method, place,"
        f" source, fields, registered_at, source_key) {numbers} SELECT {key}, {case}, 'registered',"
        f" 'photo', 'COL-000000000001', 'unknown', 'm', 'p', 's', '{{}}', {at}, {blob} FROM {source}",
        "INSERT INTO sealed_object (name, number, sha256, blake3, size_bytes, stored_bytes, header,"
        f" recipient) {numbers} SELECT {name}, i, {blob}, {blob}, 5, 37, {empty}, {recipient}"
        f" FROM {source}",
        "INSERT INTO version (ern_key, number, type, sha256, blake3, size_bytes, object_name,"
        f" media_type, added_at, name_mismatch, claims) {numbers} SELECT {key}, 1, 'original', {blob},"
        f" {blob}, 5, {name}, 'image/jpeg', {at}, {no}, {empty} FROM {source}",
    )
    with catalog.engine.connect() as connection:
        indexes = _set_aside_indexes(connection) if sqlite else []
        for statement in (*inserts, *indexes):
            connection.exec_driver_sql(statement)
        connection.commit()


def _set_aside_indexes(connection: Connection) -> list[str]:
    """Drop SQLite's indexes, and return what makes them again: at once that is far quicker."""
    found = connection.exec_driver_sql(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    ).all()
    for row in found:
        connection.exec_driver_sql(f"DROP INDEX {row.name}")
    return [str(row.sql) for row in found]


class Enough(Exception):  # noqa: N818 - no error: it ends a transaction of which nothing is kept
    """Raised to undo what was written."""


class Used:
    """Passes calls on, and remembers which methods were called."""

    def __init__(self, target: object, names: set[str]) -> None:
        self._target = target
        self._names = names

    def __getattr__(self, name: str) -> object:
        self._names.add(name)
        return getattr(self._target, name)


def test_every_way_to_read_and_write_is_examined_here(tmp_path: Path) -> None:
    used: set[str] = set()
    url = f"sqlite:///{tmp_path / 'catalog.db'}"
    with closing(create_catalog(url, SI, "A", NOW)) as catalog:
        filled = Filled(catalog)
        filled.add(10)
        for read in reads(10).values():
            with catalog.read() as reader:
                read(cast("CatalogReader", Used(reader, used)), filled)
        for write in writes(10).values():
            with suppress(Enough), catalog.write() as writer:
                write(cast("CatalogWriter", Used(writer, used)), filled)
                raise Enough
    for port in (CatalogReader, CatalogWriter):
        names = {name for name in vars(port) if not name.startswith("_")}
        assert (
            names - {"ledger", "dossiers", "fixity"} <= used
        )  # theirs are examined in tests/contract


def do_all(catalog: SqlCatalog, items: int, filled: Filled) -> Iterator[str]:
    """Read and write in every way, each in a transaction of its own, and say what was done."""
    for what, read in reads(items).items():
        with catalog.read() as reader:
            read(reader, filled)
        yield f"read {what}"
    for what, write in writes(items).items():
        with suppress(Enough), catalog.write() as writer:
            write(writer, filled)
            raise Enough
        yield f"write {what}"


# -------------------------------------------------------------------------- SQLite


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlCatalog]:
    """A million items, as they are without statistics, which nobody makes for SQLite."""
    folder = tmp_path_factory.mktemp("large")
    catalog = create_catalog(f"sqlite:///{folder / 'catalog.db'}", SI, "A", NOW)
    fill(catalog, ITEMS)
    yield catalog
    catalog.close()
    for path in folder.iterdir():
        path.unlink()


@pytest.fixture(scope="module", params=["without statistics", "with statistics"])
def planned(request: pytest.FixtureRequest, large: SqlCatalog) -> SqlCatalog:
    """The same, and then as it is when an administrator did."""
    if request.param == "with statistics":
        with large.engine.begin() as connection:
            connection.execute(text("PRAGMA analysis_limit = 1000"))
            connection.execute(text("ANALYZE"))
        large.engine.dispose()  # statistics are read when a database is opened
    return large


@contextmanager
def counted(engine: Engine) -> Iterator[Counter[str]]:
    """Counts, under the name "instructions", what SQLite's virtual machine executes, in hundreds."""
    count: Counter[str] = Counter()

    def connected(connection: sqlite3.Connection, _: object) -> None:
        def executed() -> int:
            count["instructions"] += 100
            return 0

        connection.set_progress_handler(executed, 100)

    engine.dispose()  # those that are open are not counted
    event.listen(engine, "connect", connected)
    yield count
    event.remove(engine, "connect", connected)
    engine.dispose()


@pytest.mark.slow
@pytest.mark.xdist_group("large-catalog")
def test_sqlite_reads_and_writes_by_index_with_a_million_items(planned: SqlCatalog) -> None:
    filled = _like_filled(planned)
    too_much = {}
    with statements(planned.engine) as seen, counted(planned.engine) as count:
        for what in do_all(planned, ITEMS, filled):
            if count["instructions"] > INSTRUCTIONS_MAX:
                too_much[what] = count["instructions"]
            count.clear()
    assert_indexed(planned.engine, seen)
    assert too_much == {}


@pytest.mark.slow
@pytest.mark.xdist_group("large-catalog")
def test_the_count_of_instructions_tells_a_scan(large: SqlCatalog) -> None:
    with counted(large.engine) as count, large.engine.connect() as connection:
        connection.execute(text("SELECT count(*) FROM item WHERE title = 'x'"))
        assert count["instructions"] > INSTRUCTIONS_MAX


def _like_filled(catalog: SqlCatalog) -> Filled:
    found = Filled.__new__(Filled)  # it was filled already
    found.catalog, found.collector, found.names = catalog, COLLECTOR, 0
    with catalog.read() as reader:
        found.case = reader.case(CaseId(SI, 1))
    return found


# ---------------------------------------------------------------------- PostgreSQL


def rows_passed(plan: dict[str, Any]) -> float:
    """How many rows the steps of an executed plan read, used or not."""
    loops = plan["Actual Loops"]
    own = sum(
        plan.get(name, 0)
        for name in ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    )
    return float(loops * own) + sum(rows_passed(each) for each in plan.get("Plans", ()))


def work(catalog: SqlCatalog, seen: Statements) -> dict[str, float]:
    """How many rows each statement passes by, run once more and undone."""
    found = {}
    with catalog.engine.connect() as connection:
        for statement, parameters in seen.items():
            explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"
            (plan,) = connection.exec_driver_sql(explain, parameters).scalar_one()
            found[statement] = rows_passed(plan["Plan"])
        connection.rollback()
    return found


@pytest.mark.postgresql
@pytest.mark.slow
def test_postgresql_reads_and_writes_by_index(postgresql_url: str) -> None:
    with closing(create_catalog(postgresql_url, SI, "A", NOW)) as catalog:
        fill(catalog, ITEMS_POSTGRESQL)
        with catalog.engine.begin() as connection:
            connection.execute(text("ANALYZE"))
        filled = _like_filled(catalog)
        with statements(catalog.engine) as seen:
            assert len(list(do_all(catalog, ITEMS_POSTGRESQL, filled))) > 20
        assert_indexed(catalog.engine, seen)
        assert {what: rows for what, rows in work(catalog, seen).items() if rows > ROWS_MAX} == {}
        scan: Statements = {"SELECT count(*) FROM item WHERE title = 'x'": None}
        assert max(work(catalog, scan).values()) > ROWS_MAX
