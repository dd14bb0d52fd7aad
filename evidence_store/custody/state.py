"""The table of states and acts: nothing outside it is possible.

At any instant an item has exactly one custodian: an authority, which may have given it to a
named carrier. Custody passes at the receipt and not before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from evidence_store.classification import Classification
from evidence_store.custody.act import Act, ActType, SealCheck
from evidence_store.custody.transfer import Condition
from evidence_store.errors import CustodyError, MalformedError
from evidence_store.identifiers import AuthorityId


class State(StrEnum):
    """Where an item stands."""

    REGISTERED = "registered"
    QUARANTINED = "quarantined"
    SEALED = "sealed"
    IN_STORE = "in_store"
    CHECKED_OUT = "checked_out"
    IN_TRANSIT = "in_transit"
    LOANED = "loaned"
    TRANSFERRED = "transferred"
    RETURNED = "returned"
    LOST = "lost"
    VOID = "void"


class Step(StrEnum):
    """How far an open transfer has come."""

    OFFERED = "offered"
    ACCEPTED = "accepted"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class OpenTransfer:
    """A transfer that is under way for the item."""

    transfer: str
    offer: str
    receiver: AuthorityId
    step: Step
    loan: bool = False


@dataclass(frozen=True, slots=True)
class Custody:
    """Where an item is, as its acts so far have it.

    `custodian` answers for it; `in_transit` says that a carrier has it meanwhile. `seals` are
    the numbers on it and what was last found of each.
    """

    state: State
    custodian: AuthorityId
    since: datetime
    seq: int
    seals: Mapping[str, SealCheck] = field(default_factory=dict)
    holds: Mapping[str, AuthorityId] = field(default_factory=dict)
    transfer: OpenTransfer | None = None
    owner: AuthorityId | None = None  # whose it was first
    lender: AuthorityId | None = None  # who lent it to the custodian
    classification: Classification = Classification.CONFIDENTIAL

    @property
    def in_transit(self) -> bool:
        """Whether a carrier has it."""
        return self.state is State.IN_TRANSIT


HELD = frozenset(
    {
        State.REGISTERED,
        State.SEALED,
        State.IN_STORE,
        State.CHECKED_OUT,
        State.LOANED,
        State.TRANSFERRED,
        State.RETURNED,
    }
)
ANYWHERE = frozenset(State) - {State.VOID}
SAME = None  # the act changes no state

# For each act: the states in which it is possible, and the state that follows.
TABLE: Mapping[ActType, tuple[frozenset[State], State | None]] = {
    ActType.QUARANTINED: (HELD, State.QUARANTINED),
    ActType.RELEASED_FROM_QUARANTINE: (frozenset({State.QUARANTINED}), State.REGISTERED),
    ActType.VERSION_ADDED: (HELD | {State.QUARANTINED, State.IN_TRANSIT}, SAME),
    ActType.VOIDED: (HELD | {State.QUARANTINED, State.LOST}, State.VOID),
    ActType.SEALED: (HELD, State.SEALED),
    ActType.SEAL_CHECKED: (HELD | {State.QUARANTINED}, SAME),
    ActType.SEAL_BROKEN: (HELD | {State.QUARANTINED}, SAME),
    ActType.RESEALED: (HELD, State.SEALED),
    ActType.CHECKED_IN: (HELD - {State.IN_STORE}, State.IN_STORE),
    ActType.CHECKED_OUT: (HELD - {State.CHECKED_OUT}, State.CHECKED_OUT),
    ActType.MOVED: (HELD | {State.QUARANTINED}, SAME),
    ActType.OFFERED: (HELD, SAME),
    ActType.OFFER_WITHDRAWN: (HELD, SAME),
    ActType.OFFER_EXPIRED: (HELD, SAME),
    ActType.ACCEPTED: (HELD, SAME),
    ActType.REFUSED: (HELD, SAME),
    ActType.RELEASED: (HELD, State.IN_TRANSIT),
    ActType.RECEIVED: (frozenset({State.IN_TRANSIT}), State.TRANSFERRED),
    ActType.RECEIVED_WITH_RESERVATIONS: (frozenset({State.IN_TRANSIT}), State.TRANSFERRED),
    ActType.REJECTED_ON_ARRIVAL: (frozenset({State.IN_TRANSIT}), State.RETURNED),
    ActType.OVERDUE: (HELD | {State.IN_TRANSIT}, SAME),  # held: only what was lent
    ActType.LOST_DECLARED: (HELD | {State.IN_TRANSIT}, State.LOST),
    ActType.FOUND: (frozenset({State.LOST}), State.RETURNED),
    ActType.DAMAGED_DECLARED: (ANYWHERE, SAME),
    ActType.HOLD_PLACED: (ANYWHERE, SAME),
    ActType.HOLD_RELEASED: (ANYWHERE, SAME),
    ActType.VERIFIED_MATCH: (ANYWHERE, SAME),
    ActType.VERIFIED_MISMATCH: (ANYWHERE, SAME),
    ActType.NOT_VERIFIABLE: (ANYWHERE, SAME),
    ActType.CLASSIFICATION_CHANGED: (ANYWHERE, SAME),
    ActType.EXPORTED: (frozenset(State), SAME),
    ActType.CORRECTION_OF: (frozenset(State), SAME),
}
BY_CUSTODIAN = frozenset(
    {
        ActType.QUARANTINED,
        ActType.RELEASED_FROM_QUARANTINE,
        ActType.VOIDED,
        ActType.SEALED,
        ActType.SEAL_BROKEN,
        ActType.RESEALED,
        ActType.CHECKED_IN,
        ActType.CHECKED_OUT,
        ActType.MOVED,
        ActType.OFFERED,
        ActType.OFFER_WITHDRAWN,
        ActType.OFFER_EXPIRED,
        ActType.RELEASED,
        ActType.LOST_DECLARED,
        ActType.FOUND,
        ActType.CLASSIFICATION_CHANGED,
    }
)
BY_RECEIVER = frozenset(
    {
        ActType.ACCEPTED,
        ActType.REFUSED,
        ActType.RECEIVED,
        ActType.RECEIVED_WITH_RESERVATIONS,
        ActType.REJECTED_ON_ARRIVAL,
    }
)
RECEIPTS = frozenset({ActType.RECEIVED, ActType.RECEIVED_WITH_RESERVATIONS})
ON_ARRIVAL: Mapping[str, SealCheck] = {
    Condition.SEAL_BROKEN: SealCheck.BROKEN,
    Condition.SEAL_MISMATCH: SealCheck.NUMBER_MISMATCH,
}
# For each act of a transfer: how far it must have come, and how far it has come then.
TRANSFER: Mapping[ActType, tuple[Step | None, Step | None]] = {
    ActType.OFFERED: (None, Step.OFFERED),
    ActType.OFFER_WITHDRAWN: (Step.OFFERED, None),
    ActType.OFFER_EXPIRED: (Step.OFFERED, None),
    ActType.REFUSED: (Step.OFFERED, None),
    ActType.ACCEPTED: (Step.OFFERED, Step.ACCEPTED),
    ActType.RELEASED: (Step.ACCEPTED, Step.RELEASED),
    ActType.RECEIVED: (Step.RELEASED, None),
    ActType.RECEIVED_WITH_RESERVATIONS: (Step.RELEASED, None),
    ActType.REJECTED_ON_ARRIVAL: (Step.RELEASED, None),
}


# Until the items are let go, the sender can take the offer back, also once it is accepted.
_BEFORE_RELEASE = frozenset({ActType.OFFER_WITHDRAWN, ActType.OFFER_EXPIRED})


def begun(act: Act) -> Custody:
    """The custody that the first act begins.

    Raises:
        CustodyError: if the first act is no registration.
    """
    if act.type is not ActType.REGISTERED:
        raise CustodyError(
            f"custody: expected the history to begin with registered, found {act.type}"
        )
    seals = dict.fromkeys(act.texts("seals"), SealCheck.INTACT)
    return Custody(State.REGISTERED, act.by, act.at, act.seq, seals, owner=act.by)


def possible(custody: Custody) -> list[ActType]:
    """The acts that the item's state allows, whoever does them."""
    return [
        act
        for act, (states, _) in TABLE.items()
        if custody.state in states
        and _step_fits(custody, act)
        and not (act is ActType.VOIDED and custody.holds)  # a hold keeps what it is on
    ]


