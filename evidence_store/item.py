"""Cases, items of evidence and their versions, as values.

An item is one piece of evidence under one ERN. Its bytes, if it has any, are in
versions: the original, and whatever was derived from it. Values refer to each
other by identifier. Nothing here says who holds an item: that is custody.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum

from evidence_store.digest import Digest, Fingerprint
from evidence_store.errors import MalformedError
from evidence_store.identifiers import CaseId, Ern, ObjectName, PersonCode
from evidence_store.kinds import EvidenceKind, FieldValue, checked_fields
from evidence_store.moment import Moment, in_utc
from evidence_store.provider import ProviderTerms
from evidence_store.wording import stated

SOURCE_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Case:
    """A case: what evidence is gathered for. `reference` is the authority's own number."""

    case_id: CaseId
    title: str
    reference: str | None
    opened_at: datetime

    def __post_init__(self) -> None:
        stated(self.title, "case: title")
        in_utc(self.opened_at)


@dataclass(frozen=True, slots=True)
class Person:
    """A person by role code. `name` is as stated by the officer; it may be a pseudonym."""

    code: PersonCode
    name: str

    def __post_init__(self) -> None:
        stated(self.name, "person: name")


class ItemStatus(StrEnum):
    """Where an item stands at intake. Custody has its own states."""

    REGISTERED = "registered"
    QUARANTINED = "quarantined"
    VOID = "void"


class VersionType(StrEnum):
    """What a version is to the item's original."""

    ORIGINAL = "original"
    EVIDENTIARY_COPY = "evidentiary_copy"
    WORKING_COPY = "working_copy"
    CERTIFIED_COPY = "certified_copy"
    REDACTED = "redacted"
    TRANSLATION = "translation"
    TRANSCRIPT = "transcript"
    EXTRACT = "extract"
    NORMALISED = "normalised"


@dataclass(frozen=True, slots=True)
class Asserted:
    """What an officer asserts about an item, apart from what its file claims about itself."""

    kind: EvidenceKind
    collected_by: PersonCode
    collected_at: Moment
    method: str
    place: str
    source: str
    fields: Mapping[str, FieldValue] = field(default_factory=dict)
    terms: ProviderTerms | None = None  # None: recorded that the provider set none
    title: str | None = None

    def __post_init__(self) -> None:
        for name in ("method", "place", "source"):
            stated(getattr(self, name), name, unknown=True)
        if self.title is not None:
            stated(self.title, "title")
        checked_fields(self.kind, self.fields)

    def differing(self, other: "Asserted") -> list[str]:
        """The names of what the other asserts otherwise, in the order of the fields."""
        names = (each.name for each in fields(self))
        return [name for name in names if getattr(self, name) != getattr(other, name)]


@dataclass(frozen=True, slots=True)
class Item:
    """An item of evidence. `source_name` is the name it came under, byte for byte.

    `source_key` makes intake idempotent: two items never have the same one. It
    is None for what is registered by hand (exhibits).
    """

    ern: Ern
    case_id: CaseId
    status: ItemStatus
    asserted: Asserted
    registered_at: datetime
    source_name: bytes | None = None
    source_key: bytes | None = None
    stated_sha256: Digest | None = None
    status_reason: str | None = None

    def __post_init__(self) -> None:
        in_utc(self.registered_at)
        if self.status is not ItemStatus.REGISTERED and not self.status_reason:
            raise MalformedError(f"item: one that is {self.status} needs a reason")
        if self.source_key is not None and len(self.source_key) != SOURCE_KEY_BYTES:
            raise MalformedError(f"item: a source key of {len(self.source_key)} bytes")


@dataclass(frozen=True, slots=True)
class Listed:
    """What a list shows of an item; for it no more of the item is read, or checked."""

    ern: Ern
    case_id: CaseId
    status: ItemStatus
    kind: EvidenceKind
    registered_at: datetime
    title: str | None = None

    def __post_init__(self) -> None:
        in_utc(self.registered_at)
        if self.title is not None:
            stated(self.title, "title")


@dataclass(frozen=True, slots=True)
class SealedObject:
    """Encrypted bytes in the object store, and the age header that opens them.

    `fingerprint` is of the content, `stored_bytes` the length of what is stored.
    `recipient` names the key that the header is wrapped to. A header of no bytes
    means that the key was destroyed: the content is disposed of.
    """

    name: ObjectName
    fingerprint: Fingerprint
    stored_bytes: int
    header: bytes = field(repr=False)
    recipient: str


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an item: which bytes, what they are to the original, and how they came."""

    ern: Ern
    number: int
    type: VersionType
    fingerprint: Fingerprint
    object_name: ObjectName
    media_type: str
    added_at: datetime
    derived_from: int | None = None
    method: str | None = None
    language: str | None = None
    name_mismatch: bool = False  # the name's ending speaks of another type than the content

    def __post_init__(self) -> None:
        in_utc(self.added_at)
        if self.number < 1:
            raise MalformedError(f"version: the number {self.number} is not positive")
        if (self.type is VersionType.ORIGINAL) != (self.derived_from is None):
            raise MalformedError("version: an original is derived from nothing, every other is")
        if self.derived_from is not None and not 1 <= self.derived_from < self.number:
            raise MalformedError(
                f"version: {self.number} cannot be derived from {self.derived_from}"
            )
