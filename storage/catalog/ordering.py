"""Identifiers as text whose order is theirs, and the cursors of lists.

A serial takes twelve digits, the most it can have, so that `SI-2026-1000000` comes
after `SI-2026-999999` in a database as it does for `Ern`. A cursor is the identifier
that ended the page before, as everybody sees it, so it stays good for ever.
"""

from functools import lru_cache

from evidence_store.custody.transfer import TransferId
from evidence_store.errors import MalformedError
from evidence_store.identifiers import (
    CaseId,
    DossierId,
    DossierKind,
    Ern,
    PersonCode,
    Role,
    StateCode,
    Subject,
)

FIRST = ""  # comes before every key
_state = lru_cache(maxsize=1024)(StateCode)  # a list has the same few, checked once


def ern_key(ern: Ern) -> str:
    """An ERN, so that text order is its order."""
    return f"{ern.state.value}-{ern.year}-{ern.serial:012d}"


def ern_of(key: str) -> Ern:
    """The inverse of `ern_key`."""
    state, year, serial = key.split("-")
    return Ern(_state(state), int(year), int(serial))


def dossier_key(dossier: DossierId) -> str:
    """A dossier's identifier, so that text order is its order within its kind."""
    return f"{dossier.state.value}-{dossier.kind.value}-{dossier.serial:012d}"


def dossier_of(key: str) -> DossierId:
    """The inverse of `dossier_key`."""
    state, kind, serial = key.split("-")
    return DossierId(_state(state), DossierKind(kind), int(serial))


def dossier_behind(cursor: str | None) -> str:
    """The key behind which a list of dossiers goes on.

    Raises:
        MalformedError: if it is not a cursor that a list gave.
    """
    return FIRST if cursor is None else dossier_key(DossierId.parse(cursor))


def subject_key(subject: Subject) -> str:
    """The key of an item or a dossier. No two are alike: a year is no kind of dossier."""
    return ern_key(subject) if isinstance(subject, Ern) else dossier_key(subject)


def subject_of(key: str) -> Subject:
    """The inverse of `subject_key`."""
    return ern_of(key) if key[3:7].isdigit() else dossier_of(key)


def case_key(case_id: CaseId) -> str:
    """A case identifier, so that text order is its order."""
    return f"{case_id.state.value}-{case_id.serial:012d}"


def case_id_of(key: str) -> CaseId:
    """The inverse of `case_key`."""
    state, serial = key.split("-")
    return CaseId(_state(state), int(serial))


def transfer_key(transfer: TransferId) -> str:
    """A transfer, so that text order is its order."""
    return f"{transfer.state.value}-{transfer.serial:012d}"


def transfer_behind(cursor: str | None) -> str:
    """The key behind which a list of transfers goes on.

    Raises:
        MalformedError: if it is not a cursor that a list gave.
    """
    return FIRST if cursor is None else transfer_key(TransferId.parse(cursor))


def person_key(code: PersonCode) -> str:
    """A person's code, so that text order is its order."""
    return f"{code.role.value}-{code.serial:012d}"


def person_code_of(key: str) -> PersonCode:
    """The inverse of `person_key`."""
    role, serial = key.split("-")
    return PersonCode(Role(role), int(serial))


def case_behind(cursor: str | None) -> str:
    """The key behind which a list of cases goes on.

    Raises:
        MalformedError: if it is not a cursor that a list gave.
    """
    return FIRST if cursor is None else case_key(CaseId.parse(cursor))


def ern_behind(cursor: str | None) -> str:
    """The key behind which a list of items goes on.

    Raises:
        MalformedError: if it is not a cursor that a list gave.
    """
    return FIRST if cursor is None else ern_key(Ern.parse(cursor))


def version_cursor(ern: Ern, number: int) -> str:
    """The cursor that this version ends a page with."""
    return f"{ern}/{number}"


def version_behind(cursor: str | None) -> tuple[str, int]:
    """The ERN's key and the number behind which a list of versions goes on.

    Raises:
        MalformedError: if it is not a cursor that a list gave.
    """
    if cursor is None:
        return FIRST, 0
    ern_text, _, number_text = cursor.partition("/")
    ern = Ern.parse(ern_text)
    digits = number_text.isascii() and number_text.isdigit() and len(number_text) < 10  # noqa: PLR2004 - 32 bits
    if not digits or version_cursor(ern, int(number_text)) != cursor:
        raise MalformedError("cursor: expected ERN/number", found=cursor)
    return ern_key(ern), int(number_text)
