"""Reading the catalog: rows in, values out. Every query goes by an index.

`tests/integration/test_catalog_queries.py` asks the databases for their plans, and
fails when a way to read is added here that it does not know.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import BindParameter, Column, bindparam, select, tuple_

from evidence_store.digest import Algorithm, Digest
from evidence_store.errors import MalformedError
from evidence_store.identifiers import CaseId, Ern, ObjectName, PersonCode, StateCode
from evidence_store.item import Case, Item, Listed, Person, SealedObject, Version
from evidence_store.page import Page
from storage.catalog import ordering, spelling
from storage.catalog.dossier_reader import SqlDossierReader
from storage.catalog.fixity import SqlFixityReader
from storage.catalog.ledger_reader import EVENT, SqlLedgerReader
from storage.catalog.prepared import Prepared
from storage.catalog.queries import Among, Queries, page, parts
from storage.catalog.spelling import Found, read_back
from storage.catalog.tables import (
    CaseRow,
    InstallationRow,
    ItemRow,
    PersonRow,
    SealedObjectRow,
    VersionRow,
    table_of,
)

T = TypeVar("T")
LIMIT_MAX = 1000
REGISTERED = "registered"
INSTALLATION = table_of(InstallationRow)
CASE = table_of(CaseRow)
PERSON = table_of(PersonRow)
ITEM = table_of(ItemRow)
OBJECT = table_of(SealedObjectRow)
VERSION = table_of(VersionRow)
_VERSION_WITHOUT_CLAIMS = [column for column in VERSION.c if column.name != "claims"]
_VERSION_ORDER = (VERSION.c.ern_key, VERSION.c.number)
_OF: BindParameter[str] = bindparam("of")
# Asked at every request or act.
_INSTALLATION = Prepared(select(INSTALLATION).where(INSTALLATION.c.id == 1))
_CASE = Prepared(select(CASE).where(CASE.c.case_key == _OF))
_ITEM = Prepared(select(ITEM).where(ITEM.c.ern_key == _OF))
_SHOWN = (
    ITEM.c.ern_key,
    ITEM.c.case_key,
    ITEM.c.status,
    ITEM.c.kind,
    ITEM.c.registered_at,
    ITEM.c.title,
)
_LISTED = Among(select(*_SHOWN), ITEM.c.ern_key)
_VERSIONS = Prepared(
    select(*_VERSION_WITHOUT_CLAIMS).where(VERSION.c.ern_key == _OF).order_by(VERSION.c.number)
)


class SqlCatalogReader(Queries):
    """Implements `evidence_store.ports.CatalogReader` on one connection, in its transaction."""

    @property
    def ledger(self) -> SqlLedgerReader:
        """See `CatalogReader.ledger`."""
        return SqlLedgerReader(self)

    @property
    def dossiers(self) -> SqlDossierReader:
        """See `CatalogReader.dossiers`."""
        return SqlDossierReader(self)

    @property
    def fixity(self) -> SqlFixityReader:
        """See `CatalogReader.fixity`."""
        return SqlFixityReader(self)

    def is_exercise(self) -> bool:
        """See `CatalogReader.is_exercise`."""
        return bool(self._installation().exercise)

    def state(self) -> StateCode:
        """See `CatalogReader.state`."""
        (state,) = read_back(lambda row: StateCode(row.state), [self._installation()])
        return state

    def authority(self) -> str:
        """See `CatalogReader.authority`."""
        return str(self._installation().authority)

    def case(self, case_id: CaseId) -> Case:
        """See `CatalogReader.case`."""
        missing = f"there is no case {case_id}; `evidence case list` shows them"
        return self.one(_CASE, spelling.case_of, missing, {"of": ordering.case_key(case_id)})

    def cases(self, *, after: str | None = None, limit: int = 100) -> Page[Case]:
        """See `CatalogReader.cases`."""
        query = select(CASE).where(CASE.c.case_key > ordering.case_behind(after))
        query = query.order_by(CASE.c.case_key).limit(_checked(limit) + 1)
        cases = self.all(query, spelling.case_of)
        return page(cases, limit, lambda case: str(case.case_id))

    def person(self, code: PersonCode) -> Person:
        """See `CatalogReader.person`."""
        query = select(PERSON).where(PERSON.c.code_key == ordering.person_key(code))
        return self.one(query, spelling.person_of, f"there is no person {code}")

    def item(self, ern: Ern) -> Item:
        """See `CatalogReader.item`."""
        values = {"of": ordering.ern_key(ern)}
        return self.one(_ITEM, spelling.item_of, f"there is no item {ern}", values)

    def items_listed(self, erns: Sequence[Ern]) -> Sequence[Listed]:
        """See `CatalogReader.items_listed`."""
        keys = [ordering.ern_key(each) for each in erns]
        found = self.among(_LISTED, keys, lambda row: (row.ern_key, spelling.listed_of(row)))
        return [found[each] for each in keys if each in found]

    def items(
        self, *, case_id: CaseId | None = None, after: str | None = None, limit: int = 100
    ) -> Page[Item]:
        """See `CatalogReader.items`."""
        query = select(ITEM).where(ITEM.c.ern_key > ordering.ern_behind(after))
        if case_id is not None:
            query = query.where(ITEM.c.case_key == ordering.case_key(case_id))
        query = query.order_by(ITEM.c.ern_key).limit(_checked(limit) + 1)
        return page(self.all(query, spelling.item_of), limit, lambda item: str(item.ern))

    def versions(self, ern: Ern) -> Sequence[Version]:
        """See `CatalogReader.versions`."""
        return self.all(_VERSIONS, spelling.version_of, {"of": ordering.ern_key(ern)})

    def held(
        self, *, after: str | None = None, limit: int = 100
    ) -> Page[tuple[Version, SealedObject]]:
        """See `CatalogReader.held`."""
        query = (
            select(*_VERSION_WITHOUT_CLAIMS)
            .where(tuple_(*_VERSION_ORDER) > ordering.version_behind(after))
            .order_by(*_VERSION_ORDER)
            .limit(_checked(limit) + 1)
        )
        versions = self.all(query, spelling.version_of)
        names = {version.object_name: None for version in versions}
        objects = {
            sealed.name: sealed
            for sealed in self._in(OBJECT.c.name, (name.value for name in names))
        }
        held = [(version, objects[version.object_name]) for version in versions]
        return page(held, limit, lambda each: ordering.version_cursor(each[0].ern, each[0].number))

    def without_versions(self, *, after: str | None = None, limit: int = 100) -> Page[Ern]:
        """See `CatalogReader.without_versions`."""
        behind = ordering.FIRST if after is None else ordering.ern_key(Ern.parse(after))
        versions = select(VERSION.c.number).where(VERSION.c.ern_key == EVENT.c.subject_key)
        query = (
            select(EVENT.c.subject_key)
            .where(EVENT.c.seq == 1, EVENT.c.act == REGISTERED, EVENT.c.subject_key > behind)
            .where(~versions.exists())
            .order_by(EVENT.c.subject_key)
            .limit(_checked(limit) + 1)
        )
        return page(self.all(query, lambda row: ordering.ern_of(row.subject_key)), limit, str)

    def claims(self, ern: Ern, number: int) -> bytes:
        """See `CatalogReader.claims`."""
        query = select(VERSION.c.claims).where(
            VERSION.c.ern_key == ordering.ern_key(ern), VERSION.c.number == number
        )
        return self.one(query, lambda row: bytes(row.claims), f"{ern} has no version {number}")

    def versions_with(self, digest: Digest, *, limit: int = 100) -> Sequence[Version]:
        """See `CatalogReader.versions_with`."""
        column = VERSION.c.sha256 if digest.algorithm is Algorithm.SHA256 else VERSION.c.blake3
        query = select(*_VERSION_WITHOUT_CLAIMS).where(column == digest.value)
        query = query.order_by(*_VERSION_ORDER).limit(_checked(limit))
        return self.all(query, spelling.version_of)

    def erns_of(self, source_keys: Iterable[bytes]) -> Mapping[bytes, Ern]:
        """See `CatalogReader.erns_of`."""
        found: dict[bytes, Ern] = {}
        for keys in parts(source_keys):
            query = select(ITEM.c.source_key, ITEM.c.ern_key).where(ITEM.c.source_key.in_(keys))
            found.update(
                self.all(query, lambda row: (bytes(row.source_key), ordering.ern_of(row.ern_key)))
            )
        return found

    def sealed(self, name: ObjectName) -> SealedObject:
        """See `CatalogReader.sealed`."""
        query = select(OBJECT).where(OBJECT.c.name == name.value)
        return self.one(query, spelling.sealed_of, f"the catalog does not know an object {name}")

    def sealed_with(self, digests: Iterable[Digest]) -> Mapping[Digest, SealedObject]:
        """See `CatalogReader.sealed_with`."""
        objects = self._in(OBJECT.c.sha256, (digest.value for digest in digests), OBJECT.c.number)
        # A newer one comes later, and stays.
        return {sealed.fingerprint.sha256: sealed for sealed in objects}

    def sealed_objects(
        self, *, after: ObjectName | None = None, recipient: str | None = None, limit: int = 1000
    ) -> Sequence[SealedObject]:
        """See `CatalogReader.sealed_objects`."""
        behind = ordering.FIRST if after is None else after.value
        query = select(OBJECT).where(OBJECT.c.name > behind)
        if recipient is not None:
            query = query.where(OBJECT.c.recipient == recipient)
        query = query.order_by(OBJECT.c.name).limit(_checked(limit))
        return self.all(query, spelling.sealed_of)

    def recipients(self) -> Sequence[str]:
        """See `CatalogReader.recipients`."""
        recipient = OBJECT.c.recipient
        found: list[str] = []
        while True:  # from one to the next along the index, not over every object
            query = select(recipient).where(recipient > (found[-1] if found else ordering.FIRST))
            following = self.all(query.order_by(recipient).limit(1), lambda row: str(row[0]))
            if not following:
                return found
            found += following

    def last_registered(self) -> Item | None:
        """See `CatalogReader.last_registered`."""
        query = select(ITEM).order_by(ITEM.c.ern_key.desc()).limit(1)
        return next(iter(self.all(query, spelling.item_of)), None)

    def _installation(self) -> Found:
        missing = "catalog: it belongs to no State; `evidence init` was cut short"
        return self.one(_INSTALLATION, lambda row: row, missing)

    def _in(
        self, column: Column[Any], values: Iterable[object], *order: Column[Any]
    ) -> Iterator[SealedObject]:
        """The objects whose column has one of these values, ordered within each value."""
        for part in parts(values):
            query = select(OBJECT).where(column.in_(part)).order_by(column, *order)
            yield from self.all(query, spelling.sealed_of)


def _checked(limit: int) -> int:
    if not 1 <= limit <= LIMIT_MAX:
        raise MalformedError(f"limit: expected 1 to {LIMIT_MAX}, found {limit}")
    return limit
