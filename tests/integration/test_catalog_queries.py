"""No query of the catalog looks at a whole table, whatever its size: the databases' own plans."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from evidence_store.digest import fingerprint
from evidence_store.identifiers import CaseId, Ern, ObjectName, PersonCode, Role, StateCode
from evidence_store.ports import CatalogReader
from storage.catalog import SqlCatalog, create_catalog

NOW = datetime(2026, 3, 14, tzinfo=UTC)
ITEMS = 1_000_000
FOUND = fingerprint([b"x"])


def reads(items: int) -> dict[str, Callable[[CatalogReader], object]]:
    """Every way to read, in the middle of so many items."""
    middle = Ern(StateCode("SI"), 2026, items // 2)
    name = ObjectName(f"{items // 2:032x}")
    return {
        "cases": lambda reader: reader.cases(),
        "a case": lambda reader: reader.case(CaseId(StateCode("SI"), 1)),
        "items": lambda reader: reader.items(after=str(middle)),
        "items of a case": lambda reader: reader.items(
            case_id=CaseId(StateCode("SI"), 1), after=str(middle)
        ),
        "an item": lambda reader: reader.item(middle),
        "versions of an item": lambda reader: reader.versions(middle),
        "everything held": lambda reader: reader.held(after=f"{middle}/1"),
        "claims": lambda reader: reader.claims(middle, 1),
        "versions by SHA-256": lambda reader: reader.versions_with(FOUND.sha256),
        "versions by BLAKE3": lambda reader: reader.versions_with(FOUND.blake3),
        "sources": lambda reader: reader.erns_of([bytes(32)] * 100),
        "an object": lambda reader: reader.sealed(name),
        "objects by content": lambda reader: reader.sealed_with([FOUND.sha256]),
        "objects": lambda reader: reader.sealed_objects(after=name),
        "objects of a key": lambda reader: reader.sealed_objects(recipient="age1", after=name),
        "keys": lambda reader: reader.recipients(),
        "the last item": lambda reader: reader.last_registered(),
        "a person": lambda reader: reader.person(PersonCode(Role.COLLECTOR, 1)),
    }


@contextmanager
def statements(catalog: SqlCatalog) -> Iterator[list[tuple[str, Any]]]:
    """Every statement that is executed meanwhile, with its parameters."""
    seen: list[tuple[str, Any]] = []

    def executed(
        _: Connection, __: object, statement: str, parameters: object, *___: object
    ) -> None:
        seen.append((statement, parameters))

    event.listen(catalog.engine, "before_cursor_execute", executed)
    yield seen
    event.remove(catalog.engine, "before_cursor_execute", executed)


def fill(catalog: SqlCatalog, items: int) -> None:
    """That many items, each with an object and a version, made by the database itself."""
    with catalog.write() as writer:
        for number in range(1000):
            writer.open_case(f"Case {number}", None, NOW)
        writer.person_named(Role.COLLECTOR, "A")
    sqlite = catalog.engine.dialect.name == "sqlite"
    numbers = (
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {items}) "
        if sqlite
        else ""
    )
    source = "n" if sqlite else f"generate_series(1, {items}) AS n(i)"
    key = "'SI-2026-' || " + ("printf('%012d', i)" if sqlite else "lpad(i::text, 12, '0')")
    name = "printf('%032x', i)" if sqlite else "lpad(to_hex(i), 32, '0')"
    blob = "randomblob(32)" if sqlite else "decode(md5(i::text) || md5((i + 1)::text), 'hex')"
    at = "'2026-03-14 00:00:00.000000'" if sqlite else "TIMESTAMPTZ '2026-03-14 00:00:00Z'"
    no = "0" if sqlite else "false"
    empty = "x''" if sqlite else "''::bytea"
    inserts = (
        "INSERT INTO item (ern_key, case_key, status, kind, collected_by, collected_at, method, place,"
        f" source, fields, registered_at, source_key) {numbers} SELECT {key}, 'SI-000000000001',"
        " 'registered', 'photo', 'COL-000000000001', 'unknown', 'm', 'p', 's', '{}', "
        f"{at}, {blob} FROM {source}",
        "INSERT INTO sealed_object (name, number, sha256, blake3, size_bytes, stored_bytes, header,"
        f" recipient) {numbers} SELECT {name}, i, {blob}, {blob}, 5, 37, {empty}, 'age1' FROM {source}",
        "INSERT INTO version (ern_key, number, type, sha256, blake3, size_bytes, object_name,"
        f" media_type, added_at, name_mismatch, claims) {numbers} SELECT {key}, 1, 'original', {blob},"
        f" {blob}, 5, {name}, 'image/jpeg', {at}, {no}, {empty} FROM {source}",
    )
    with catalog.engine.begin() as connection:
        for statement in inserts:
            connection.execute(
                text(statement.replace(":text", r"\:text").replace(":bytea", r"\:bytea"))
            )
    with catalog.engine.begin() as connection:
        connection.execute(text("ANALYZE"))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlCatalog]:
    file = tmp_path_factory.mktemp("large") / "catalog.db"
    catalog = create_catalog(f"sqlite:///{file}", StateCode("SI"), "A", NOW)
    fill(catalog, ITEMS)
    yield catalog
    catalog.close()
    for path in Path(file.parent).iterdir():
        path.unlink()


@pytest.mark.slow
@pytest.mark.xdist_group("large-catalog")
@pytest.mark.parametrize("what", reads(ITEMS))
def test_sqlite_answers_from_an_index_with_a_million_items(large: SqlCatalog, what: str) -> None:
    with large.read() as reader:
        read = reads(ITEMS)[what]
        read(reader)  # so that opening and preparing are not timed
        with statements(large) as seen:
            started = time.perf_counter()
            read(reader)
            seconds = time.perf_counter() - started
    assert seen
    for statement, parameters in seen:
        with large.engine.connect() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            steps = [str(row[3]) for row in plan]
        scans = [step for step in steps if re.match(r"SCAN (\w+)$", step)]
        sorts = [step for step in steps if "TEMP B-TREE" in step]
        assert not scans, (statement, steps)
        assert not sorts, (statement, steps)
    # Not a benchmark: a scan of a million rows takes a hundred times as long.
    assert seconds < 2


@pytest.mark.postgresql
@pytest.mark.slow
def test_postgresql_answers_from_an_index(postgresql_url: str) -> None:
    catalog = create_catalog(postgresql_url, StateCode("SI"), "A", NOW)
    fill(catalog, 50_000)
    with catalog.read() as reader, statements(catalog) as seen:
        for read in reads(50_000).values():
            read(reader)
    assert len(seen) >= len(reads(50_000))
    with catalog.engine.connect() as connection:
        for statement, parameters in seen:
            if not statement.startswith("SELECT"):
                continue
            plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
            steps = "\n".join(str(row[0]) for row in plan)
            # Tables of a few rows may be read whole: that is less work than their index.
            assert not re.search(r"Seq Scan on (item|version|sealed_object)", steps), steps
    catalog.close()
