"""What dossiers ask of the outside world: their part of the catalog.

An index only: what a dossier says stands in its signed events (`LedgerReader.events`), and
whoever relies on it reads those. `tests/contract` holds every implementation to this.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from evidence_store.dossier import Dossier
from evidence_store.identifiers import AuthorityId, CaseId, DossierId, DossierKind, Ern, PersonCode
from evidence_store.item import Case
from evidence_store.page import Page


@dataclass(frozen=True, slots=True)
class GrantedVersion:
    """A version that a grant names; for one officer of the grantee, or for all."""

    ern: Ern
    version: int
    officer: PersonCode | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """Whether a grant is open, and between which instants. It is open from the first on."""

    is_open: bool
    valid_from: datetime
    valid_until: datetime


@dataclass(frozen=True, slots=True)
class GrantedRow:
    """A row of a grant: a version, to whom, whether lists show it, and between which instants."""

    version: GrantedVersion
    grantee: AuthorityId
    is_open: bool
    valid_from: datetime
    valid_until: datetime


@dataclass(frozen=True, slots=True)
class Assigned:
    """A row that says until when an officer needs to know a case, and by which change."""

    officer: PersonCode
    case_id: CaseId
    until: datetime
    dossier: DossierId


@dataclass(frozen=True, slots=True)
class Access:
    """An access: who asked for what and why, what was decided by which rule, what was served."""

    id: DossierId
    at: datetime
    officer: PersonCode
    authority: AuthorityId
    ern: Ern
    version: int
    action: str
    purpose: str
    grant: DossierId | None
    decision: str
    rule: str
    policy: str
    copy_id: str
    served_bytes: int | None = None
    served_sha256: str | None = None
    ended_at: datetime | None = None
    ended: str | None = None  # how: complete, or the rule that stopped it
    first_byte: int = 0  # where it began to serve
    continues: DossierId | None = None  # the access that it goes on with, and is one use with


class DossierReader(Protocol):
    """The dossiers' part of a consistent view of the catalog. Every query goes by an index."""

    def dossier(self, dossier: DossierId) -> Dossier:
        """Look a dossier up.

        Raises:
            NotFoundError: if there is none.
        """
        ...

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
        """Dossiers of a kind by identifier; of one owner or one other side, if given.

        With `acts`, those only that have a step of one of these: the others are not in the page,
        and no cursor names them.

        Raises:
            MalformedError: if `after` is not a cursor that an earlier page gave.
        """
        ...

    def tagged(
        self, kind: DossierKind, name: str, value: str, *, limit: int = 1000
    ) -> Sequence[Dossier]:
        """Dossiers of a kind with this tag, the newest first."""
        ...

    def ends_tagged(
        self, kind: DossierKind, name: str, value: str, *, limit: int = 1000
    ) -> Sequence[tuple[DossierId, bytes | None]]:
        """As `tagged`, each with the commitment that its chain ends with; None if there is none."""
        ...

    def tags(self, dossier: DossierId) -> Sequence[tuple[str, str]]:
        """What a dossier can be found by."""
        ...

    def values(
        self,
        kind: DossierKind,
        name: str,
        *,
        prefix: str,
        after: str | None = None,
        limit: int = 100,
    ) -> Page[str]:
        """The different values of a tag, on dossiers of a kind, that begin with `prefix`."""
        ...

    def made_since(self, kind: DossierKind, owner: AuthorityId, since: datetime) -> int:
        """How many dossiers of a kind an owner has made since then."""
        ...

    def visible_items(
        self,
        officer: PersonCode,
        authority: AuthorityId,
        now: datetime,
        *,
        after: str | None = None,
        limit: int = 100,
    ) -> Page[Ern]:
        """The items that an officer may know of, by ERN: of own cases, and under open grants.

        Raises:
            MalformedError: if `after` is not a cursor that an earlier page gave.
        """
        ...

    def knows_of(
        self, officer: PersonCode, authority: AuthorityId, ern: Ern, now: datetime
    ) -> bool:
        """Whether `visible_items` would list an item."""
        ...

    def window(self, grant: DossierId) -> Window | None:
        """The grant's window; None where it names no items."""
        ...

    def grants_of(
        self, ern: Ern, grantee: AuthorityId | None = None, *, limit: int = 1000
    ) -> Sequence[DossierId]:
        """The grants that name an item, the newest first; only those to one authority, if given."""
        ...

    def cases_of(self, officer: PersonCode, now: datetime) -> Sequence[CaseId]:
        """The cases that an officer needs to know now, by identifier, for lists.

        Whether so was signed is not asked.
        """
        ...

    def cases_known(
        self, officer: PersonCode, now: datetime, *, after: str | None = None, limit: int = 100
    ) -> Page[Case]:
        """What is shown of `cases_of`, by identifier.

        Raises:
            MalformedError: if `after` is not a cursor that an earlier page gave.
        """
        ...

    def assignment(self, officer: PersonCode, case_id: CaseId) -> Assigned | None:
        """The row of an officer's need to know a case, if there is one."""
        ...

    def assignments(self, *, after: str | None = None, limit: int = 100) -> Page[Assigned]:
        """All rows of that kind, by officer and case.

        Raises:
            MalformedError: if `after` is not a cursor that an earlier page gave.
        """
        ...

    def granted(self, grant: DossierId) -> Sequence[GrantedRow]:
        """The rows of a grant."""
        ...

    def access(self, access: DossierId) -> Access:
        """Look an access up.

        Raises:
            NotFoundError: if there is none.
        """
        ...

    def accesses(
        self,
        *,
        ern: Ern | None = None,
        grant: DossierId | None = None,
        officer: PersonCode | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Page[Access]:
        """Accesses by identifier, of one item, grant or officer.

        Raises:
            MalformedError: if none of the three is given, or `after` is no cursor.
        """
        ...

    def copy(self, *, copy_id: str | None = None, sha256: str | None = None) -> Access | None:
        """The access that a copy was handed out by, by its identity or its digest."""
        ...

    def downloads(self, grant: DossierId, action: str) -> int:
        """How often this was used under a grant: what goes on with an access is no further use."""
        ...

    def last_allowed(
        self,
        officer: PersonCode,
        version: tuple[Ern, int],
        grant: DossierId,
        *,
        action: str,
        purpose: str,
    ) -> Access | None:
        """The last access to a version that an officer was allowed under a grant, for a purpose."""
        ...

    def use_of(self, access: Access) -> Sequence[Access]:
        """All accesses that are one use with this one, from the first on."""
        ...

    def policy_text(self, digest: str) -> str | None:
        """The text of a policy that decisions were made by, if it is kept."""
        ...


class DossierWriter(DossierReader, Protocol):
    """The dossiers' part of a transaction."""

    def next_dossier(self, kind: DossierKind) -> DossierId:
        """The next identifier of a kind. Never given out twice."""
        ...

    def add_dossier(self, dossier: Dossier, tags: Mapping[str, Sequence[str]]) -> None:
        """Enter a dossier, with what it can be found by.

        Raises:
            ConflictError: if there is one of this identifier.
        """
        ...

    def change_dossier(self, dossier: DossierId, state: str, at: datetime) -> None:
        """Where a dossier stands now.

        Raises:
            NotFoundError: if there is none.
        """
        ...

    def add_granted(
        self,
        grant: DossierId,
        grantee: AuthorityId,
        versions: Sequence[GrantedVersion],
        window: Window,
    ) -> None:
        """Enter the versions that a grant names."""
        ...

    def open_grant(self, grant: DossierId, *, is_open: bool) -> None:
        """Open or close a grant for lists."""
        ...

    def assign(
        self, officer: PersonCode, case_id: CaseId, until: datetime, dossier: DossierId
    ) -> None:
        """Say until when an officer needs to know a case."""
        ...

    def add_access(self, access: Access) -> None:
        """Enter an access; its dossier must be there."""
        ...

    def end_access(
        self,
        access: DossierId,
        *,
        at: datetime,
        ended: str,
        served_bytes: int,
        served_sha256: str | None,
    ) -> None:
        """Say how an access ended."""
        ...

    def keep_policy(self, digest: str, text: str) -> None:
        """Keep the text of a policy under its digest, once."""
        ...
