"""Acts of custody that an officer records by hand: the same for the command line and over HTTP."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from api.cli.output import Json
from api.spelling import rfc3339
from evidence_store.canonical import Json as Canonical
from evidence_store.classification import Classification
from evidence_store.custody.act import ActType, SealCheck
from evidence_store.custody.state import Custody
from evidence_store.errors import MalformedError
from evidence_store.handling import handle, history_of
from evidence_store.identifiers import Ern
from evidence_store.ledger.event import Draft
from evidence_store.moment import Moment
from evidence_store.ports import CatalogWriter
from evidence_store.recording import Recorder

# The rest comes with the command that does it.
BY_HAND = (
    ActType.RELEASED_FROM_QUARANTINE,
    ActType.SEALED,
    ActType.SEAL_CHECKED,
    ActType.SEAL_BROKEN,
    ActType.RESEALED,
    ActType.CHECKED_IN,
    ActType.CHECKED_OUT,
    ActType.MOVED,
    ActType.DAMAGED_DECLARED,
    ActType.LOST_DECLARED,
    ActType.FOUND,
    ActType.HOLD_PLACED,
    ActType.HOLD_RELEASED,
    ActType.CLASSIFICATION_CHANGED,
    ActType.CORRECTION_OF,
)
SEALS_NEEDED = (ActType.SEALED, ActType.RESEALED)
GOES_WITH = {
    "check": (ActType.SEAL_CHECKED,),
    "hold": (ActType.HOLD_PLACED, ActType.HOLD_RELEASED),
    "corrects": (ActType.CORRECTION_OF,),
    "classification": (ActType.CLASSIFICATION_CHANGED,),
}


@dataclass(frozen=True, slots=True)
class ByHand:
    """An act, and what it says. `occurred_at` makes a late entry; it says when it happened."""

    act: str
    person: str
    seals: Sequence[str] = ()
    check: SealCheck | None = None
    hold: str | None = None
    corrects: int | None = None
    classification: Classification | None = None
    place: str | None = None
    purpose: str | None = None
    note: str | None = None
    occurred_at: str | None = None


def act_by_hand(
    writer: CatalogWriter, recorder: Recorder, ern: Ern, said: ByHand
) -> Custody | None:
    """Record an act on an item, if the rules of custody allow it; returns the custody after it.

    Raises:
        MalformedError: if it is no act by hand, or says what does not go with it.
        CustodyError, NotFoundError, KeyUnavailableError: as `handle`.
    """
    kind = _chosen(said.act)
    own: dict[str, Canonical] = {
        "check": None if said.check is None else said.check.value,
        "hold": said.hold,
        "corrects": said.corrects,
        "classification": None if said.classification is None else said.classification.value,
    }
    words = {
        "officer": said.person,
        "place": said.place,
        "purpose": said.purpose,
        "note": said.note,
    }
    private: dict[str, Canonical] = {
        name: value for name, value in words.items() if value is not None
    }
    if said.occurred_at is not None:
        private["occurred_at"] = Moment.parse(said.occurred_at).not_after(recorder.clock.now()).text
    draft = Draft(ern, kind.value, _data(kind, said.seals, own), private)
    handle(writer, recorder, [draft])
    return history_of(writer.ledger, ern).custody


def custody_fields(custody: Custody | None) -> dict[str, Json]:
    """Custody as a record's fields."""
    if custody is None:
        return {"state": None, "custodian": None, "since": None, "seals": {}, "holds": {}}
    opened = custody.transfer
    return {
        "state": custody.state.value,
        "custodian": str(custody.custodian),
        "since": rfc3339(custody.since),
        "seals": {number: check.value for number, check in custody.seals.items()},
        "holds": {hold: str(by) for hold, by in custody.holds.items()},
        "transfer": None if opened is None else opened.transfer,
    }


def _chosen(kind: str) -> ActType:
    for each in BY_HAND:
        if each.value == kind:
            return each
    raise MalformedError(f"act: expected one of {', '.join(BY_HAND)}", found=kind)


def _data(
    kind: ActType, seals: Sequence[str], own: Mapping[str, Canonical]
) -> dict[str, Canonical]:
    """What an act says openly; `own` is what goes with one kind of act only."""
    if kind in SEALS_NEEDED and not seals:
        raise MalformedError(f"{kind}: expected the numbers of the seals")
    for name, value in own.items():
        kinds = GOES_WITH[name]
        if (value is not None) != (kind in kinds):
            raise MalformedError(f"{name}: goes with {', '.join(kinds)}, and only with it")
    given: dict[str, Canonical] = {"seals": list(seals) if seals else None, **own}
    return {name: value for name, value in given.items() if value is not None}
