"""Writing to the catalog, within one transaction that nobody else writes beside."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update

from evidence_store.errors import ConflictError, MalformedError, NotFoundError
from evidence_store.identifiers import CaseId, Ern, ObjectName, PersonCode, Role
from evidence_store.item import Case, Item, ItemStatus, Person, SealedObject, Version
from storage.catalog import ordering, spelling
from storage.catalog.dossier_writer import SqlDossierWriter
from storage.catalog.fixity import SqlFixityWriter
from storage.catalog.ledger_writer import SqlLedgerWriter
from storage.catalog.reader import CASE, ITEM, OBJECT, PERSON, VERSION, SqlCatalogReader


class SqlCatalogWriter(SqlCatalogReader):
    """Implements `evidence_store.ports.CatalogWriter`. Nothing here commits."""

    @property
    def ledger(self) -> SqlLedgerWriter:
        """See `CatalogWriter.ledger`."""
        return SqlLedgerWriter(self)

    @property
    def dossiers(self) -> SqlDossierWriter:
        """See `CatalogWriter.dossiers`."""
        return SqlDossierWriter(self, self.state())

    @property
    def fixity(self) -> SqlFixityWriter:
        """See `CatalogWriter.fixity`."""
        return SqlFixityWriter(self)

    def next_person(self, role: Role) -> PersonCode:
        """See `CatalogWriter.next_person`."""
        return PersonCode(role, self.next_serial(f"person/{role}", 1))

    def open_case(self, title: str, reference: str | None, opened_at: datetime) -> Case:
        """See `CatalogWriter.open_case`."""
        case_id = CaseId(self.state(), self.next_serial("case", 1))
        case = Case(case_id, title, reference, opened_at)
        self.insert(CASE, [spelling.case_columns(case)])
        return case

    def person_named(self, role: Role, name: str) -> Person:
        """See `CatalogWriter.person_named`."""
        query = select(PERSON).where(PERSON.c.role == role.value, PERSON.c.name == name)
        for person in self.all(query, spelling.person_of):
            return person
        person = Person(self.next_person(role), name)
        self.insert(PERSON, [spelling.person_columns(person)])
        return person

    def allocate(self, year: int, count: int) -> Sequence[Ern]:
        """See `CatalogWriter.allocate`.

        Raises:
            MalformedError: if the count is negative, or there is no such year.
        """
        if count < 0:  # otherwise the series would go back, and numbers be given out twice
            raise MalformedError(f"ERN: expected a count of 0 or more, found {count}")
        state = self.state()
        first = self.next_serial(f"ern/{year}", count)
        return [Ern(state, year, first + index) for index in range(count)]

    def add_items(self, items: Sequence[Item]) -> None:
        """See `CatalogWriter.add_items`."""
        self.insert(ITEM, [spelling.item_columns(item) for item in items])

    def void(self, ern: Ern, reason: str) -> Item:
        """See `CatalogWriter.void`."""
        if self.item(ern).status is ItemStatus.VOID:
            raise ConflictError(f"{ern} is void already")
        changes = {"status": ItemStatus.VOID.value, "status_reason": reason, "source_key": None}
        self.run(update(ITEM).where(ITEM.c.ern_key == ordering.ern_key(ern)).values(changes))
        return self.item(ern)

    def add_sealed(self, objects: Sequence[SealedObject]) -> None:
        """See `CatalogWriter.add_sealed`."""
        first = self.next_serial("object", len(objects))
        rows = [spelling.sealed_columns(each, first + i) for i, each in enumerate(objects)]
        self.insert(OBJECT, rows)

    def rewrap(self, name: ObjectName, *, header: bytes, recipient: str) -> None:
        """See `CatalogWriter.rewrap`."""
        changes = {"header": header, "recipient": recipient}
        if self.run(update(OBJECT).where(OBJECT.c.name == name.value).values(changes)) == 0:
            raise NotFoundError(f"the catalog does not know an object {name}")

    def add_versions(self, versions: Sequence[tuple[Version, bytes]]) -> None:
        """See `CatalogWriter.add_versions`."""
        self.insert(VERSION, [spelling.version_columns(*each) for each in versions])
