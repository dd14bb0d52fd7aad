"""Reading the rows of dossiers. Every query goes by an index; lists are filtered in SQL."""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import lru_cache
from heapq import merge
from itertools import groupby
from typing import Any

from sqlalchemy import BindParameter, Select, bindparam, func, select, tuple_, union_all

from evidence_store.dossier import Dossier
from evidence_store.dossier_port import Access, Assigned, GrantedRow, GrantedVersion, Window
from evidence_store.errors import MalformedError
from evidence_store.identifiers import AuthorityId, CaseId, DossierId, DossierKind, Ern, PersonCode
from evidence_store.item import Case
from evidence_store.page import Page
from storage.catalog.dossier_tables import (
    AccessRow,
    AssignmentRow,
    DossierRow,
    GrantItemRow,
    PolicyTextRow,
    TagRow,
)
from storage.catalog.ledger_tables import ChainRow, EventRow
from storage.catalog.ordering import (
    FIRST,
    case_behind,
    case_id_of,
    case_key,
    dossier_behind,
    dossier_key,
    dossier_of,
    ern_behind,
    ern_key,
    ern_of,
    person_code_of,
    person_key,
)
from storage.catalog.queries import Queries, page, parts
from storage.catalog.spelling import Columns, Found, case_of
from storage.catalog.tables import CaseRow, ItemRow, table_of

DOSSIER = table_of(DossierRow)
TAG = table_of(TagRow)
GRANT_ITEM = table_of(GrantItemRow)
ASSIGNMENT = table_of(AssignmentRow)
ACCESS = table_of(AccessRow)
POLICY = table_of(PolicyTextRow)
_ITEM = table_of(ItemRow)
_CASE = table_of(CaseRow)
_CHAIN = table_of(ChainRow)
_EVENT = table_of(EventRow)
ALL_OFFICERS = ""
CASES_AT_ONCE = 50
LAST = "\U0010ffff"  # comes behind every key
# Made once, as they are asked at every request; see `Queries`.
_MOST: BindParameter[int] = bindparam("most")
_NOW: BindParameter[datetime] = bindparam("now")
_TAGGED = (
    select(DOSSIER)
    .select_from(TAG.join(DOSSIER, DOSSIER.c.subject_key == TAG.c.subject_key))
    .where(TAG.c.name == bindparam("name"), TAG.c.value == bindparam("value"))
    .order_by(TAG.c.subject_key.desc())
    .limit(_MOST)
)
_ENDS_TAGGED = (
    select(TAG.c.subject_key, _CHAIN.c.head)
    .select_from(TAG.outerjoin(_CHAIN, _CHAIN.c.subject_key == TAG.c.subject_key))
    .where(TAG.c.name == bindparam("name"), TAG.c.value == bindparam("value"))
    .order_by(TAG.c.subject_key.desc())
    .limit(_MOST)
)
_CASES_OF = (
    select(ASSIGNMENT.c.case_key)
    .where(ASSIGNMENT.c.officer == bindparam("officer"), ASSIGNMENT.c.until > _NOW)
    .order_by(ASSIGNMENT.c.case_key)
)
_CASES_KNOWN = (
    select(_CASE)
    .select_from(ASSIGNMENT.join(_CASE, _CASE.c.case_key == ASSIGNMENT.c.case_key))
    .where(
        ASSIGNMENT.c.officer == bindparam("officer"),
        ASSIGNMENT.c.case_key > bindparam("behind"),
        ASSIGNMENT.c.until > _NOW,
    )
    .order_by(ASSIGNMENT.c.case_key)
    .limit(_MOST)
)
_OPEN_TO = select(GRANT_ITEM.c.ern_key).where(
    GRANT_ITEM.c.grantee == bindparam("grantee"),
    GRANT_ITEM.c.is_open.is_(True),
    GRANT_ITEM.c.officer.in_([ALL_OFFICERS, bindparam("officer")]),
    GRANT_ITEM.c.valid_from <= _NOW,
    GRANT_ITEM.c.valid_until > _NOW,
)
_GRANTED = (
    _OPEN_TO.where(GRANT_ITEM.c.ern_key > bindparam("behind"))
    .distinct()
    .order_by(GRANT_ITEM.c.ern_key)
    .limit(_MOST)
)
_IS_GRANTED = _OPEN_TO.where(GRANT_ITEM.c.ern_key == bindparam("item")).limit(1)
_IS_OWN = (
    select(_ITEM.c.ern_key)
    .select_from(_ITEM.join(ASSIGNMENT, ASSIGNMENT.c.case_key == _ITEM.c.case_key))
    .where(
        _ITEM.c.ern_key == bindparam("item"),
        ASSIGNMENT.c.officer == bindparam("officer"),
        ASSIGNMENT.c.until > _NOW,
    )
    .limit(1)
)