def after(custody: Custody, act: Act) -> Custody:
    """The custody that an act leads to.

    Raises:
        CustodyError: if the act is not possible now, or not by this authority.
        MalformedError: if it lacks a field that it must have.
    """
    _permit(custody, act)
    _insist_on_fields(act)
    _, following = TABLE[act.type]
    changed = replace(
        custody,
        state=custody.state if following is SAME else following,
        since=custody.since if following is SAME else act.at,
        seq=act.seq,
        seals=_seals(custody, act),
        holds=_holds(custody, act),
        transfer=_transfer(custody, act),
        classification=_classification(custody, act),
    )
    if act.type not in RECEIPTS:
        return changed
    if act.text("condition") == Condition.MISSING:  # who did not get it does not hold it
        return replace(custody, seq=act.seq)
    return _received(changed, custody, act)


def _permit(custody: Custody, act: Act) -> None:
    if act.type is ActType.REGISTERED or act.type not in possible(custody):
        raise CustodyError(f"{act.type}: {_why_not(custody, act.type)}")
    _permit_by(custody, act)


def _why_not(custody: Custody, act: ActType) -> str:
    """What the act needs, and what the item is: not all that could be done with it instead."""
    found = _situation(custody)
    states = TABLE[act][0] if act in TABLE else frozenset()
    if not states:
        return f"begins a history; the item is {found}"
    if custody.state in states:
        return f"not at this step; the item is {found}"
    wanted = "held" if states >= HELD else ""
    others = states - HELD if wanted else states
    expected = [wanted] * bool(wanted) + sorted(each.value for each in others)
    return f"expected an item that is {' or '.join(expected)}; found it {found}"


