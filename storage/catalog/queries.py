"""Asking a database within one transaction: rows in, values out, and its errors as ours."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Executable, Select, Table, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from evidence_store.errors import EvidenceError, NotFoundError
from evidence_store.page import Page
from storage.catalog.faults import translated
from storage.catalog.prepared import Prepared
from storage.catalog.spelling import Columns, Found, read_back
from storage.catalog.tables import SerialRow, table_of

T = TypeVar("T")
VALUES_MAX = 500  # in one IN list; the databases allow more, but prepare each length anew
SERIAL = table_of(SerialRow)


class Queries:
    """One connection, in its transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.refusal: EvidenceError | None = None
        """The database's first refusal. PostgreSQL keeps nothing of a transaction that had one."""

    def all(
        self,
        query: Select[Any] | Prepared,
        value_of: Callable[[Found], T],
        values: Columns | None = None,
    ) -> list[T]:
        """What the rows spell, in the query's order; with `values` for its parameters."""
        rows: Iterable[Found]
        try:
            if isinstance(query, Prepared):
                rows = query.rows(self._connection, values or {})
            else:
                rows = self._connection.execute(query, values).all()
        except (SQLAlchemyError, EvidenceError) as error:
            raise self._refused(error) from None
        return read_back(value_of, rows)

    def one(
        self,
        query: Select[Any] | Prepared,
        value_of: Callable[[Found], T],
        missing: str,
        values: Columns | None = None,
    ) -> T:
        """What the only row spells.

        Raises:
            NotFoundError: if there is none.
        """
        found = self.all(query, value_of, values)
        if not found:
            raise NotFoundError(missing)
        return found[0]

    def run(self, statement: Executable | Prepared, rows: Sequence[Columns] | None = None) -> int:
        """How many rows the statement changed."""
        try:
            if isinstance(statement, Prepared):
                return statement.run(self._connection, rows or [{}])
            return self._connection.execute(statement, rows).rowcount
        except (SQLAlchemyError, EvidenceError) as error:
            raise self._refused(error) from None

    def insert(self, table: Table, rows: Sequence[Columns]) -> None:
        """Enter rows; none is nothing."""
        if rows:
            self.run(insert(table), rows)

    def next_serial(self, series: str, count: int) -> int:
        """The first of the next `count` serials of a series. The writer's lock makes it ours."""
        query = select(SERIAL.c.next).where(SERIAL.c.series == series)
        for first in self.all(query, lambda row: int(row.next)):
            self.run(update(SERIAL).where(SERIAL.c.series == series).values(next=first + count))
            return first
        self.insert(SERIAL, [{"series": series, "next": 1 + count}])
        return 1

    def _refused(self, error: Exception) -> Exception:
        """The error as ours: here, and not around the transaction, so that it is met within too."""
        try:
            with translated():
                raise error
        except EvidenceError as refusal:
            self.refusal = self.refusal or refusal
            return refusal


def parts(values: Iterable[T], most: int = VALUES_MAX) -> Iterator[list[T]]:
    """The values, as many at a time as one IN list takes."""
    iterator = iter(values)
    while part := list(islice(iterator, most)):
        yield part


def page(entries: Sequence[T], limit: int, cursor: Callable[[T], str]) -> Page[T]:
    """A page of `limit` entries, from a query that asked for one more to see if there is one."""
    if len(entries) <= limit:
        return Page(entries, None)
    return Page(entries[:limit], cursor(entries[limit - 1]))
