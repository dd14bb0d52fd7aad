"""The terms of a grant: one document that both sides sign before anything opens.

What is granted is pinned to versions by their digests. The purposes are a closed list:
immigration, intelligence and media are not on it, so no terms can name them.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from evidence_store.canonical import Json, canonical, parse_canonical
from evidence_store.cooperation.registry import member
from evidence_store.digest import Digest
from evidence_store.errors import MalformedError
from evidence_store.identifiers import AuthorityId, CaseId, DossierId, DossierKind, Ern, PersonCode
from evidence_store.moment import Moment
from evidence_store.provider import Purpose
from evidence_store.wording import stated


class Action(StrEnum):
    """What can be done with a version, from the least to the most."""

    SEE_METADATA = "see_metadata"
    VIEW = "view"
    DOWNLOAD = "download"
    CERTIFIED_COPY = "certified_copy"
    BORROW = "borrow"
    TAKE_CUSTODY = "take_custody"


class Mode(StrEnum):
    """How something is granted."""

    METADATA_ONLY = "metadata_only"
    VIEW_ONLY = "view_only"
    DOWNLOAD_COPY = "download_copy"
    CERTIFIED_COPY = "certified_copy"
    ORIGINAL_LOAN = "original_loan"
    CUSTODY_TRANSFER = "custody_transfer"


ACTIONS: Mapping[Mode, frozenset[Action]] = {
    Mode.METADATA_ONLY: frozenset({Action.SEE_METADATA}),
    Mode.VIEW_ONLY: frozenset({Action.SEE_METADATA, Action.VIEW}),
    Mode.DOWNLOAD_COPY: frozenset({Action.SEE_METADATA, Action.VIEW, Action.DOWNLOAD}),
    Mode.CERTIFIED_COPY: frozenset(Action) - {Action.BORROW, Action.TAKE_CUSTODY},
    Mode.ORIGINAL_LOAN: frozenset({Action.SEE_METADATA, Action.VIEW, Action.BORROW}),
    Mode.CUSTODY_TRANSFER: frozenset(Action) - {Action.BORROW},
}
CONTENT = frozenset({Action.VIEW, Action.DOWNLOAD, Action.CERTIFIED_COPY})
"""The actions by which bytes are served; by the others none ever are."""
COPIES = frozenset({Action.DOWNLOAD, Action.CERTIFIED_COPY})
"""The actions that leave a copy with the recipient, and so use a grant up."""


class Onward(StrEnum):
    """Whether the grantee may pass it on."""

    FORBIDDEN = "forbidden"
    WITH_CONSENT = "with_consent"
    COURT_AND_PARTIES = "to_court_and_parties"


class DefenceDisclosure(StrEnum):
    """Whether the grantee may disclose it to the defence."""

    ALLOWED = "allowed"
    NOTIFY_FIRST = "notify_first"
    CONSULT = "consult"


class Assurance(StrEnum):
    """What a grantee gives its word for."""

    NO_DEATH_PENALTY = "no_death_penalty"
    NO_TORTURE = "no_torture"
    FAIR_TRIAL = "fair_trial"
    NO_TRIAL_IN_ABSENCE = "no_trial_in_absence"
    NO_IMMIGRATION_OR_INTELLIGENCE = "no_immigration_or_intelligence_use"
    MEASURES_CONTINUED = "measures_continued"


class Basis(StrEnum):
    """On what a grant rests."""

    REQUEST = "request"
    SPONTANEOUS = "spontaneous"
    TEAM = "team"


@dataclass(frozen=True, slots=True)
class Granted:
    """A version that is granted, by its digest; a thing has neither."""

    ern: Ern
    version: int
    sha256: str | None

    def __post_init__(self) -> None:
        if self.version < 0 or (self.version == 0) != (self.sha256 is None):
            raise MalformedError(f"terms: {self.ern}: expected a version with its digest")
        if self.sha256 is not None:
            Digest.parse(f"sha256:{self.sha256}")

    def __str__(self) -> str:
        return version_id(self.ern, self.version)


def version_id(ern: Ern, version: int) -> str:
    """A version as rules and lists name it; 0 is a physical exhibit itself."""
    return f"{ern}/{version}"


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms. `rests_on` is the grant under which the grantor itself has the items."""

    grant: DossierId
    grantor: AuthorityId
    grantee: AuthorityId
    basis: Basis
    reference: str
    legal_basis: str
    case_id: CaseId
    proceeding: str
    purposes: tuple[Purpose, ...]
    offences: tuple[str, ...]
    items: tuple[Granted, ...]
    mode: Mode
    onward: Onward
    defence: DefenceDisclosure
    valid_from: Moment
    valid_until: Moment
    persons: tuple[str, ...] = ()
    officers: tuple[PersonCode, ...] = ()
    conditions: tuple[str, ...] = ()
    assurances: tuple[Assurance, ...] = ()
    measures: tuple[DossierId, ...] = ()
    downloads_max: int | None = None
    return_or_destroy_by: Moment | None = None
    rests_on: DossierId | None = None

    def __post_init__(self) -> None:
        if self.grantor == self.grantee:
            raise MalformedError("terms: expected another authority as the grantee")
        for name in ("purposes", "offences", "items"):
            values: Sequence[object] = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise MalformedError(f"terms: {name}: expected at least one, and each once")
        for name in ("reference", "legal_basis", "proceeding"):
            stated(getattr(self, name), f"terms: {name}")
        if self.rests_on == self.grant:
            raise MalformedError("terms: a grant does not rest on itself")
        self._insist_on_times()

    def _insist_on_times(self) -> None:
        first, last = self.valid_from.earliest, self.valid_until.earliest
        if first is None or last is None or last <= first:
            raise MalformedError("terms: expected a beginning before an end of validity")
        if self.downloads_max is not None and self.downloads_max < 1:
            raise MalformedError("terms: expected at least one download, or no limit")
        if self.mode is Mode.ORIGINAL_LOAN and self.return_or_destroy_by is None:
            raise MalformedError("terms: a loan has a date of return")

    @property
    def actions(self) -> frozenset[Action]:
        """What the mode allows."""
        return ACTIONS[self.mode]

    @property
    def document(self) -> bytes:
        """The terms as canonical JSON."""
        by = self.return_or_destroy_by
        return canonical(
            {
                "v": 1,
                "grant": str(self.grant),
                "grantor": self.grantor.value,
                "grantee": self.grantee.value,
                "officers": [str(each) for each in self.officers],
                "basis": self.basis.value,
                "reference": self.reference,
                "legal_basis": self.legal_basis,
                "case": str(self.case_id),
                "proceeding": self.proceeding,
                "purposes": [each.value for each in self.purposes],
                "offences": list(self.offences),
                "persons": list(self.persons),
                "items": [
                    {"ern": str(each.ern), "version": each.version, "sha256": each.sha256}
                    for each in self.items
                ],
                "mode": self.mode.value,
                "conditions": list(self.conditions),
                "onward": self.onward.value,
                "defence": self.defence.value,
                "assurances": [each.value for each in self.assurances],
                "measures": [str(each) for each in self.measures],
                "valid_from": self.valid_from.text,
                "valid_until": self.valid_until.text,
                "downloads_max": self.downloads_max,
                "return_or_destroy_by": None if by is None else by.text,
                "rests_on": None if self.rests_on is None else str(self.rests_on),
            }
        )

    @property
    def digest(self) -> str:
        """What both sides sign: SHA-256 of the document, in hexadecimal."""
        return hashlib.sha256(self.document).hexdigest()

    @classmethod
    def parse(cls, document: bytes) -> Self:
        """Read terms.

        Raises:
            MalformedError: if they are none, or say anything that terms do not say.
        """
        raw = parse_canonical(document, "terms")
        try:
            terms = cls._read(raw)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise MalformedError("terms: expected those of version 1, whole") from None
        if terms.document != document:
            raise MalformedError("terms: expected the members of version 1 and no others")
        return terms

    @classmethod
    def _read(cls, raw: Mapping[str, Json]) -> Self:
        by, rests_on, most = raw["return_or_destroy_by"], raw["rests_on"], raw["downloads_max"]
        return cls(
            grant=DossierId.parse(str(raw["grant"]), DossierKind.GRANT),
            grantor=AuthorityId(str(raw["grantor"])),
            grantee=AuthorityId(str(raw["grantee"])),
            officers=tuple(map(PersonCode.parse, _texts(raw["officers"]))),
            basis=member(Basis, raw["basis"], "terms: basis"),
            reference=str(raw["reference"]),
            legal_basis=str(raw["legal_basis"]),
            case_id=CaseId.parse(str(raw["case"])),
            proceeding=str(raw["proceeding"]),
            purposes=tuple(purpose(each) for each in _texts(raw["purposes"])),
            offences=tuple(_texts(raw["offences"])),
            persons=tuple(_texts(raw["persons"])),
            items=tuple(map(_granted, _listed(raw["items"]))),
            mode=member(Mode, raw["mode"], "terms: mode"),
            conditions=tuple(_texts(raw["conditions"])),
            onward=member(Onward, raw["onward"], "terms: onward"),
            defence=member(DefenceDisclosure, raw["defence"], "terms: defence"),
            assurances=tuple(
                member(Assurance, each, "terms: assurance") for each in _texts(raw["assurances"])
            ),
            measures=tuple(
                DossierId.parse(each, DossierKind.MEASURE) for each in _texts(raw["measures"])
            ),
            valid_from=Moment.parse(str(raw["valid_from"])),
            valid_until=Moment.parse(str(raw["valid_until"])),
            downloads_max=_whole(most),
            return_or_destroy_by=None if by is None else Moment.parse(str(by)),
            rests_on=None
            if rests_on is None
            else DossierId.parse(str(rests_on), DossierKind.GRANT),
        )


def purpose(text: str) -> Purpose:
    """A purpose that something can be granted for.

    Raises:
        MalformedError: if it is none; immigration, intelligence and media never are.
    """
    return member(Purpose, text, "purpose")


def _granted(value: Json) -> Granted:
    match value:
        case {
            "ern": str(ern),
            "version": int(version),
            "sha256": str() | None as sha256,
        } if type(version) is int:  # to Python, true is a whole number
            return Granted(Ern.parse(ern), version, sha256)
        case _:
            raise MalformedError("terms: expected items by version and digest")


def _whole(value: Json) -> int | None:
    if value is not None and type(value) is not int:
        raise MalformedError("terms: downloads_max: expected a whole number")
    return value if isinstance(value, int) else None


def _listed(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise MalformedError("terms: expected a list")
    return value


def _texts(value: Json) -> list[str]:
    found = _listed(value)
    if not all(isinstance(each, str) for each in found):
        raise MalformedError("terms: expected a list of texts")
    return [str(each) for each in found]