class SqlDossierReader:
    """Implements `evidence_store.dossier_port.DossierReader` in a transaction of the catalog's."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    def dossier(self, dossier: DossierId) -> Dossier:
        """See `DossierReader.dossier`."""
        query = select(DOSSIER).where(DOSSIER.c.subject_key == dossier_key(dossier))
        return self._queries.one(query, _dossier, f"there is no {dossier}")

    def dossiers(
        self,
        kind: DossierKind,
        *,
        owner: AuthorityId | None = None,
        counterpart: AuthorityId | None = None,
        acts: Collection[str] = (),
        after: str | None = None,
        limit: int = 100,
    ) -> Page[Dossier]:
        """See `DossierReader.dossiers`."""
        query = select(DOSSIER).where(
            DOSSIER.c.kind == kind.value, DOSSIER.c.subject_key > dossier_behind(after)
        )
        if owner is not None:
            query = query.where(DOSSIER.c.owner == owner.value)
        if counterpart is not None:
            query = query.where(DOSSIER.c.counterpart == counterpart.value)
        if acts:  # by the key of the events: one look for each dossier, at a few steps
            steps = select(_EVENT.c.seq).where(
                _EVENT.c.subject_key == DOSSIER.c.subject_key, _EVENT.c.act.in_(sorted(acts))
            )
            query = query.where(steps.exists())
        query = query.order_by(DOSSIER.c.subject_key).limit(limit + 1)
        return page(self._queries.all(query, _dossier), limit, lambda each: str(each.id))

    def tagged(
        self, kind: DossierKind, name: str, value: str, *, limit: int = 1000
    ) -> Sequence[Dossier]:
        """See `DossierReader.tagged`."""
        values = {"name": tag_name(kind, name), "value": value, "most": limit}
        return self._queries.all(_TAGGED, _dossier, values)

    def ends_tagged(
        self, kind: DossierKind, name: str, value: str, *, limit: int = 1000
    ) -> Sequence[tuple[DossierId, bytes | None]]:
        """See `DossierReader.ends_tagged`."""
        values = {"name": tag_name(kind, name), "value": value, "most": limit}
        return self._queries.all(
            _ENDS_TAGGED, lambda row: (dossier_of(row.subject_key), row.head), values
        )

    def tags(self, dossier: DossierId) -> Sequence[tuple[str, str]]:
        """See `DossierReader.tags`."""
        query = select(TAG.c.name, TAG.c.value).where(TAG.c.subject_key == dossier_key(dossier))
        return self._queries.all(
            query.order_by(TAG.c.name, TAG.c.value),
            lambda row: (str(row.name).partition("/")[2], str(row.value)),
        )

    def values(
        self,
        kind: DossierKind,
        name: str,
        *,
        prefix: str,
        after: str | None = None,
        limit: int = 100,
    ) -> Page[str]:
        """See `DossierReader.values`."""
        found: list[str] = []
        behind = after or prefix
        while len(found) <= limit:  # from one to the next along the index
            query = select(TAG.c.value).where(
                TAG.c.name == tag_name(kind, name),
                TAG.c.value > behind if found or after else TAG.c.value >= behind,
                TAG.c.value < prefix + LAST,
            )
            following = self._queries.all(
                query.order_by(TAG.c.value).limit(1), lambda row: str(row[0])
            )
            if not following:
                break
            found += following
            behind = following[0]
        return page(found, limit, lambda each: each)

    def made_since(self, kind: DossierKind, owner: AuthorityId, since: datetime) -> int:
        """See `DossierReader.made_since`."""
        query = select(func.count()).where(
            DOSSIER.c.owner == owner.value,
            DOSSIER.c.kind == kind.value,
            DOSSIER.c.made_at > since,
        )
        return self._queries.all(query, lambda row: int(row[0]))[0]

    def visible_items(
        self,
        officer: PersonCode,
        authority: AuthorityId,
        now: datetime,
        *,
        after: str | None = None,
        limit: int = 100,
    ) -> Page[Ern]:
        """See `DossierReader.visible_items`.

        For each of the officer's cases and for the grants, the first rows of an index, merged:
        however many items there are, it looks at no more than a page of each.
        """
        behind = ern_behind(after)
        own = [
            self._queries.all(
                _first_of_cases(len(part)),
                _ern_key,
                {
                    "behind": behind,
                    "most": limit + 1,
                    **{f"case_{number}": case_key(each) for number, each in enumerate(part)},
                },
            )
            for part in parts(self.cases_of(officer, now), CASES_AT_ONCE)
        ]
        granted = {
            **_to_whom(officer, authority, now),
            "behind": behind,
            "most": limit + 1,
        }
        found = [*own, self._queries.all(_GRANTED, _ern_key, granted)]
        keys = [key for key, _ in groupby(merge(*found))][: limit + 1]
        return page([ern_of(key) for key in keys], limit, str)

    def knows_of(
        self, officer: PersonCode, authority: AuthorityId, ern: Ern, now: datetime
    ) -> bool:
        """See `DossierReader.knows_of`."""
        item = {"item": ern_key(ern)}
        own = {**item, "officer": person_key(officer), "now": now}
        granted = {**item, **_to_whom(officer, authority, now)}
        return any(
            self._queries.all(query, lambda _: True, values)
            for query, values in ((_IS_OWN, own), (_IS_GRANTED, granted))
        )

    def window(self, grant: DossierId) -> Window | None:
        """See `DossierReader.window`."""
        query = select(GRANT_ITEM.c.is_open, GRANT_ITEM.c.valid_from, GRANT_ITEM.c.valid_until)
        query = query.where(GRANT_ITEM.c.subject_key == dossier_key(grant)).limit(1)
        found = self._queries.all(
            query, lambda row: Window(bool(row.is_open), row.valid_from, row.valid_until)
        )
        return found[0] if found else None

    def grants_of(
        self, ern: Ern, grantee: AuthorityId | None = None, *, limit: int = 1000
    ) -> Sequence[DossierId]:
        """See `DossierReader.grants_of`."""
        query = select(GRANT_ITEM.c.subject_key).where(GRANT_ITEM.c.ern_key == ern_key(ern))
        if grantee is not None:
            query = query.where(GRANT_ITEM.c.grantee == grantee.value)
        query = query.distinct().order_by(GRANT_ITEM.c.subject_key.desc()).limit(limit)
        return self._queries.all(query, lambda row: dossier_of(row.subject_key))

    def cases_of(self, officer: PersonCode, now: datetime) -> Sequence[CaseId]:
        """See `DossierReader.cases_of`."""
        values = {"officer": person_key(officer), "now": now}
        return self._queries.all(_CASES_OF, lambda row: case_id_of(row.case_key), values)

    def cases_known(
        self, officer: PersonCode, now: datetime, *, after: str | None = None, limit: int = 100
    ) -> Page[Case]:
        """See `DossierReader.cases_known`."""
        values = {
            "officer": person_key(officer),
            "now": now,
            "behind": case_behind(after),
            "most": limit + 1,
        }
        found = self._queries.all(_CASES_KNOWN, case_of, values)
        return page(found, limit, lambda each: str(each.case_id))

    def assignment(self, officer: PersonCode, case_id: CaseId) -> Assigned | None:
        """See `DossierReader.assignment`."""
        query = select(ASSIGNMENT).where(
            ASSIGNMENT.c.officer == person_key(officer),
            ASSIGNMENT.c.case_key == case_key(case_id),
        )
        return next(iter(self._queries.all(query, _assigned)), None)

    def assignments(self, *, after: str | None = None, limit: int = 100) -> Page[Assigned]:
        """See `DossierReader.assignments`."""
        officer, case = _assignment_behind(after)
        query = select(ASSIGNMENT).where(
            tuple_(ASSIGNMENT.c.officer, ASSIGNMENT.c.case_key) > tuple_(officer, case)
        )
        query = query.order_by(ASSIGNMENT.c.officer, ASSIGNMENT.c.case_key).limit(limit + 1)
        found = self._queries.all(query, _assigned)
        return page(found, limit, lambda each: f"{each.officer}:{each.case_id}")

    def granted(self, grant: DossierId) -> Sequence[GrantedRow]:
        """See `DossierReader.granted`."""
        query = select(GRANT_ITEM).where(GRANT_ITEM.c.subject_key == dossier_key(grant))
        return self._queries.all(query, _granted_row)

    def access(self, access: DossierId) -> Access:
        """See `DossierReader.access`."""
        query = select(ACCESS).where(ACCESS.c.subject_key == dossier_key(access))
        return self._queries.one(query, _access, f"there is no {access}")

    def accesses(
        self,
        *,
        ern: Ern | None = None,
        grant: DossierId | None = None,
        officer: PersonCode | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Page[Access]:
        """See `DossierReader.accesses`."""
        query = select(ACCESS).where(ACCESS.c.subject_key > dossier_behind(after))
        if ern is None and grant is None and officer is None:
            raise MalformedError("accesses: expected an item, a grant or an officer")
        if ern is not None:
            query = query.where(ACCESS.c.ern_key == ern_key(ern))
        if grant is not None:
            query = query.where(ACCESS.c.grant_key == dossier_key(grant))
        if officer is not None:
            query = query.where(ACCESS.c.officer == person_key(officer))
        query = query.order_by(ACCESS.c.subject_key).limit(limit + 1)
        return page(self._queries.all(query, _access), limit, lambda each: str(each.id))

    def copy(self, *, copy_id: str | None = None, sha256: str | None = None) -> Access | None:
        """See `DossierReader.copy`."""
        wanted = ACCESS.c.copy_id == copy_id if copy_id else ACCESS.c.served_sha256 == sha256
        found = self._queries.all(select(ACCESS).where(wanted).limit(1), _access)
        return found[0] if found else None

    def downloads(self, grant: DossierId, action: str) -> int:
        """See `DossierReader.downloads`."""
        query = select(func.count()).where(
            ACCESS.c.grant_key == dossier_key(grant),
            ACCESS.c.action == action,
            ACCESS.c.decision == "allow",
            ACCESS.c.continues.is_(None),
        )
        return self._queries.all(query, lambda row: int(row[0]))[0]

    def last_allowed(
        self,
        officer: PersonCode,
        version: tuple[Ern, int],
        grant: DossierId,
        *,
        action: str,
        purpose: str,
    ) -> Access | None:
        """See `DossierReader.last_allowed`."""
        query = select(ACCESS).where(
            ACCESS.c.grant_key == dossier_key(grant),
            ACCESS.c.officer == person_key(officer),
            ACCESS.c.ern_key == ern_key(version[0]),
            ACCESS.c.version == version[1],
            ACCESS.c.action == action,
            ACCESS.c.purpose == purpose,
            ACCESS.c.decision == "allow",
        )
        last = query.order_by(ACCESS.c.subject_key.desc()).limit(1)
        return next(iter(self._queries.all(last, _access)), None)

    def use_of(self, access: Access) -> Sequence[Access]:
        """See `DossierReader.use_of`."""
        first = dossier_key(access.continues or access.id)
        query = select(ACCESS).where(
            (ACCESS.c.subject_key == first) | (ACCESS.c.continues == first)
        )
        return self._queries.all(query.order_by(ACCESS.c.subject_key), _access)

    def policy_text(self, digest: str) -> str | None:
        """See `DossierReader.policy_text`."""
        query = select(POLICY.c.text).where(POLICY.c.digest == digest)
        found = self._queries.all(query, lambda row: str(row.text))
        return found[0] if found else None


def tag_name(kind: DossierKind, name: str) -> str:
    """A tag's name as it is kept: with the kind, so that one index leads to a kind's dossiers."""
    return f"{kind}/{name}"


def _to_whom(officer: PersonCode, authority: AuthorityId, now: datetime) -> Columns:
    """The values of `_OPEN_TO`."""
    return {"grantee": authority.value, "officer": person_key(officer), "now": now}


def _assignment_behind(cursor: str | None) -> tuple[str, str]:
    if cursor is None:
        return FIRST, FIRST
    officer, _, case_id = cursor.partition(":")
    return person_key(PersonCode.parse(officer)), case_key(CaseId.parse(case_id))


def _assigned(row: Found) -> Assigned:
    return Assigned(
        person_code_of(row.officer),
        case_id_of(row.case_key),
        row.until,
        dossier_of(row.subject_key),
    )


def _granted_row(row: Found) -> GrantedRow:
    officer = None if row.officer == ALL_OFFICERS else person_code_of(row.officer)
    return GrantedRow(
        version=GrantedVersion(ern_of(row.ern_key), row.version, officer),
        grantee=AuthorityId(row.grantee),
        is_open=bool(row.is_open),
        valid_from=row.valid_from,
        valid_until=row.valid_until,
    )


def _dossier(row: Found) -> Dossier:
    return Dossier(
        id=dossier_of(row.subject_key),
        state=row.state,
        owner=AuthorityId(row.owner),
        counterpart=None if row.counterpart is None else AuthorityId(row.counterpart),
        made_at=row.made_at,
        changed_at=row.changed_at,
    )


def _access(row: Found) -> Access:
    return Access(
        id=dossier_of(row.subject_key),
        at=row.at,
        officer=person_code_of(row.officer),
        authority=AuthorityId(row.authority),
        ern=ern_of(row.ern_key),
        version=row.version,
        action=row.action,
        purpose=row.purpose,
        grant=None if row.grant_key is None else dossier_of(row.grant_key),
        decision=row.decision,
        rule=row.rule,
        policy=row.policy,
        copy_id=row.copy_id,
        served_bytes=row.served_bytes,
        served_sha256=row.served_sha256,
        ended_at=row.ended_at,
        ended=row.ended,
        first_byte=row.first_byte,
        continues=None if row.continues is None else dossier_of(row.continues),
    )


def _ern_key(row: Found) -> str:
    return str(row.ern_key)


@lru_cache(maxsize=CASES_AT_ONCE)
def _first_of_cases(count: int) -> Select[Any]:
    """The first items of so many cases by ERN, in one question. Made once: it is long."""
    most: BindParameter[int] = bindparam("most")
    behind: BindParameter[str] = bindparam("behind")
    firsts = [
        select(_ITEM.c.ern_key)
        .where(_ITEM.c.case_key == bindparam(f"case_{number}"), _ITEM.c.ern_key > behind)
        .order_by(_ITEM.c.ern_key)
        .limit(most)
        .subquery()
        for number in range(count)
    ]
    all_of_them = union_all(*(select(each.c.ern_key) for each in firsts)).subquery()
    return select(all_of_them.c.ern_key).order_by(all_of_them.c.ern_key).limit(most)
