"""An item's history as a court reads it: who held it, from when to when, why, and every gap.

Gaps are shown and never repaired: what weight they have is for the court. A history that could
not have happened (from elsewhere, or after tampering) is read all the same, and said to be so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from evidence_store.custody.act import Act, ActType, SealCheck
from evidence_store.custody.state import Custody, State, after, begun
from evidence_store.errors import EvidenceError, MalformedError
from evidence_store.identifiers import AuthorityId
from evidence_store.moment import SPAN, Moment

LATE = timedelta(hours=24)
CLOCK_TOLERANCE = timedelta(minutes=5)


class GapKind(StrEnum):
    """What a history does not show, or should not show."""

    NO_CUSTODIAN = "no_custodian"
    NO_RECEIPT = "no_receipt"
    RESERVATION = "reservation"
    SEAL = "seal"
    IMPOSSIBLE = "impossible"
    MISSING_EVENT = "missing_event"
    MISMATCH = "mismatch"
    LOST = "lost"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Gap:
    """A gap, and the act at which it shows."""

    kind: GapKind
    seq: int
    detail: str


@dataclass(frozen=True, slots=True)
class Row:
    """One act in the timeline, and the custody after it; None where there is none to tell."""

    act: Act
    custodian: AuthorityId | None
    state: State | None
    late: bool


@dataclass(frozen=True, slots=True)
class History:
    """An item's history: its rows, where it ends, and its gaps."""

    rows: tuple[Row, ...]
    custody: Custody | None
    gaps: tuple[Gap, ...]


def history(acts: Sequence[Act]) -> History:
    """Read acts in the order in which they are shown. Never raises: what is wrong is a gap."""
    rows: list[Row] = []
    gaps: list[Gap] = []
    custody: Custody | None = None
    expected = 1  # the number of the next event
    reached: datetime | None = None  # the latest time at which an act so far happened
    recorded: datetime | None = None
    for act in acts:
        gaps += _gaps_in_numbers(act, expected)
        gaps += _gaps_in_time(act, recorded)
        before = custody
        try:
            custody = begun(act) if custody is None else after(custody, act)
        except EvidenceError as error:
            gaps.append(Gap(GapKind.IMPOSSIBLE, act.seq, str(error)))
        gaps += _gaps_at(act, before)
        lateness = _lateness(act, reached)
        if lateness is not None:
            gaps.append(Gap(GapKind.LATE, act.seq, lateness))
        custodian = None if custody is None else custody.custodian
        state = None if custody is None else custody.state
        rows.append(Row(act, custodian, state, lateness is not None))
        expected = max(expected, act.seq + 1)
        reached = _later(reached, _earliest(act))
        recorded = _later(recorded, act.at)
    gaps += _gaps_at_end(acts, custody)
    return History(tuple(rows), custody, tuple(gaps))


def _gaps_in_numbers(act: Act, expected: int) -> list[Gap]:
    if act.seq < expected:
        detail = f"expected event {expected}; event {act.seq} comes twice, or out of its order"
        return [Gap(GapKind.IMPOSSIBLE, act.seq, detail)]
    if act.seq > expected:
        last = act.seq - 1
        what = f"event {last} is" if last == expected else f"events {expected} to {last} are"
        return [Gap(GapKind.MISSING_EVENT, act.seq, f"{what} missing")]
    return []


def _gaps_in_time(act: Act, recorded: datetime | None) -> list[Gap]:
    found: list[Gap] = []
    if recorded is not None and recorded - act.at > CLOCK_TOLERANCE:
        detail = f"recorded at {act.at.isoformat()}, which is before an earlier act was"
        found.append(Gap(GapKind.IMPOSSIBLE, act.seq, detail))
    try:
        stated = act.occurred_at
    except MalformedError as error:
        found.append(Gap(GapKind.IMPOSSIBLE, act.seq, str(error)))
    else:
        earliest = None if stated is None else stated.earliest
        if earliest is not None and earliest - act.at > CLOCK_TOLERANCE:
            detail = f"said to have happened at {stated}, which is after it was recorded"
            found.append(Gap(GapKind.IMPOSSIBLE, act.seq, detail))
    return found


def _gaps_at(act: Act, before: Custody | None) -> list[Gap]:
    found: list[Gap] = []
    match act.type:
        case ActType.REGISTERED if _since(act, act.at) > LATE:
            detail = "nobody is recorded as custodian between collection and registration"
            found.append(Gap(GapKind.NO_CUSTODIAN, act.seq, detail))
        case ActType.SEAL_CHECKED | ActType.RESEALED if before is not None:
            found += [Gap(GapKind.SEAL, act.seq, detail) for detail in _seal_riddles(act, before)]
        case ActType.RECEIVED_WITH_RESERVATIONS | ActType.REJECTED_ON_ARRIVAL:
            detail = f"on arrival: {act.data.get('condition')}"
            found.append(Gap(GapKind.RESERVATION, act.seq, detail))
        case ActType.VERIFIED_MISMATCH:
            found.append(Gap(GapKind.MISMATCH, act.seq, "the bytes were not those registered"))
        case ActType.LOST_DECLARED:
            found.append(Gap(GapKind.LOST, act.seq, f"declared lost by {act.by}"))
        case ActType.OVERDUE:
            found.append(Gap(GapKind.NO_RECEIPT, act.seq, "overdue"))
        case _:
            pass
    return found


def _seal_riddles(act: Act, before: Custody) -> list[str]:
    """What the seals show that no earlier act explains."""
    if act.type is ActType.RESEALED:
        intact = [number for number, check in before.seals.items() if check is SealCheck.INTACT]
        changed = f"seal {', '.join(intact)} was replaced without being broken first"
        return [changed] if intact else []
    riddles: list[str] = []
    check, numbers = act.data.get("check"), act.texts("seals")
    if check != SealCheck.INTACT:
        looked_at = ", ".join(numbers or before.seals) or "without a number"
        riddles.append(f"seal {looked_at}: {check or 'what was found is not recorded'}")
    foreign = [number for number in numbers if number not in before.seals]
    if foreign:
        riddles.append(f"seal {', '.join(foreign)}: nobody is recorded to have put it on")
    return riddles


def _gaps_at_end(acts: Sequence[Act], custody: Custody | None) -> list[Gap]:
    if custody is None or not custody.in_transit:
        return []
    detail = f"released on {custody.since.isoformat()}; no receipt is recorded"
    return [Gap(GapKind.NO_RECEIPT, acts[-1].seq, detail)]


def _stated(act: Act) -> Moment | None:
    try:
        return act.occurred_at
    except MalformedError:  # a gap by itself; what cannot be read tells no time
        return None


def _earliest(act: Act) -> datetime:
    """When the act happened at the earliest; one without a stated time, when it was recorded."""
    stated = _stated(act)
    return act.at if stated is None or stated.earliest is None else stated.earliest


def _since(act: Act, instant: datetime) -> timedelta:
    """How long after the act happened this is, at least; nothing if no time was stated."""
    stated = _stated(act)
    if stated is None or stated.earliest is None:
        return timedelta()
    return instant - stated.earliest - SPAN[stated.precision]


def _lateness(act: Act, reached: datetime | None) -> str | None:
    """Why the act is a late entry, if it is one."""
    delay = _since(act, act.at)
    if delay > LATE:
        return f"recorded {delay.days} days or more after it happened"
    if reached is not None and _since(act, reached) > timedelta():
        return "happened before an act that was recorded earlier"
    return None


def _later(first: datetime | None, second: datetime) -> datetime:
    return second if first is None else max(first, second)
