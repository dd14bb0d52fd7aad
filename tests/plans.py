"""Statements as the product makes them, and the databases' own plans for them.

`assert_indexed` holds for a table of any size: SQLite plans without looking at how
many rows there are, and PostgreSQL is told to avoid a scan of a table if it can.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from sqlalchemy import Connection, Engine, event

from storage.catalog.prepared import Prepared, Values

Parameters = Mapping[str, Any] | Sequence[Any] | None
Statements = dict[str, Parameters]


@contextmanager
def statements(engine: Engine) -> Iterator[Statements]:
    """Every statement that looks rows up meanwhile, each once, with parameters it had."""
    seen: Statements = {}

    def executed(
        _: Connection, __: object, statement: str, parameters: Parameters, *___: object
    ) -> None:
        if re.match(r"SELECT .*\bFROM\b|UPDATE|DELETE", statement, re.DOTALL):
            seen[statement] = parameters[0] if isinstance(parameters, list) else parameters

    rows, run = Prepared.rows, Prepared.run

    def asked(self: Prepared, connection: Connection, values: Values) -> Iterator[Any]:
        executed(connection, None, *self.spelled(connection.dialect, values))
        return rows(self, connection, values)

    def told(self: Prepared, connection: Connection, each: Sequence[Values]) -> int:
        executed(connection, None, *self.spelled(connection.dialect, each[0]))
        return run(self, connection, each)

    event.listen(engine, "before_cursor_execute", executed)
    try:
        # What is given to the driver as it is never comes by SQLAlchemy's events.
        with patch.object(Prepared, "rows", asked), patch.object(Prepared, "run", told):
            yield seen
    finally:
        event.remove(engine, "before_cursor_execute", executed)


def assert_indexed(engine: Engine, seen: Statements) -> None:
    """Insist that every statement goes by an index, and that none sorts what it found."""
    steps_of = _sqlite_faults if engine.dialect.name == "sqlite" else _postgresql_faults
    faults = {}
    with engine.connect() as connection:
        for statement, parameters in seen.items():
            found = steps_of(connection, statement, parameters)
            if found:
                faults[statement] = found
    assert not faults, faults


def _sqlite_faults(connection: Connection, statement: str, parameters: Parameters) -> list[str]:
    plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
    # The first or last entry of a whole table is at the end of its index.
    end_of_index = " LIMIT " in statement.replace("\n", " ") and "WHERE" not in statement
    allowed = r"SCAN \w+ USING (COVERING )?INDEX" if end_of_index else r"SCAN CONSTANT ROW"
    steps = [str(row[3]) for row in plan]
    return [
        step
        for step in steps
        if "TEMP B-TREE" in step or (step.startswith("SCAN") and not re.match(allowed, step))
    ]


def _postgresql_faults(connection: Connection, statement: str, parameters: Parameters) -> list[str]:
    connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
    plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
    return [str(row[0]) for row in plan if "Seq Scan" in str(row[0])]
