from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence_store.canonical import Json
from evidence_store.custody.act import Act, ActType, SealCheck
from evidence_store.custody.state import (
    BY_CUSTODIAN,
    BY_RECEIVER,
    TABLE,
    TRANSFER,
    Custody,
    State,
    Step,
    after,
    begun,
    possible,
)
from evidence_store.custody.timeline import GapKind, history
from evidence_store.errors import CustodyError, MalformedError
from evidence_store.identifiers import AuthorityId

POLICE, LAB, COURT = AuthorityId("police"), AuthorityId("lab"), AuthorityId("court")
START = datetime(2026, 3, 14, 9, tzinfo=UTC)
OFFER: dict[str, Json] = {"transfer": "SI-TRF-000001", "offer": "00", "to": "lab"}
FIELDS: dict[ActType, dict[str, Json]] = {
    ActType.SEAL_CHECKED: {"check": "intact"},
    ActType.SEALED: {"seals": ["B-1"]},
    ActType.RESEALED: {"seals": ["C-1"]},
    ActType.HOLD_PLACED: {"hold": "order 1"},
    ActType.HOLD_RELEASED: {"hold": "order 1"},
    ActType.CORRECTION_OF: {"corrects": 1},
    ActType.CLASSIFICATION_CHANGED: {"classification": "public"},
    ActType.RECEIVED: {"condition": "ok"},
    ActType.RECEIVED_WITH_RESERVATIONS: {"condition": "damaged"},
    ActType.REJECTED_ON_ARRIVAL: {"condition": "damaged"},
}


def act(kind: ActType, by: AuthorityId = POLICE, seq: int = 1, **data: Json) -> Act:
    fields = {**(OFFER if kind in TRANSFER else {}), **FIELDS.get(kind, {})}
    return Act(kind, seq, by, START + timedelta(minutes=seq), {**fields, **data})


def acts(*kinds: ActType | tuple[ActType, AuthorityId]) -> list[Act]:
    """A history that begins with a registration by the police."""
    found = [act(ActType.REGISTERED, seals=["A-1"])]
    for seq, each in enumerate(kinds, start=2):
        kind, by = each if isinstance(each, tuple) else (each, POLICE)
        found.append(act(kind, by, seq))
    return found


def custody(*kinds: ActType | tuple[ActType, AuthorityId]) -> Custody:
    first, *rest = acts(*kinds)
    found = begun(first)
    for each in rest:
        found = after(found, each)
    return found


TO_LAB = (ActType.OFFERED, (ActType.ACCEPTED, LAB), ActType.RELEASED)


def test_whoever_registers_an_item_is_its_first_custodian() -> None:
    found = custody()
    assert (found.state, found.custodian) == (State.REGISTERED, POLICE)
    assert found.seals == {"A-1": SealCheck.INTACT}


@pytest.mark.parametrize("kind", [each for each in ActType if each is not ActType.REGISTERED])
def test_a_history_begins_with_a_registration(kind: ActType) -> None:
    with pytest.raises(CustodyError):
        begun(act(kind))


def test_custody_passes_at_the_receipt_and_not_before() -> None:
    for length in range(len(TO_LAB) + 1):
        assert custody(*TO_LAB[:length]).custodian == POLICE
    assert custody(*TO_LAB).in_transit
    found = custody(*TO_LAB, (ActType.RECEIVED, LAB))
    assert (found.custodian, found.state, found.transfer) == (LAB, State.TRANSFERRED, None)


def test_an_item_that_comes_back_is_returned() -> None:
    back = {**OFFER, "transfer": "SI-TRF-000002", "to": "police", "condition": "ok"}
    found = custody(*TO_LAB, (ActType.RECEIVED, LAB))
    for seq, (kind, by) in enumerate(
        [
            (ActType.OFFERED, LAB),
            (ActType.ACCEPTED, POLICE),
            (ActType.RELEASED, LAB),
            (ActType.RECEIVED, POLICE),
        ],
        start=6,
    ):
        found = after(found, Act(kind, seq, by, START, back))
    assert (found.custodian, found.state) == (POLICE, State.RETURNED)


