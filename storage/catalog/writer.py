"""Writing to the catalog, within one transaction that nobody else writes beside."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import insert, update
from sqlmodel import SQLModel, col, select

from evidence_store.errors import ConflictError
from evidence_store.identifiers import CaseId, Ern, ObjectName, PersonCode, Role
from evidence_store.item import Case, Item, ItemStatus, Person, SealedObject, Version
from storage.catalog import spelling
from storage.catalog.reader import SqlCatalogReader
from storage.catalog.spelling import Columns
from storage.catalog.tables import (
    CaseRow,
    ItemRow,
    PersonRow,
    SealedObjectRow,
    SerialRow,
    VersionRow,
)


class SqlCatalogWriter(SqlCatalogReader):
    """Implements `evidence_store.ports.CatalogWriter`. Nothing here commits."""

    def open_case(self, title: str, reference: str | None, opened_at: datetime) -> Case:
        """See `CatalogWriter.open_case`."""
        case_id = CaseId(self.state(), self._next("case", 1))
        case = Case(case_id, title, reference, opened_at)
        self._insert(CaseRow, [spelling.case_columns(case)])
        return case

    def person_named(self, role: Role, name: str) -> Person:
        """See `CatalogWriter.person_named`."""
        query = select(PersonRow).where(PersonRow.role == role.value, PersonRow.name == name)
        row = self._session.exec(query).one_or_none()
        if row is not None:
            return spelling.person_of(row)
        person = Person(PersonCode(role, self._next(f"person/{role}", 1)), name)
        columns = {"code_key": spelling.person_key(person.code), "role": role.value, "name": name}
        self._insert(PersonRow, [columns])
        return person

    def allocate(self, year: int, count: int) -> Sequence[Ern]:
        """See `CatalogWriter.allocate`."""
        state = self.state()
        first = self._next(f"ern/{year}", count)
        return [Ern(state, year, first + index) for index in range(count)]

    def add_items(self, items: Sequence[Item]) -> None:
        """See `CatalogWriter.add_items`."""
        self._insert(ItemRow, [spelling.item_columns(item) for item in items])

    def void(self, ern: Ern, reason: str) -> Item:
        """See `CatalogWriter.void`."""
        if self.item(ern).status is ItemStatus.VOID:
            raise ConflictError(f"{ern} is void already")
        changes = {"status": ItemStatus.VOID.value, "status_reason": reason, "source_key": None}
        self._session.execute(
            update(ItemRow).where(col(ItemRow.ern_key) == spelling.ern_key(ern)).values(changes)
        )
        self._session.expire_all()
        return self.item(ern)

    def add_sealed(self, objects: Sequence[SealedObject]) -> None:
        """See `CatalogWriter.add_sealed`."""
        if objects:
            first = self._next("object", len(objects))
            rows = [spelling.sealed_columns(each, first + i) for i, each in enumerate(objects)]
            self._insert(SealedObjectRow, rows)

    def rewrap(self, name: ObjectName, *, header: bytes, recipient: str) -> None:
        """See `CatalogWriter.rewrap`."""
        self.sealed(name)
        self._session.execute(
            update(SealedObjectRow)
            .where(col(SealedObjectRow.name) == name.value)
            .values(header=header, recipient=recipient)
        )
        self._session.expire_all()

    def add_versions(self, versions: Sequence[tuple[Version, bytes]]) -> None:
        """See `CatalogWriter.add_versions`."""
        self._insert(VersionRow, [spelling.version_columns(*each) for each in versions])

    def _insert(self, row: type[SQLModel], columns: Sequence[Columns]) -> None:
        if columns:
            self._session.execute(insert(row), columns)

    def _next(self, series: str, count: int) -> int:
        """The first of the next `count` serials of a series. The writer's lock makes it ours."""
        row = self._session.get(SerialRow, series, populate_existing=True)
        if row is None:
            self._insert(SerialRow, [{"series": series, "next": 1 + count}])
            return 1
        first = row.next
        self._session.execute(
            update(SerialRow).where(col(SerialRow.series) == series).values(next=first + count)
        )
        return first
