"""Acts on an item, as the rules of custody see them. The vocabulary is the field's (PREMIS, CASE).

An act says what was done, by which authority, when it was recorded, and, if somebody stated it,
when it happened. `data` is what its event says openly; `private` what was disclosed of the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Self

from evidence_store.canonical import Json
from evidence_store.errors import MalformedError
from evidence_store.identifiers import AuthorityId
from evidence_store.ledger.event import SignedEvent
from evidence_store.moment import Moment


class ActType(StrEnum):
    """What can be done with an item."""

    REGISTERED = "registered"
    QUARANTINED = "quarantined"
    RELEASED_FROM_QUARANTINE = "released_from_quarantine"
    VERSION_ADDED = "version_added"
    VOIDED = "voided"
    SEALED = "sealed"
    SEAL_CHECKED = "seal_checked"
    SEAL_BROKEN = "seal_broken"
    RESEALED = "resealed"
    CHECKED_IN = "checked_in"
    CHECKED_OUT = "checked_out"
    MOVED = "moved"
    OFFERED = "offered"
    OFFER_WITHDRAWN = "offer_withdrawn"
    OFFER_EXPIRED = "offer_expired"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    RELEASED = "released"
    RECEIVED = "received"
    RECEIVED_WITH_RESERVATIONS = "received_with_reservations"
    REJECTED_ON_ARRIVAL = "rejected_on_arrival"
    OVERDUE = "overdue"
    LOST_DECLARED = "lost_declared"
    FOUND = "found"
    DAMAGED_DECLARED = "damaged_declared"
    HOLD_PLACED = "hold_placed"
    HOLD_RELEASED = "hold_released"
    VERIFIED_MATCH = "verified_match"
    VERIFIED_MISMATCH = "verified_mismatch"
    NOT_VERIFIABLE = "not_verifiable"
    CLASSIFICATION_CHANGED = "classification_changed"
    EXPORTED = "exported"
    CORRECTION_OF = "correction_of"


class SealCheck(StrEnum):
    """What a look at a seal found."""

    INTACT = "intact"
    BROKEN = "broken"
    NUMBER_MISMATCH = "number_mismatch"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Act:
    """One act of an item's history."""

    type: ActType
    seq: int
    by: AuthorityId
    at: datetime
    data: Mapping[str, Json] = field(default_factory=dict)
    private: Mapping[str, Json] = field(default_factory=dict)

    @classmethod
    def of(cls, signed: SignedEvent) -> Self:
        """The act that an event records.

        Raises:
            MalformedError: if the event is none of this version, or of no known act.
            ProofError: if a disclosure does not belong to it.
        """
        event = signed.event
        try:
            kind = ActType(event.act)
        except ValueError:
            raise MalformedError("act: expected a known one", found=event.act) from None
        return cls(kind, event.seq, event.by.authority, event.at, event.data, signed.disclosed())

    @property
    def occurred_at(self) -> Moment | None:
        """When it happened, if that was stated and is disclosed.

        Raises:
            MalformedError: if what was stated is no time.
        """
        found = self.private.get("occurred_at")
        return Moment.parse(found) if isinstance(found, str) else None

    def text(self, name: str) -> str:
        """A field that must be there.

        Raises:
            MalformedError: if it is not, or no text.
        """
        found = self.data.get(name)
        if not isinstance(found, str) or not found:
            raise MalformedError(f"{self.type}: expected the field {name!r}")
        return found

    def texts(self, name: str) -> tuple[str, ...]:
        """A field that lists texts; empty if it is not there."""
        found = self.data.get(name)
        return tuple(str(each) for each in found) if isinstance(found, list) else ()
