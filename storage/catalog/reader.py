"""Reading the catalog: rows in, values out. Every query goes by an index.

`tests/integration/test_catalog_queries.py` asks the databases for their plans.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from sqlalchemy import Connection, tuple_
from sqlalchemy.orm import defer
from sqlmodel import Session, col, select

from evidence_store.digest import Algorithm, Digest
from evidence_store.errors import MalformedError, NotFoundError
from evidence_store.identifiers import CaseId, Ern, ObjectName, PersonCode, StateCode
from evidence_store.item import Case, Item, Person, SealedObject, Version
from evidence_store.ports import Page
from storage.catalog import spelling
from storage.catalog.tables import (
    CaseRow,
    InstallationRow,
    ItemRow,
    PersonRow,
    SealedObjectRow,
    VersionRow,
)

T = TypeVar("T")
LIMIT_MAX = 1000
VARIABLES_MAX = 500  # values in one IN list; the databases allow more, plans like fewer
_WITHOUT_CLAIMS = defer(VersionRow.claims)  # type: ignore[arg-type] # a column, at class level


class SqlCatalogReader:
    """Implements `evidence_store.ports.CatalogReader` on one connection, in its transaction."""

    def __init__(self, connection: Connection) -> None:
        self._session = Session(connection, autoflush=False, expire_on_commit=False)

    def state(self) -> StateCode:
        """See `CatalogReader.state`."""
        return StateCode(self._installation().state)

    def authority(self) -> str:
        """See `CatalogReader.authority`."""
        return self._installation().authority

    def case(self, case_id: CaseId) -> Case:
        """See `CatalogReader.case`."""
        row = self._session.get(CaseRow, spelling.case_key(case_id))
        if row is None:
            raise NotFoundError(f"there is no case {case_id}; `evidence case list` shows them")
        return spelling.case_of(row)

    def cases(self, *, after: str | None = None, limit: int = 100) -> Page[Case]:
        """See `CatalogReader.cases`."""
        key = "" if after is None else spelling.case_key(CaseId.parse(after))
        query = select(CaseRow).where(col(CaseRow.case_key) > key).order_by(col(CaseRow.case_key))
        rows = self._session.exec(query.limit(_checked(limit) + 1)).all()
        cases = [spelling.case_of(row) for row in rows]
        return _page(cases, limit, lambda case: str(case.case_id))

    def person(self, code: PersonCode) -> Person:
        """See `CatalogReader.person`."""
        row = self._session.get(PersonRow, spelling.person_key(code))
        if row is None:
            raise NotFoundError(f"there is no person {code}")
        return spelling.person_of(row)

    def item(self, ern: Ern) -> Item:
        """See `CatalogReader.item`."""
        row = self._session.get(ItemRow, spelling.ern_key(ern))
        if row is None:
            raise NotFoundError(f"there is no item {ern}")
        return spelling.item_of(row)

    def items(
        self, *, case_id: CaseId | None = None, after: str | None = None, limit: int = 100
    ) -> Page[Item]:
        """See `CatalogReader.items`."""
        query = select(ItemRow).where(col(ItemRow.ern_key) > spelling.cursor_ern(after))
        if case_id is not None:
            query = query.where(ItemRow.case_key == spelling.case_key(case_id))
        query = query.order_by(col(ItemRow.ern_key)).limit(_checked(limit) + 1)
        items = [spelling.item_of(row) for row in self._session.exec(query)]
        return _page(items, limit, lambda item: str(item.ern))

    def versions(self, ern: Ern) -> Sequence[Version]:
        """See `CatalogReader.versions`."""
        query = (
            select(VersionRow)
            .where(VersionRow.ern_key == spelling.ern_key(ern))
            .order_by(col(VersionRow.number))
            .options(_WITHOUT_CLAIMS)
        )
        return [spelling.version_of(row) for row in self._session.exec(query)]

    def held(
        self, *, after: str | None = None, limit: int = 100
    ) -> Page[tuple[Version, SealedObject]]:
        """See `CatalogReader.held`."""
        place = tuple_(col(VersionRow.ern_key), col(VersionRow.number))
        query = (
            select(VersionRow, SealedObjectRow)
            .join(SealedObjectRow, col(SealedObjectRow.name) == col(VersionRow.object_name))
            .where(place > spelling.cursor_version(after))
            .order_by(col(VersionRow.ern_key), col(VersionRow.number))
            .options(_WITHOUT_CLAIMS)
            .limit(_checked(limit) + 1)
        )
        held = [
            (spelling.version_of(version), spelling.sealed_of(sealed))
            for version, sealed in self._session.exec(query)
        ]
        return _page(held, limit, lambda each: f"{each[0].ern}/{each[0].number}")

    def claims(self, ern: Ern, number: int) -> bytes:
        """See `CatalogReader.claims`."""
        query = select(VersionRow.claims).where(
            VersionRow.ern_key == spelling.ern_key(ern), VersionRow.number == number
        )
        claims = self._session.exec(query).one_or_none()
        if claims is None:
            raise NotFoundError(f"{ern} has no version {number}")
        return claims

    def versions_with(self, digest: Digest, *, limit: int = 100) -> Sequence[Version]:
        """See `CatalogReader.versions_with`."""
        is_sha256 = digest.algorithm is Algorithm.SHA256
        column = VersionRow.sha256 if is_sha256 else VersionRow.blake3
        query = (
            select(VersionRow)
            .where(column == digest.value)
            .order_by(col(VersionRow.ern_key), col(VersionRow.number))
            .options(_WITHOUT_CLAIMS)
            .limit(_checked(limit))
        )
        return [spelling.version_of(row) for row in self._session.exec(query)]

    def erns_of(self, source_keys: Iterable[bytes]) -> Mapping[bytes, Ern]:
        """See `CatalogReader.erns_of`."""
        found: dict[bytes, Ern] = {}
        for keys in _parts(source_keys):
            query = select(ItemRow.source_key, ItemRow.ern_key).where(
                col(ItemRow.source_key).in_(keys)
            )
            for key, ern in self._session.exec(query):
                if key is not None:
                    found[key] = spelling.ern_of(ern)
        return found

    def sealed(self, name: ObjectName) -> SealedObject:
        """See `CatalogReader.sealed`."""
        row = self._session.get(SealedObjectRow, name.value)
        if row is None:
            raise NotFoundError(f"the catalog does not know an object {name}")
        return spelling.sealed_of(row)

    def sealed_with(self, digests: Iterable[Digest]) -> Mapping[Digest, SealedObject]:
        """See `CatalogReader.sealed_with`."""
        found: dict[Digest, SealedObject] = {}
        for values in _parts(digest.value for digest in digests):
            query = (
                select(SealedObjectRow)
                .where(col(SealedObjectRow.sha256).in_(values))
                .order_by(col(SealedObjectRow.sha256), col(SealedObjectRow.number))
            )
            for row in self._session.exec(query):  # a newer one comes later, and stays
                found[Digest(Algorithm.SHA256, row.sha256)] = spelling.sealed_of(row)
        return found

    def sealed_objects(
        self, *, after: ObjectName | None = None, recipient: str | None = None, limit: int = 1000
    ) -> Sequence[SealedObject]:
        """See `CatalogReader.sealed_objects`."""
        query = select(SealedObjectRow).where(
            col(SealedObjectRow.name) > ("" if after is None else after.value)
        )
        if recipient is not None:
            query = query.where(SealedObjectRow.recipient == recipient)
        query = query.order_by(col(SealedObjectRow.name)).limit(_checked(limit))
        return [spelling.sealed_of(row) for row in self._session.exec(query)]

    def recipients(self) -> Sequence[str]:
        """See `CatalogReader.recipients`."""
        found: list[str] = []
        while True:  # from one to the next along the index, not over every object
            query = (
                select(SealedObjectRow.recipient)
                .where(col(SealedObjectRow.recipient) > (found[-1] if found else ""))
                .order_by(col(SealedObjectRow.recipient))
                .limit(1)
            )
            following = self._session.exec(query).one_or_none()
            if following is None:
                return found
            found.append(following)

    def last_registered(self) -> Item | None:
        """See `CatalogReader.last_registered`."""
        query = select(ItemRow).order_by(col(ItemRow.ern_key).desc()).limit(1)
        row = self._session.exec(query).one_or_none()
        return None if row is None else spelling.item_of(row)

    def _installation(self) -> InstallationRow:
        row = self._session.get(InstallationRow, 1)
        if row is None:
            raise NotFoundError("catalog: it belongs to no State; `evidence init` was cut short")
        return row


def _checked(limit: int) -> int:
    if not 1 <= limit <= LIMIT_MAX:
        raise MalformedError(f"limit: expected 1 to {LIMIT_MAX}, found {limit}")
    return limit


def _page(entries: Sequence[T], limit: int, cursor: Callable[[T], str]) -> Page[T]:
    """A page of `limit` entries, from a query that asked for one more to see if there is one."""
    if len(entries) <= limit:
        return Page(entries, None)
    return Page(entries[:limit], cursor(entries[limit - 1]))


def _parts(values: Iterable[bytes]) -> Iterator[list[bytes]]:
    iterator = iter(values)
    while part := list(islice(iterator, VARIABLES_MAX)):
        yield part