def _permit_by(custody: Custody, act: Act) -> None:
    """Insist that this authority may do it, and of a transfer, of the one that is under way."""
    if act.type in BY_CUSTODIAN and act.by != custody.custodian:
        raise CustodyError(
            f"{act.type}: expected the custodian, {custody.custodian}; found {act.by}"
        )
    if act.type is ActType.OVERDUE:
        # Who keeps a loan too long will not say so: it is for the lender to say.
        waiting = custody.custodian if custody.in_transit else custody.lender
        if act.by != waiting:
            raise CustodyError(f"overdue: expected {waiting}, who waits for it; found {act.by}")
    opened = custody.transfer
    if act.type in BY_RECEIVER and opened is not None and act.by != opened.receiver:
        raise CustodyError(f"{act.type}: expected the receiver, {opened.receiver}; found {act.by}")
    if act.type in TRANSFER and act.type is not ActType.OFFERED and opened is not None:
        named = (act.text("transfer"), act.text("offer"))
        if named != (opened.transfer, opened.offer):
            raise CustodyError(
                f"{act.type}: expected the offer of {opened.transfer} as it was made"
            )


def _insist_on_fields(act: Act) -> None:
    match act.type:
        case ActType.SEALED | ActType.RESEALED if not act.texts("seals"):
            raise MalformedError(f"{act.type}: expected the numbers of the seals")
        case ActType.CORRECTION_OF:
            corrected = act.data.get("corrects")
            if type(corrected) is not int or not 1 <= corrected < act.seq:
                raise CustodyError(
                    f"correction_of: expected the number of an event before {act.seq}, "
                    f"found {corrected}"
                )
        case ActType.RECEIVED if act.text("condition") != Condition.OK:
            raise MalformedError(
                "received: expected the condition ok (anything else is received_with_reservations)",
                found=act.text("condition"),
            )
        case ActType.RECEIVED_WITH_RESERVATIONS if act.text("condition") not in set(Condition):
            raise MalformedError(
                f"{act.type}: expected a condition among {', '.join(Condition)}",
                found=act.text("condition"),
            )
        case _:
            pass