def test_what_did_not_arrive_stays_with_the_sender_and_on_its_way() -> None:
    found = custody(*TO_LAB)
    missing = act(ActType.RECEIVED_WITH_RESERVATIONS, LAB, 5, condition="missing")
    found = after(found, missing)
    assert (found.custodian, found.in_transit) == (POLICE, True)
    later = after(found, act(ActType.RECEIVED, LAB, 6))
    assert later.custodian == LAB


@pytest.mark.parametrize("kind", sorted(BY_CUSTODIAN))
def test_what_the_custodian_does_nobody_else_can(kind: ActType) -> None:
    for state in TABLE[kind][0]:
        found = standing(state, TRANSFER.get(kind, (None, None))[0])
        with pytest.raises(CustodyError):
            after(found, act(kind, COURT, 9))


@pytest.mark.parametrize("kind", sorted(BY_RECEIVER))
def test_what_the_receiver_does_nobody_else_can(kind: ActType) -> None:
    for state in TABLE[kind][0]:
        found = standing(state, TRANSFER[kind][0])
        with pytest.raises(CustodyError):
            after(found, act(kind, COURT, 9))
        with pytest.raises(CustodyError):
            after(found, act(kind, POLICE, 9))


@pytest.mark.parametrize("field", ["transfer", "offer"])
def test_the_receiver_accepts_that_very_offer(field: str) -> None:
    found = custody(ActType.OFFERED)
    with pytest.raises(CustodyError):
        after(found, act(ActType.ACCEPTED, LAB, 3, **{field: "another"}))
    with pytest.raises(MalformedError):
        after(found, act(ActType.ACCEPTED, LAB, 3, **{field: None}))


def standing(state: State, step: Step | None) -> Custody:
    """An item in this state, with the police, and perhaps on offer to the laboratory."""
    found = custody(*([ActType.OFFERED] if step else []))
    opened = found.transfer
    if opened is not None and step is not None:
        opened = type(opened)(opened.transfer, opened.offer, opened.receiver, step)
    return Custody(state, POLICE, START, 2, found.seals, {"order 1": POLICE}, opened, POLICE)


@pytest.mark.parametrize("step", [None, *Step])
@pytest.mark.parametrize("state", State)
def test_nothing_outside_the_table_is_possible(state: State, step: Step | None) -> None:
    found = standing(state, step)
    for kind in ActType:
        by = LAB if kind in BY_RECEIVER else POLICE
        hold = {"hold": "order 2"} if kind is ActType.HOLD_PLACED else {}
        done = act(kind, by, 3, **hold)
        if (state, kind) == (State.LOANED, ActType.OVERDUE):
            continue  # only the one who lent it can say so
        if kind in possible(found):
            assert after(found, done).state in State
        else:
            with pytest.raises(CustodyError):
                after(found, done)


def test_a_void_item_can_only_be_shown_and_corrected() -> None:
    assert possible(standing(State.VOID, None)) == [ActType.EXPORTED, ActType.CORRECTION_OF]


def test_each_authority_lifts_its_own_holds_only() -> None:
    found = custody(ActType.HOLD_PLACED)
    found = after(found, act(ActType.HOLD_PLACED, COURT, 3, hold="order 2"))
    assert found.holds == {"order 1": POLICE, "order 2": COURT}
    with pytest.raises(CustodyError):
        after(found, act(ActType.HOLD_RELEASED, POLICE, 4, hold="order 2"))
    with pytest.raises(CustodyError):
        after(found, act(ActType.HOLD_PLACED, COURT, 4, hold="order 1"))
    found = after(found, act(ActType.HOLD_RELEASED, COURT, 4, hold="order 2"))
    assert found.holds == {"order 1": POLICE}


@st.composite
def chains(draw: st.DrawFn) -> list[Act]:
    """Any sequence of acts that are possible one after another."""
    found = acts()
    now = begun(found[0])
    for seq in range(2, draw(st.integers(2, 25))):
        kind = draw(st.sampled_from(possible(now)))
        opened = now.transfer
        by = opened.receiver if kind in BY_RECEIVER and opened is not None else now.custodian
        data: dict[str, Json] = {}
        if kind is ActType.OFFERED:
            data = {"to": "lab" if now.custodian == POLICE else "police"}
        if kind is ActType.HOLD_PLACED:
            data = {"hold": f"order {seq}"}
        if kind is ActType.HOLD_RELEASED:
            own = [hold for hold, owner in now.holds.items() if owner == by]
            if not own:
                continue
            data = {"hold": own[0]}
        each = act(kind, by, seq, **data)
        now = after(now, each)
        found.append(each)
    return found


