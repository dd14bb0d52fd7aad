"""Asking a database within one transaction: rows in, values out, and its errors as ours."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Executable, Select, Table, insert, select, update

from evidence_store.errors import EvidenceError, NotFoundError
from evidence_store.page import Page
from storage.catalog.faults import translated
from storage.catalog.spelling import Columns, Found, read_back
from storage.catalog.tables import SerialRow, table_of

T = TypeVar("T")
VALUES_MAX = 500  # in one IN list; the databases allow more, but prepare each length anew
SERIAL = table_of(SerialRow)


class Queries:
    """One connection, in its transaction.

    A question that is asked at every request is made once, with parameters, and asked with `values`:
    to make one anew takes three times as long as to have it answered.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.refusal: EvidenceError | None = None
        """The database's first refusal. PostgreSQL keeps nothing of a transaction that had one."""

    def all(
        self, query: Select[Any], value_of: Callable[[Found], T], values: Columns | None = None
    ) -> list[T]:
        """What the rows spell, in the query's order; with `values` for its parameters."""
        with self._answered():
            rows = self._connection.execute(query, values).all()
        return read_back(value_of, rows)

    def one(
        self,
        query: Select[Any],
        value_of: Callable[[Found], T],
        missing: str,
        values: Columns | None = None,
    ) -> T:
        """What the only row spells; with `values` for the query's parameters.

        Raises:
            NotFoundError: if there is none.
        """
        found = self.all(query, value_of, values)
        if not found:
            raise NotFoundError(missing)
        return found[0]

    def run(self, statement: Executable, rows: Sequence[Columns] | None = None) -> int:
        """How many rows the statement changed."""
        with self._answered():
            return self._connection.execute(statement, rows).rowcount

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

    @contextmanager
    def _answered(self) -> Iterator[None]:
        """Here and not around the transaction, so that a caller meets our errors within it too."""
        try:
            with translated():
                yield
        except EvidenceError as error:
            self.refusal = self.refusal or error
            raise


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
