"""The registry's entries: States, institutions, authorities, officers, and their validity.

An entry is a document. A later one for the same key replaces it from when it was recorded; what
was recorded by a date, and was valid on a date, decides whether an act of that date was duly
done. Knows nothing of who may change it.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from evidence_store.canonical import Json, canonical
from evidence_store.classification import Classification
from evidence_store.cooperation.iso3166 import checked_code
from evidence_store.errors import MalformedError
from evidence_store.field_seal import PUBLIC_BYTES, key_id, public_key
from evidence_store.identifiers import AuthorityId, CaseId, PersonCode, Role, StateCode
from evidence_store.moment import Moment
from evidence_store.wording import stated

E = TypeVar("E", bound=StrEnum)
OPEN_END = Moment.parse("9999Z")


class EntryKind(StrEnum):
    """What an entry is about."""

    STATE = "state"
    INSTITUTION = "institution"
    AUTHORITY = "authority"
    OFFICER = "officer"
    ASSIGNMENT = "assignment"
    FIELD_KEY = "field_key"


class StateKind(StrEnum):
    """What a two-letter code stands for."""

    STATE = "state"
    COURT = "international_court"
    MECHANISM = "mechanism"


class AuthorityRole(StrEnum):
    """What an authority is designated for. With the last three nothing is ever shared."""

    CENTRAL_MLA = "central_authority_mla"
    CENTRAL_EXTRADITION = "central_authority_extradition"
    EXECUTING = "executing_authority"
    PROSECUTOR = "prosecutor"
    POLICE = "police"
    LABORATORY = "laboratory"
    COURT = "court"
    PROTECTION_UNIT = "protection_unit"
    ASSET_OFFICE = "asset_office"
    VICTIMS_UNIT = "victims_unit"
    DEFENCE = "defence"  # via a court
    IMMIGRATION = "immigration"
    INTELLIGENCE = "intelligence"
    MEDIA = "media"


class Channel(StrEnum):
    """How authorities reach each other."""

    CENTRAL = "central"
    DIPLOMATIC = "diplomatic"
    INTERPOL = "interpol"  # in urgency
    ELECTRONIC = "electronic"


class OfficerRole(StrEnum):
    """What an officer may do within the authority."""

    INVESTIGATOR = "field_investigator"
    CUSTODIAN = "evidence_custodian"
    EXAMINER = "forensic_examiner"
    PROSECUTOR = "prosecutor"
    CENTRAL = "central_authority_officer"
    PROTECTION = "protection_officer"
    VICTIMS = "victims_officer"
    REGISTRAR = "court_registrar"
    JUDGE = "judge"
    DEFENCE = "defence_counsel"
    DATA_PROTECTION = "data_protection_officer"
    AUDITOR = "auditor"
    REGISTRY = "registry_officer"
    OPERATOR = "system_operator"  # no content, ever


@dataclass(frozen=True, slots=True)
class Validity:
    """From when until when; both ends as exact as they were stated. No end is open."""

    start: Moment
    end: Moment = OPEN_END

    def __post_init__(self) -> None:
        first, last = self.start.earliest, self.end.latest
        if first is None or self.end.is_unknown or (last is not None and last <= first):
            raise MalformedError(
                f"validity: expected a beginning before an end, found {self.start} to {self.end}"
            )

    def holds_at(self, at: datetime) -> bool:
        """Whether that instant is within it."""
        first, last = self.start.earliest, self.end.latest
        return first is not None and first <= at and (last is None or at < last)

    def to_json(self) -> dict[str, Json]:
        """As it stands in an entry."""
        return {"valid_from": self.start.text, "valid_until": self.end.text}


@dataclass(frozen=True, slots=True)
class Designation:
    """An authority's role, and when it holds it. `reference` is the notification's."""

    role: AuthorityRole
    validity: Validity
    reference: str = ""


@dataclass(frozen=True, slots=True)
class StateEntry:
    """A State, or an institution that acts beside States under a code of its own."""

    code: StateCode
    name: str
    kind: StateKind
    languages: tuple[str, ...]

    def __post_init__(self) -> None:
        checked_code(self.code)
        stated(self.name, "State: name")
        _languages(self.languages)

    @property
    def key(self) -> str:
        """What it is known by."""
        return self.code.value

    def to_json(self) -> dict[str, Json]:
        """The document, but for its kind."""
        return {
            "code": self.code.value,
            "name": self.name,
            "kind": self.kind.value,
            "languages": list(self.languages),
        }


@dataclass(frozen=True, slots=True)
class InstitutionEntry:
    """An institution of a State, to which authorities belong."""

    id: AuthorityId
    state: StateCode
    name: str

    def __post_init__(self) -> None:
        stated(self.name, "institution: name")

    @property
    def key(self) -> str:
        """What it is known by."""
        return self.id.value

    def to_json(self) -> dict[str, Json]:
        """The document, but for its kind."""
        return {"id": self.id.value, "state": self.state.value, "name": self.name}


@dataclass(frozen=True, slots=True)
class AuthorityEntry:
    """An authority: whose it is, what it is designated for, how it is reached."""

    id: AuthorityId
    state: StateCode
    name: str
    designations: tuple[Designation, ...]
    languages: tuple[str, ...]
    channels: tuple[Channel, ...]
    institution: AuthorityId | None = None
    contact: str = ""
    by_court: AuthorityId | None = None  # for the defence: the court through which it acts

    def __post_init__(self) -> None:
        stated(self.name, "authority: name")
        _languages(self.languages)
        if not self.designations:
            raise MalformedError("authority: expected at least one role")
        if not self.channels:
            raise MalformedError("authority: expected at least one channel")
        is_defence = any(each.role is AuthorityRole.DEFENCE for each in self.designations)
        if is_defence != (self.by_court is not None):
            raise MalformedError("authority: the defence, and nobody else, acts through a court")

    @property
    def key(self) -> str:
        """What it is known by."""
        return self.id.value

    def roles_at(self, at: datetime) -> frozenset[AuthorityRole]:
        """What it is designated for at that instant."""
        return frozenset(each.role for each in self.designations if each.validity.holds_at(at))

    def to_json(self) -> dict[str, Json]:
        """The document, but for its kind."""
        return {
            "id": self.id.value,
            "state": self.state.value,
            "name": self.name,
            "institution": None if self.institution is None else self.institution.value,
            "designations": [
                {"role": each.role.value, "reference": each.reference, **each.validity.to_json()}
                for each in self.designations
            ],
            "languages": list(self.languages),
            "channels": [each.value for each in self.channels],
            "contact": self.contact,
            "by_court": None if self.by_court is None else self.by_court.value,
        }


@dataclass(frozen=True, slots=True)
class OfficerEntry:
    """An officer of one authority, by code. Roles and competences expire."""

    code: PersonCode
    name: str
    authority: AuthorityId
    roles: Mapping[OfficerRole, Validity]
    competences: Mapping[str, Validity] = field(default_factory=dict)
    clearance: Classification = Classification.CONFIDENTIAL

    def __post_init__(self) -> None:
        stated(self.name, "officer: name")
        if self.code.role is not Role.OFFICER:
            raise MalformedError(f"officer: expected a code as in OFF-0001, found {self.code}")
        if not self.roles:
            raise MalformedError("officer: expected at least one role")
        if OfficerRole.OPERATOR in self.roles and len(self.roles) > 1:
            raise MalformedError("officer: a system operator holds no other role")

    @property
    def key(self) -> str:
        """What the officer is known by."""
        return str(self.code)

    def roles_at(self, at: datetime) -> frozenset[OfficerRole]:
        """What the officer may do at that instant."""
        return frozenset(role for role, when in self.roles.items() if when.holds_at(at))

    def competences_at(self, at: datetime) -> frozenset[str]:
        """What the officer is trained for at that instant."""
        return frozenset(name for name, when in self.competences.items() if when.holds_at(at))

    def to_json(self) -> dict[str, Json]:
        """The document, but for its kind."""
        return {
            "code": str(self.code),
            "name": self.name,
            "authority": self.authority.value,
            "roles": {role.value: when.to_json() for role, when in self.roles.items()},
            "competences": {name: when.to_json() for name, when in self.competences.items()},
            "clearance": self.clearance.value,
        }


@dataclass(frozen=True, slots=True)
class AssignmentEntry:
    """That an officer needs to know a case, until when. An end in the past ends it."""

    officer: PersonCode
    case_id: CaseId
    until: Moment

    def __post_init__(self) -> None:
        if self.until.earliest is None:
            raise MalformedError("assignment: expected a time until which it holds")

    @property
    def key(self) -> str:
        """What it is known by."""
        return assignment_key(self.officer, self.case_id)

    def to_json(self) -> dict[str, Json]:
        """The document, but for its kind."""
        return {
            "officer": str(self.officer),
            "case": str(self.case_id),
            "until": self.until.text,
        }


@dataclass(frozen=True, slots=True)
class FieldKeyEntry:
    """The key of a kit that seals in the field for an authority, and while it counts.

    Judged by this system's clock when a seal arrives: what the kit's clock says proves nothing.
    """

    public: bytes
    authority: AuthorityId
    kit: str
    validity: Validity

    def __post_init__(self) -> None:
        stated(self.kit, "field key: kit")
        if len(self.public) != PUBLIC_BYTES:
            raise MalformedError(f"field key: expected a public key of {PUBLIC_BYTES} bytes")

    @property
    def key(self) -> str:
        """What it is known by."""
        return key_id(self.public)

    def to_json(self) -> dict[str, Json]:
        """The document, but for its kind."""
        return {
            "public": base64.b64encode(self.public).decode("ascii"),
            "authority": self.authority.value,
            "kit": self.kit,
            **self.validity.to_json(),
        }


Entry = (
    StateEntry | InstitutionEntry | AuthorityEntry | OfficerEntry | AssignmentEntry | FieldKeyEntry
)
KIND_OF: Mapping[type, EntryKind] = {
    StateEntry: EntryKind.STATE,
    InstitutionEntry: EntryKind.INSTITUTION,
    AuthorityEntry: EntryKind.AUTHORITY,
    OfficerEntry: EntryKind.OFFICER,
    AssignmentEntry: EntryKind.ASSIGNMENT,
    FieldKeyEntry: EntryKind.FIELD_KEY,
}


def tag_of(kind: EntryKind, key: str) -> str:
    """What an entry's dossiers are found by."""
    return f"{kind}/{key}"


