"""Writing the rows of dossiers, within a transaction that nobody else writes beside."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import update

from evidence_store.dossier import Dossier
from evidence_store.dossier_port import Access, GrantedVersion, Window
from evidence_store.errors import NotFoundError
from evidence_store.identifiers import (
    AuthorityId,
    CaseId,
    DossierId,
    DossierKind,
    PersonCode,
    StateCode,
)
from storage.catalog.dossier_reader import (
    ACCESS,
    ALL_OFFICERS,
    ASSIGNMENT,
    DOSSIER,
    GRANT_ITEM,
    POLICY,
    TAG,
    SqlDossierReader,
    tag_name,
)
from storage.catalog.ordering import case_key, dossier_key, ern_key, person_key
from storage.catalog.queries import Queries
from storage.catalog.spelling import Columns


class SqlDossierWriter(SqlDossierReader):
    """Implements `evidence_store.dossier_port.DossierWriter`. Nothing here commits."""

    def __init__(self, queries: Queries, state: StateCode) -> None:
        super().__init__(queries)
        self._state = state

    def next_dossier(self, kind: DossierKind) -> DossierId:
        """See `DossierWriter.next_dossier`."""
        return DossierId(self._state, kind, self._queries.next_serial(f"dossier/{kind}", 1))

    def add_dossier(self, dossier: Dossier, tags: Mapping[str, Sequence[str]]) -> None:
        """See `DossierWriter.add_dossier`."""
        key = dossier_key(dossier.id)
        row: Columns = {
            "subject_key": key,
            "kind": dossier.id.kind.value,
            "state": dossier.state,
            "owner": dossier.owner.value,
            "counterpart": None if dossier.counterpart is None else dossier.counterpart.value,
            "made_at": dossier.made_at,
            "changed_at": dossier.changed_at,
        }
        self._queries.insert(DOSSIER, [row])
        self._queries.insert(
            TAG,
            [
                {"subject_key": key, "name": tag_name(dossier.id.kind, name), "value": value}
                for name, values in tags.items()
                for value in dict.fromkeys(values)
            ],
        )

    def change_dossier(self, dossier: DossierId, state: str, at: datetime) -> None:
        """See `DossierWriter.change_dossier`."""
        query = update(DOSSIER).where(DOSSIER.c.subject_key == dossier_key(dossier))
        if self._queries.run(query.values(state=state, changed_at=at)) == 0:
            raise NotFoundError(f"there is no {dossier}")

    def add_granted(
        self,
        grant: DossierId,
        grantee: AuthorityId,
        versions: Sequence[GrantedVersion],
        window: Window,
    ) -> None:
        """See `DossierWriter.add_granted`."""
        self._queries.insert(
            GRANT_ITEM,
            [
                {
                    "subject_key": dossier_key(grant),
                    "ern_key": ern_key(each.ern),
                    "version": each.version,
                    "officer": ALL_OFFICERS if each.officer is None else person_key(each.officer),
                    "grantee": grantee.value,
                    "is_open": window.is_open,
                    "valid_from": window.valid_from,
                    "valid_until": window.valid_until,
                }
                for each in versions
            ],
        )

    def open_grant(self, grant: DossierId, *, is_open: bool) -> None:
        """See `DossierWriter.open_grant`."""
        query = update(GRANT_ITEM).where(GRANT_ITEM.c.subject_key == dossier_key(grant))
        self._queries.run(query.values(is_open=is_open))

    def assign(
        self, officer: PersonCode, case_id: CaseId, until: datetime, dossier: DossierId
    ) -> None:
        """See `DossierWriter.assign`."""
        key = {"officer": person_key(officer), "case_key": case_key(case_id)}
        values: Columns = {"until": until, "subject_key": dossier_key(dossier)}
        query = update(ASSIGNMENT).where(
            ASSIGNMENT.c.officer == key["officer"], ASSIGNMENT.c.case_key == key["case_key"]
        )
        if self._queries.run(query.values(values)) == 0:
            self._queries.insert(ASSIGNMENT, [{**key, **values}])

    def add_access(self, access: Access) -> None:
        """See `DossierWriter.add_access`."""
        row: Columns = {
            "subject_key": dossier_key(access.id),
            "at": access.at,
            "officer": person_key(access.officer),
            "authority": access.authority.value,
            "ern_key": ern_key(access.ern),
            "version": access.version,
            "action": access.action,
            "purpose": access.purpose,
            "grant_key": None if access.grant is None else dossier_key(access.grant),
            "decision": access.decision,
            "rule": access.rule,
            "policy": access.policy,
            "copy_id": access.copy_id,
            "first_byte": access.first_byte,
            "continues": None if access.continues is None else dossier_key(access.continues),
        }
        self._queries.insert(ACCESS, [row])

    def end_access(
        self,
        access: DossierId,
        *,
        at: datetime,
        ended: str,
        served_bytes: int,
        served_sha256: str | None,
    ) -> None:
        """See `DossierWriter.end_access`."""
        changes: Columns = {
            "ended_at": at,
            "ended": ended,
            "served_bytes": served_bytes,
            "served_sha256": served_sha256,
        }
        query = update(ACCESS).where(ACCESS.c.subject_key == dossier_key(access))
        if self._queries.run(query.values(changes)) == 0:
            raise NotFoundError(f"there is no {access}")

    def keep_policy(self, digest: str, text: str) -> None:
        """See `DossierWriter.keep_policy`."""
        if self.policy_text(digest) is None:
            self._queries.insert(POLICY, [{"digest": digest, "text": text}])