@given(chains())
def test_at_any_instant_there_is_exactly_one_custodian(chain: list[Act]) -> None:
    now = begun(chain[0])
    for each in chain[1:]:
        before, now = now, after(now, each)
        changed = now.custodian != before.custodian
        received = each.type in {ActType.RECEIVED, ActType.RECEIVED_WITH_RESERVATIONS}
        assert not changed or (received and each.by == now.custodian)
        assert now.in_transit == (now.state is State.IN_TRANSIT)


@given(chains())
def test_a_history_that_was_possible_has_no_impossible_step(chain: list[Act]) -> None:
    numbered = [
        Act(each.type, seq, each.by, each.at, each.data) for seq, each in enumerate(chain, 1)
    ]
    kinds = {gap.kind for gap in history(numbered).gaps}
    assert not kinds & {GapKind.IMPOSSIBLE, GapKind.MISSING_EVENT}


def gaps(found: list[Act]) -> list[GapKind]:
    return [gap.kind for gap in history(found).gaps]


def test_a_history_without_gaps_has_none() -> None:
    assert gaps(acts(*TO_LAB, (ActType.RECEIVED, LAB))) == []


def test_a_missing_receipt_shows() -> None:
    assert gaps(acts(*TO_LAB)) == [GapKind.NO_RECEIPT]


def test_a_missing_event_shows_once() -> None:
    found = acts(ActType.SEALED, ActType.MOVED, ActType.MOVED)
    del found[2]
    assert gaps(found) == [GapKind.MISSING_EVENT]


def test_an_impossible_step_shows_and_the_rest_is_read() -> None:
    found = history(acts((ActType.SEALED, COURT), ActType.MOVED))
    assert [gap.kind for gap in found.gaps] == [GapKind.IMPOSSIBLE]
    assert found.custody is not None
    assert found.custody.custodian == POLICE
    assert gaps([act(ActType.MOVED)]) == [GapKind.IMPOSSIBLE]


@pytest.mark.parametrize("check", [each for each in SealCheck if each is not SealCheck.INTACT])
def test_a_seal_that_was_not_as_it_should_be_shows(check: SealCheck) -> None:
    looked = act(ActType.SEAL_CHECKED, seq=2, check=check.value)
    assert gaps([*acts(), looked]) == [GapKind.SEAL]


def test_seals_that_changed_without_being_broken_show() -> None:
    assert gaps(acts(ActType.RESEALED)) == [GapKind.SEAL]
    assert gaps(acts(ActType.SEAL_BROKEN, ActType.RESEALED)) == []


def test_reservations_mismatches_and_losses_show() -> None:
    reserved = act(ActType.RECEIVED_WITH_RESERVATIONS, LAB, 5, condition="damaged")
    assert gaps([*acts(*TO_LAB), reserved]) == [GapKind.RESERVATION]
    assert gaps(acts(ActType.VERIFIED_MISMATCH)) == [GapKind.MISMATCH]
    assert gaps(acts(ActType.LOST_DECLARED)) == [GapKind.LOST]
    assert gaps(acts(*TO_LAB, ActType.OVERDUE)) == [GapKind.NO_RECEIPT, GapKind.NO_RECEIPT]


def test_what_was_recorded_late_shows_as_late() -> None:
    first, *_ = acts()
    moved = Act(ActType.MOVED, 2, POLICE, START, {}, {"occurred_at": "2026-03-01Z"})
    found = history([first, moved])
    assert [row.late for row in found.rows] == [False, True]
    assert [gap.kind for gap in found.gaps] == [GapKind.LATE]
    collected = Act(first.type, 1, POLICE, START, first.data, {"occurred_at": "2026-01Z"})
    assert gaps([collected]) == [GapKind.NO_CUSTODIAN, GapKind.LATE]