def assignment_key(officer: PersonCode, case_id: CaseId | None = None) -> str:
    """What an officer's need to know a case is known by; without a case, how all of them begin."""
    return f"{officer}:{'' if case_id is None else case_id}"


def document_of(entry: Entry) -> dict[str, Json]:
    """An entry as a document, its kind included.

    Raises:
        MalformedError: if it holds what canonical JSON does not have.
    """
    document: dict[str, Json] = {"entry": KIND_OF[type(entry)].value, **entry.to_json()}
    canonical(document)
    return document


def entry_of(document: Mapping[str, Json]) -> Entry:
    """The inverse of `document_of`.

    Raises:
        MalformedError: if it is no entry.
    """
    try:
        kind = EntryKind(str(document["entry"]))
        entry = _READERS[kind](document)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise MalformedError("registry: expected an entry of a known kind, whole") from None
    if document_of(entry) != dict(document):
        raise MalformedError("registry: expected the members of an entry and no others")
    return entry


def member(of: type[E], text: object, what: str) -> E:
    """The member of this value.

    Raises:
        MalformedError: if there is none.
    """
    try:
        return of(str(text))
    except ValueError:
        expected = ", ".join(each.value for each in of)
        raise MalformedError(f"{what}: expected one of {expected}", found=str(text)) from None


