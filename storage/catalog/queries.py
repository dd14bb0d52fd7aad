"""Asking a database within one transaction: rows in, values out, and its errors as ours."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, repeat
from typing import Any, TypeVar

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Executable,
    Select,
    Table,
    bindparam,
    insert,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from evidence_store.errors import EvidenceError, NotFoundError
from evidence_store.page import Page
from storage.catalog.faults import translated
from storage.catalog.prepared import Prepared
from storage.catalog.spelling import Columns, Found, read_back
from storage.catalog.tables import SerialRow, table_of

T = TypeVar("T")
VALUES_MAX = 512  # in one IN list; the databases allow more, but prepare each length anew
SERIAL = table_of(SerialRow)


class Among:
    """A question about rows whose column has one of some values, made for few lengths of the list.

    A list of another length would be another statement, made and prepared anew. So a length is
    the next power of two: the last value stands in the list as often as that takes.
    """

    def __init__(self, query: Select[Any], column: ColumnElement[Any]) -> None:
        self._query, self._column = query, column
        self._made: dict[int, Select[Any]] = {}

    def asked(self, values: Sequence[object]) -> tuple[Select[Any], Columns]:
        """The question about these values, of which there is one at least, and its parameters."""
        length = 1 << (len(values) - 1).bit_length()
        query = self._made.get(length)
        if query is None:
            among: list[BindParameter[Any]] = [
                bindparam(f"among_{number}") for number in range(length)
            ]
            query = self._made[length] = self._query.where(self._column.in_(among))
        padded = [*values, *repeat(values[-1], length - len(values))]
        return query, {f"among_{number}": value for number, value in enumerate(padded)}


class Queries:
    """One connection, in its transaction.

    A question that is asked at every request or act is made once, with parameters, and asked with
    `values`: to make one anew takes three times as long as to have it answered. See `Prepared`, too.
    """

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

    def among(
        self,
        question: Among,
        values: Iterable[object],
        value_of: Callable[[Found], tuple[Any, T]],
    ) -> dict[Any, T]:
        """What the rows spell, by what they are told apart by; no values are asked about by none."""
        found: dict[Any, T] = {}
        for part in parts(values):
            query, parameters = question.asked(part)
            found.update(self.all(query, value_of, parameters))
        return found

    def one(
        self,
        query: Select[Any] | Prepared,
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