def _step_fits(custody: Custody, act: ActType) -> bool:
    if act is ActType.OVERDUE:
        return custody.in_transit or custody.lender is not None
    if act not in TRANSFER:
        # While an item is offered or on its way, what would change hands or state must wait.
        changes = TABLE[act][1] is not SAME and act is not ActType.LOST_DECLARED
        return custody.transfer is None or not changes
    step = None if custody.transfer is None else custody.transfer.step
    if act in _BEFORE_RELEASE:
        return step in {Step.OFFERED, Step.ACCEPTED}
    return TRANSFER[act][0] is step


def _transfer(custody: Custody, act: Act) -> OpenTransfer | None:
    if act.type in {ActType.LOST_DECLARED, ActType.VOIDED}:
        return None
    if act.type not in TRANSFER:
        return custody.transfer
    _, step = TRANSFER[act.type]
    if step is None:
        return None
    if custody.transfer is not None:
        return replace(custody.transfer, step=step)
    receiver = AuthorityId(act.text("to"))
    if receiver == custody.custodian:
        raise CustodyError(f"offered: {receiver} holds it; expected another authority")
    return OpenTransfer(
        transfer=act.text("transfer"),
        offer=act.text("offer"),
        receiver=receiver,
        step=step,
        loan=act.data.get("loan") is True,
    )


def _received(changed: Custody, before: Custody, act: Act) -> Custody:
    lent = before.transfer is not None and before.transfer.loan
    if act.by in {before.owner, before.lender}:
        state = State.RETURNED
    else:
        state = State.LOANED if lent else State.TRANSFERRED
    lender = before.custodian if state is State.LOANED else None
    return replace(changed, custodian=act.by, state=state, lender=lender)


def _seals(custody: Custody, act: Act) -> Mapping[str, SealCheck]:
    numbers = act.texts("seals")
    match act.type:
        case ActType.SEALED:
            return {**custody.seals, **dict.fromkeys(numbers, SealCheck.INTACT)}
        case ActType.RESEALED:
            return dict.fromkeys(numbers, SealCheck.INTACT)
        case ActType.SEAL_BROKEN:
            broken = numbers or tuple(custody.seals)
            return {**custody.seals, **dict.fromkeys(broken, SealCheck.BROKEN)}
        case ActType.SEAL_CHECKED:
            found = _check(act.text("check"))
            return {**custody.seals, **dict.fromkeys(numbers or tuple(custody.seals), found)}
        case ActType.RECEIVED_WITH_RESERVATIONS:
            # The receipt does not say which seal: none of them can be relied on any more.
            arrived = ON_ARRIVAL.get(act.text("condition"))
            return custody.seals if arrived is None else dict.fromkeys(custody.seals, arrived)
        case _:
            return custody.seals


def _check(text: str) -> SealCheck:
    try:
        return SealCheck(text)
    except ValueError:
        raise MalformedError(
            f"seal_checked: expected one of {', '.join(SealCheck)}", found=text
        ) from None


def _holds(custody: Custody, act: Act) -> Mapping[str, AuthorityId]:
    match act.type:
        case ActType.HOLD_PLACED:
            hold = act.text("hold")
            if hold in custody.holds:
                raise CustodyError(f"hold {hold!r} is placed already, by {custody.holds[hold]}")
            return {**custody.holds, hold: act.by}
        case ActType.HOLD_RELEASED:
            hold = act.text("hold")
            if custody.holds.get(hold) != act.by:
                placed = custody.holds.get(hold)
                raise CustodyError(
                    f"hold {hold!r}: expected the authority that placed it, "
                    f"{placed or 'nobody did'}; found {act.by}"
                )
            return {name: by for name, by in custody.holds.items() if name != hold}
        case _:
            return custody.holds


def _classification(custody: Custody, act: Act) -> Classification:
    if act.type is not ActType.CLASSIFICATION_CHANGED:
        return custody.classification
    found = act.text("classification")
    try:
        return Classification(found)
    except ValueError:
        raise MalformedError(
            f"{act.type}: expected one of {', '.join(Classification)}", found=found
        ) from None


def _situation(custody: Custody) -> str:
    opened = custody.transfer
    way = "" if opened is None else f", {opened.step} to {opened.receiver} as {opened.transfer}"
    return f"{custody.state} with {custody.custodian}{way}"