def _state(document: Mapping[str, Json]) -> StateEntry:
    return StateEntry(
        StateCode(str(document["code"])),
        str(document["name"]),
        member(StateKind, document["kind"], "State: kind"),
        _texts(document["languages"]),
    )


def _institution(document: Mapping[str, Json]) -> InstitutionEntry:
    return InstitutionEntry(
        AuthorityId(str(document["id"])),
        StateCode(str(document["state"])),
        str(document["name"]),
    )


def _authority(document: Mapping[str, Json]) -> AuthorityEntry:
    institution, court = document["institution"], document["by_court"]
    return AuthorityEntry(
        id=AuthorityId(str(document["id"])),
        state=StateCode(str(document["state"])),
        name=str(document["name"]),
        designations=tuple(
            Designation(
                member(AuthorityRole, each["role"], "authority: role"),
                _validity(each),
                str(each["reference"]),
            )
            for each in _objects(document["designations"])
        ),
        languages=_texts(document["languages"]),
        channels=tuple(
            member(Channel, each, "authority: channel") for each in _texts(document["channels"])
        ),
        institution=None if institution is None else AuthorityId(str(institution)),
        contact=str(document["contact"]),
        by_court=None if court is None else AuthorityId(str(court)),
    )


def _officer(document: Mapping[str, Json]) -> OfficerEntry:
    return OfficerEntry(
        code=PersonCode.parse(str(document["code"])),
        name=str(document["name"]),
        authority=AuthorityId(str(document["authority"])),
        roles={
            member(OfficerRole, role, "officer: role"): _validity(when)
            for role, when in _pairs(document["roles"])
        },
        competences={name: _validity(when) for name, when in _pairs(document["competences"])},
        clearance=member(Classification, document["clearance"], "officer: clearance"),
    )


