"""Statements that every act makes: spelled once for each database, then given to its driver.

Not for statements whose shape depends on their values. SQLAlchemy spells them and knows the types; only its
work at each execution, ten times the database's own for a row found by its key, is left out.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Dialect, Insert, Select, Update
from sqlalchemy.exc import DBAPIError

Processor = Callable[[Any], Any]
Values = Mapping[str, Any]
Parameters = tuple[Any, ...] | dict[str, Any]


class Prepared:
    """A statement of fixed shape. What changes in it are `bindparam`s, or a new row's columns."""

    def __init__(self, statement: Select[Any] | Insert | Update) -> None:
        self._statement = statement
        self._spelled: dict[str, _Spelled] = {}

    def rows(self, connection: Connection, values: Values) -> Iterator[Any]:
        """The rows found, by their columns' names; each is read when it is asked for.

        Raises:
            DBAPIError: as SQLAlchemy raises it.
        """
        spelled = self._for(connection.dialect)
        cursor = _cursor(connection)
        try:
            cursor.execute(spelled.text, spelled.parameters(values))
            found = cursor.fetchall()
        except connection.dialect.loaded_dbapi.Error as error:
            raise _as_sqlalchemy_does(connection, error) from None
        finally:
            cursor.close()
        return map(spelled.row, found)

    def run(self, connection: Connection, rows: Sequence[Values]) -> int:
        """How many rows it changed, with the values of each of these.

        Raises:
            DBAPIError: as SQLAlchemy raises it.
        """
        spelled = self._for(connection.dialect)
        cursor = _cursor(connection)
        try:
            if len(rows) == 1:
                cursor.execute(spelled.text, spelled.parameters(rows[0]))
            else:
                cursor.executemany(spelled.text, [spelled.parameters(each) for each in rows])
            changed: int = cursor.rowcount
        except connection.dialect.loaded_dbapi.Error as error:
            raise _as_sqlalchemy_does(connection, error) from None
        finally:
            cursor.close()
        return changed

    def spelled(self, dialect: Dialect, values: Values) -> tuple[str, Parameters]:
        """How a database is asked, with these values."""
        found = self._for(dialect)
        return found.text, found.parameters(values)

    def _for(self, dialect: Dialect) -> "_Spelled":
        found = self._spelled.get(dialect.name)
        if found is None:
            found = self._spelled[dialect.name] = _spell(self._statement, dialect)
        return found


def driven(connection: Connection, text: str) -> None:
    """Let the driver do what has no values and no rows, as naming a savepoint.

    Raises:
        DBAPIError: as SQLAlchemy raises it.
    """
    cursor = connection.connection.cursor()
    try:
        cursor.execute(text)
    except connection.dialect.loaded_dbapi.Error as error:
        raise _as_sqlalchemy_does(connection, error) from None
    finally:
        cursor.close()


@dataclass(frozen=True, slots=True)
class _Spelled:
    text: str
    binds: tuple[tuple[str, Processor | None], ...]
    fixed: Values
    by_place: bool
    row: Callable[[Iterable[Any]], Any]

    def parameters(self, values: Values) -> Parameters:
        if self.fixed:
            values = {**self.fixed, **values}
        if self.by_place:
            return tuple(
                [
                    values[name] if processor is None else processor(values[name])
                    for name, processor in self.binds
                ]
            )
        return {
            name: values[name] if processor is None else processor(values[name])
            for name, processor in self.binds
        }


def _spell(statement: Select[Any] | Insert | Update, dialect: Dialect) -> _Spelled:
    compiled = statement.compile(dialect=dialect)
    types = {name: bind.type for bind, name in compiled.bind_names.items()}
    processors = {
        name: kind.dialect_impl(dialect).bind_processor(dialect) for name, kind in types.items()
    }
    names = compiled.positiontup if compiled.positional else list(types)
    binds = tuple((name, processors[name]) for name in names or ())
    fixed = {name: value for name, value in compiled.params.items() if value is not None}
    row = _row_of(statement, dialect)
    return _Spelled(str(compiled), binds, fixed, bool(compiled.positional), row)


def _row_of(
    statement: Select[Any] | Insert | Update, dialect: Dialect
) -> Callable[[Iterable[Any]], Any]:
    if not isinstance(statement, Select):
        return tuple
    columns = list(statement.selected_columns)
    named: Any = namedtuple("Row", [str(each.key) for each in columns])  # type: ignore[misc] # noqa: PYI024 - by the columns
    made: Callable[[Iterable[Any]], Any] = named._make
    processors = [
        column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns
    ]
    if not any(processors):
        return made

    def row(found: Iterable[Any]) -> Any:  # noqa: ANN401 - a row
        return made(
            value if processor is None else processor(value)
            for value, processor in zip(found, processors, strict=True)
        )

    return row


def _cursor(connection: Connection) -> Any:  # noqa: ANN401 - a driver's cursor
    if not connection.in_transaction():
        connection.begin()  # as SQLAlchemy does before a first statement
    return connection.connection.cursor()


def _as_sqlalchemy_does(connection: Connection, error: Exception) -> BaseException:
    return DBAPIError.instance("", None, error, connection.dialect.loaded_dbapi.Error)
