"""Writing to the catalog, within one transaction that nobody else writes beside."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Executable, Table, insert, select, update

from evidence_store.errors import ConflictError, MalformedError, NotFoundError
from evidence_store.identifiers import CaseId, Ern, ObjectName, PersonCode, Role
from evidence_store.item import Case, Item, ItemStatus, Person, SealedObject, Version
from storage.catalog import ordering, spelling
from storage.catalog.reader import CASE, ITEM, OBJECT, PERSON, VERSION, SqlCatalogReader
from storage.catalog.spelling import Columns
from storage.catalog.tables import SerialRow, table_of

SERIAL = table_of(SerialRow)


class SqlCatalogWriter(SqlCatalogReader):
    """Implements `evidence_store.ports.CatalogWriter`. Nothing here commits."""

    def open_case(self, title: str, reference: str | None, opened_at: datetime) -> Case:
        """See `CatalogWriter.open_case`."""
        case_id = CaseId(self.state(), self._next("case", 1))
        case = Case(case_id, title, reference, opened_at)
        self._insert(CASE, [spelling.case_columns(case)])
        return case

    def person_named(self, role: Role, name: str) -> Person:
        """See `CatalogWriter.person_named`."""
        query = select(PERSON).where(PERSON.c.role == role.value, PERSON.c.name == name)
        for person in self._all(query, spelling.person_of):
            return person
        person = Person(PersonCode(role, self._next(f"person/{role}", 1)), name)
        self._insert(PERSON, [spelling.person_columns(person)])
        return person

    def allocate(self, year: int, count: int) -> Sequence[Ern]:
        """See `CatalogWriter.allocate`.

        Raises:
            MalformedError: if the count is negative, or there is no such year.
        """
        if count < 0:  # otherwise the series would go back, and numbers be given out twice
            raise MalformedError(f"ERN: expected a count of 0 or more, found {count}")
        state = self.state()
        first = self._next(f"ern/{year}", count)
        return [Ern(state, year, first + index) for index in range(count)]

    def add_items(self, items: Sequence[Item]) -> None:
        """See `CatalogWriter.add_items`."""
        self._insert(ITEM, [spelling.item_columns(item) for item in items])

    def void(self, ern: Ern, reason: str) -> Item:
        """See `CatalogWriter.void`."""
        if self.item(ern).status is ItemStatus.VOID:
            raise ConflictError(f"{ern} is void already")
        changes = {"status": ItemStatus.VOID.value, "status_reason": reason, "source_key": None}
        self._run(update(ITEM).where(ITEM.c.ern_key == ordering.ern_key(ern)).values(changes))
        return self.item(ern)

    def add_sealed(self, objects: Sequence[SealedObject]) -> None:
        """See `CatalogWriter.add_sealed`."""
        first = self._next("object", len(objects))
        rows = [spelling.sealed_columns(each, first + i) for i, each in enumerate(objects)]
        self._insert(OBJECT, rows)

    def rewrap(self, name: ObjectName, *, header: bytes, recipient: str) -> None:
        """See `CatalogWriter.rewrap`."""
        changes = {"header": header, "recipient": recipient}
        if self._run(update(OBJECT).where(OBJECT.c.name == name.value).values(changes)) == 0:
            raise NotFoundError(f"the catalog does not know an object {name}")

    def add_versions(self, versions: Sequence[tuple[Version, bytes]]) -> None:
        """See `CatalogWriter.add_versions`."""
        self._insert(VERSION, [spelling.version_columns(*each) for each in versions])

    def _next(self, series: str, count: int) -> int:
        """The first of the next `count` serials of a series. The writer's lock makes it ours."""
        query = select(SERIAL.c.next).where(SERIAL.c.series == series)
        for first in self._all(query, lambda row: int(row.next)):
            self._run(update(SERIAL).where(SERIAL.c.series == series).values(next=first + count))
            return first
        self._insert(SERIAL, [{"series": series, "next": 1 + count}])
        return 1

    def _insert(self, table: Table, rows: Sequence[Columns]) -> None:
        if rows:
            self._run(insert(table), rows)

    def _run(self, statement: Executable, rows: Sequence[Columns] | None = None) -> int:
        """How many rows the statement changed."""
        with self._answered():
            return self._connection.execute(statement, rows).rowcount