def _assignment(document: Mapping[str, Json]) -> AssignmentEntry:
    return AssignmentEntry(
        PersonCode.parse(str(document["officer"])),
        CaseId.parse(str(document["case"])),
        Moment.parse(str(document["until"])),
    )


def _field_key(document: Mapping[str, Json]) -> FieldKeyEntry:
    return FieldKeyEntry(
        public_key(str(document["public"])),
        AuthorityId(str(document["authority"])),
        str(document["kit"]),
        _validity(document),
    )


_READERS: Mapping[EntryKind, Callable[[Mapping[str, Json]], Entry]] = {
    EntryKind.STATE: _state,
    EntryKind.INSTITUTION: _institution,
    EntryKind.AUTHORITY: _authority,
    EntryKind.OFFICER: _officer,
    EntryKind.ASSIGNMENT: _assignment,
    EntryKind.FIELD_KEY: _field_key,
}


def _validity(value: Mapping[str, Json]) -> Validity:
    return Validity(Moment.parse(str(value["valid_from"])), Moment.parse(str(value["valid_until"])))


def _objects(value: Json) -> list[dict[str, Json]]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise MalformedError("registry: expected a list of objects")
    return [each for each in value if isinstance(each, dict)]


def _pairs(value: Json) -> list[tuple[str, dict[str, Json]]]:
    if not isinstance(value, dict) or not all(isinstance(each, dict) for each in value.values()):
        raise MalformedError("registry: expected an object of objects")
    return [(name, each) for name, each in value.items() if isinstance(each, dict)]


def _texts(value: Json) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise MalformedError("registry: expected a list of texts")
    return tuple(map(str, value))


def _languages(languages: tuple[str, ...]) -> None:
    if not languages or not all(
        each.isascii() and each.isalpha() and each.islower() and len(each) in {2, 3}
        for each in languages
    ):
        raise MalformedError(
            f"languages: expected codes of ISO 639, as in sl or eng; found {', '.join(languages) or 'none'}"
        )
