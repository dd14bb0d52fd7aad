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
from evidence_store.errors import EvidenceError
from evidence_store.identifiers import AuthorityId

LATE = timedelta(hours=24)


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
    """Read acts in the order of their numbers. Never raises: what is wrong is a gap."""
    rows: list[Row] = []
    gaps: list[Gap] = []
    custody: Custody | None = None
    for number, act in enumerate(acts, start=1):
        if act.seq != number + sum(gap.kind is GapKind.MISSING_EVENT for gap in gaps):
            gaps.append(
                Gap(GapKind.MISSING_EVENT, act.seq, f"an event before {act.seq} is missing")
            )
        before = custody
        try:
            custody = begun(act) if custody is None else after(custody, act)
        except (EvidenceError, ValueError) as error:
            gaps.append(Gap(GapKind.IMPOSSIBLE, act.seq, str(error)))
        gaps += _gaps_at(act, before)
        late = _is_late(act)
        if late:
            gaps.append(Gap(GapKind.LATE, act.seq, f"recorded {_delay(act)} after it happened"))
        custodian = None if custody is None else custody.custodian
        state = None if custody is None else custody.state
        rows.append(Row(act, custodian, state, late))
    gaps += _gaps_at_end(acts, custody)
    return History(tuple(rows), custody, tuple(gaps))


def _gaps_at(act: Act, before: Custody | None) -> list[Gap]:
    found: list[Gap] = []
    match act.type:
        case ActType.REGISTERED if _is_late(act):
            detail = "nobody is recorded as custodian between collection and registration"
            found.append(Gap(GapKind.NO_CUSTODIAN, act.seq, detail))
        case ActType.SEAL_CHECKED if act.data.get("check") != SealCheck.INTACT:
            detail = f"seal {', '.join(act.texts('seals'))}: {act.data.get('check')}"
            found.append(Gap(GapKind.SEAL, act.seq, detail))
        case ActType.RESEALED if before is not None and not _opened(before):
            detail = f"the seals changed from {', '.join(before.seals)} without being broken"
            found.append(Gap(GapKind.SEAL, act.seq, detail))
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


def _opened(custody: Custody) -> bool:
    """Whether the seals were broken, or there were none, so that new ones are no riddle."""
    return all(check is not SealCheck.INTACT for check in custody.seals.values())


def _gaps_at_end(acts: Sequence[Act], custody: Custody | None) -> list[Gap]:
    if custody is None or not custody.in_transit:
        return []
    detail = f"released on {custody.since.isoformat()}; no receipt is recorded"
    return [Gap(GapKind.NO_RECEIPT, acts[-1].seq, detail)]


def _happened_at(act: Act) -> datetime | None:
    moment = act.occurred_at
    return None if moment is None else moment.earliest


def _is_late(act: Act) -> bool:
    happened_at = _happened_at(act)
    return happened_at is not None and act.at - happened_at > LATE


def _delay(act: Act) -> str:
    happened_at = _happened_at(act)
    delay = timedelta() if happened_at is None else act.at - happened_at
    return f"{delay.days} days" if delay.days else f"{delay.seconds // 3600} hours"
