"""Which acts are possible, for whom, and where they lead."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence_store.canonical import Json
from evidence_store.classification import Classification
from evidence_store.custody.act import Act, ActType, SealCheck
from evidence_store.custody.state import (
    Custody,
    OpenTransfer,
    State,
    Step,
    after,
    begun,
    possible,
)
from evidence_store.custody.transfer import Condition
from evidence_store.errors import CustodyError, EvidenceError, MalformedError
from evidence_store.identifiers import AuthorityId

POLICE, LABORATORY, COURT = map(AuthorityId, ("police", "laboratory", "court"))
START = datetime(2026, 3, 14, 10, tzinfo=UTC)
OFFER: dict[str, Json] = {"transfer": "SI-TRF-000001", "offer": "ab" * 32}
TO_LABORATORY: dict[str, Json] = {**OFFER, "to": "laboratory"}
ARRIVED: dict[str, Json] = {**OFFER, "condition": "ok"}
MISSING: dict[str, Json] = {**OFFER, "condition": "missing"}


def act(
    kind: ActType, seq: int, by: AuthorityId = POLICE, data: dict[str, Json] | None = None
) -> Act:
    return Act(kind, seq, by, START + timedelta(hours=seq), data or {})


def held(*seals: str) -> Custody:
    return begun(act(ActType.REGISTERED, 1, data={"seals": list(seals)}))


def told(custody: Custody, *acts: tuple[ActType, AuthorityId, dict[str, Json]]) -> Custody:
    for kind, by, data in acts:
        custody = after(custody, act(kind, custody.seq + 1, by, data))
    return custody


def released(custody: Custody, *, loan: bool = False) -> Custody:
    return told(
        custody,
        (ActType.OFFERED, custody.custodian, {**TO_LABORATORY, "loan": loan}),
        (ActType.ACCEPTED, LABORATORY, OFFER),
        (ActType.RELEASED, custody.custodian, OFFER),
    )


# ------------------------------------------------------------------ the table, whole

HELD = "registered sealed in_store checked_out loaned transferred returned"
EVERY = f"{HELD} quarantined in_transit lost void"
NOT_VOID = f"{HELD} quarantined in_transit lost"
# Written out a second time, from the domain and not from the code. No transfer is under way.
POSSIBLE = {
    ActType.QUARANTINED: HELD,
    ActType.RELEASED_FROM_QUARANTINE: "quarantined",
    ActType.VERSION_ADDED: f"{HELD} quarantined in_transit",
    ActType.VOIDED: f"{HELD} quarantined lost",
    ActType.SEALED: HELD,
    ActType.SEAL_CHECKED: f"{HELD} quarantined",
    ActType.SEAL_BROKEN: f"{HELD} quarantined",
    ActType.RESEALED: HELD,
    ActType.CHECKED_IN: "registered sealed checked_out loaned transferred returned",
    ActType.CHECKED_OUT: "registered sealed in_store loaned transferred returned",
    ActType.MOVED: f"{HELD} quarantined",
    ActType.OFFERED: HELD,
    ActType.OVERDUE: "in_transit loaned",
    ActType.LOST_DECLARED: f"{HELD} in_transit",
    ActType.FOUND: "lost",
    ActType.DAMAGED_DECLARED: NOT_VOID,
    ActType.HOLD_PLACED: NOT_VOID,
    ActType.HOLD_RELEASED: NOT_VOID,
    ActType.VERIFIED_MATCH: NOT_VOID,
    ActType.VERIFIED_MISMATCH: NOT_VOID,
    ActType.NOT_VERIFIABLE: NOT_VOID,
    ActType.CLASSIFICATION_CHANGED: NOT_VOID,
    ActType.EXPORTED: EVERY,
    ActType.CORRECTION_OF: EVERY,
}
# For each step of a transfer: the acts of transfer that can follow it.
FOLLOWING = {
    None: {ActType.OFFERED},
    Step.OFFERED: {
        ActType.OFFER_WITHDRAWN,
        ActType.OFFER_EXPIRED,
        ActType.ACCEPTED,
        ActType.REFUSED,
    },
    Step.ACCEPTED: {ActType.RELEASED, ActType.OFFER_WITHDRAWN, ActType.OFFER_EXPIRED},
    Step.RELEASED: {
        ActType.RECEIVED,
        ActType.RECEIVED_WITH_RESERVATIONS,
        ActType.REJECTED_ON_ARRIVAL,
    },
}
OF_TRANSFERS = frozenset[ActType]().union(*FOLLOWING.values())
FIELDS: dict[ActType, dict[str, Json]] = {
    **dict.fromkeys(OF_TRANSFERS, OFFER),
    ActType.OFFERED: TO_LABORATORY,
    ActType.RECEIVED: ARRIVED,
    ActType.RECEIVED_WITH_RESERVATIONS: {**OFFER, "condition": "damaged"},
    ActType.SEALED: {"seals": ["S1"]},
    ActType.RESEALED: {"seals": ["S1"]},
    ActType.SEAL_CHECKED: {"check": "intact"},
    ActType.HOLD_PLACED: {"hold": "H2"},
    ActType.HOLD_RELEASED: {"hold": "H1"},
    ActType.CORRECTION_OF: {"corrects": 1},
    ActType.CLASSIFICATION_CHANGED: {"classification": "public"},
}
BY_RECEIVER = (FOLLOWING[Step.OFFERED] | FOLLOWING[Step.RELEASED]) - {
    ActType.OFFER_WITHDRAWN,
    ActType.OFFER_EXPIRED,
}


def standing_at(state: State, step: Step | None) -> Custody:
    opened = None if step is None else OpenTransfer("SI-TRF-000001", "ab" * 32, LABORATORY, step)
    return Custody(
        state,
        POLICE,
        START,
        9,
        holds={"H1": POLICE},
        transfer=opened,
        owner=POLICE,
        lender=POLICE if state is State.LOANED else None,
    )


@pytest.mark.parametrize("kind", ActType)
@pytest.mark.parametrize("state", State)
def test_only_what_the_table_lists_is_possible(state: State, kind: ActType) -> None:
    if state is State.IN_TRANSIT:  # nothing is on its way without a transfer
        step, listed = Step.RELEASED, FOLLOWING[Step.RELEASED]
    else:
        step, listed = None, set[ActType]()
    listed = listed | {each for each, states in POSSIBLE.items() if state in states.split()}
    custody = standing_at(state, step)
    if kind is ActType.VOIDED:  # a hold keeps an item; its own test is below
        custody = replace(custody, holds={})
    by = LABORATORY if kind in BY_RECEIVER else POLICE
    attempt = act(kind, 10, by, FIELDS.get(kind))

    if kind in listed:
        assert after(custody, attempt).seq == 10
    else:
        with pytest.raises(CustodyError):
            after(custody, attempt)
    assert (kind in possible(custody)) == (kind in listed)


def test_an_item_on_hold_is_not_voided() -> None:
    with pytest.raises(CustodyError):
        after(standing_at(State.IN_STORE, None), act(ActType.VOIDED, 10))


@pytest.mark.parametrize("kind", sorted(OF_TRANSFERS))
@pytest.mark.parametrize("step", [None, *Step])
def test_a_transfer_goes_its_steps_in_order(step: Step | None, kind: ActType) -> None:
    state = State.IN_TRANSIT if step is Step.RELEASED else State.IN_STORE
    custody = standing_at(state, step)
    attempt = act(kind, 10, LABORATORY if kind in BY_RECEIVER else POLICE, FIELDS[kind])

    if kind in FOLLOWING[step]:
        assert after(custody, attempt).seq == 10
    else:
        with pytest.raises(CustodyError):
            after(custody, attempt)


@pytest.mark.parametrize("step", [Step.OFFERED, Step.ACCEPTED])
@pytest.mark.parametrize(
    "kind",
    [ActType.CHECKED_OUT, ActType.SEALED, ActType.RESEALED, ActType.QUARANTINED, ActType.VOIDED],
)
def test_what_was_offered_stays_as_it_was_offered(step: Step, kind: ActType) -> None:
    with pytest.raises(CustodyError):
        after(standing_at(State.IN_STORE, step), act(kind, 10, data=FIELDS.get(kind)))


# ----------------------------------------------------------------------- who may act


def test_a_history_begins_with_its_registration() -> None:
    with pytest.raises(CustodyError):
        begun(act(ActType.CHECKED_IN, 1))
    assert held().custodian == POLICE


@pytest.mark.parametrize(
    "kind",
    [
        ActType.SEALED,
        ActType.SEAL_BROKEN,
        ActType.CHECKED_OUT,
        ActType.CHECKED_IN,
        ActType.MOVED,
        ActType.OFFERED,
        ActType.LOST_DECLARED,
        ActType.VOIDED,
        ActType.QUARANTINED,
    ],
)
def test_only_the_custodian_handles_an_item(kind: ActType) -> None:
    with pytest.raises(CustodyError):
        after(held(), act(kind, 2, COURT, FIELDS.get(kind)))
    assert after(held(), act(kind, 2, POLICE, FIELDS.get(kind))).seq == 2


@pytest.mark.parametrize("kind", [ActType.RELEASED, ActType.OFFER_WITHDRAWN, ActType.OFFER_EXPIRED])
def test_only_the_sender_releases_or_takes_back(kind: ActType) -> None:
    step = Step.ACCEPTED if kind is ActType.RELEASED else Step.OFFERED
    with pytest.raises(CustodyError):
        after(standing_at(State.IN_STORE, step), act(kind, 10, LABORATORY, OFFER))


@pytest.mark.parametrize("stranger", [POLICE, COURT])
@pytest.mark.parametrize("kind", sorted(BY_RECEIVER))
def test_only_the_named_receiver_accepts_refuses_and_receives(
    kind: ActType, stranger: AuthorityId
) -> None:
    on_its_way = kind in FOLLOWING[Step.RELEASED]
    custody = standing_at(
        State.IN_TRANSIT if on_its_way else State.IN_STORE,
        Step.RELEASED if on_its_way else Step.OFFERED,
    )
    with pytest.raises(CustodyError):
        after(custody, act(kind, 10, stranger, FIELDS[kind]))


@pytest.mark.parametrize("name", ["transfer", "offer"])
@pytest.mark.parametrize("kind", [ActType.ACCEPTED, ActType.REFUSED, ActType.OFFER_WITHDRAWN])
def test_an_answer_names_the_very_offer_that_was_made(kind: ActType, name: str) -> None:
    custody = standing_at(State.IN_STORE, Step.OFFERED)
    by = LABORATORY if kind in BY_RECEIVER else POLICE
    other: dict[str, Json] = {**OFFER, name: "another"}
    with pytest.raises(CustodyError):
        after(custody, act(kind, 10, by, other))
    with pytest.raises(MalformedError):
        after(custody, act(kind, 10, by, {each: OFFER[each] for each in OFFER if each != name}))


def test_nobody_offers_to_himself() -> None:
    with pytest.raises(CustodyError):
        after(held(), act(ActType.OFFERED, 2, data={**OFFER, "to": "police"}))


# ---------------------------------------------------------------- custody in transfers


def test_custody_stays_with_the_sender_until_the_receipt() -> None:
    custody = released(held())
    assert (custody.state, custody.custodian) == (State.IN_TRANSIT, POLICE)

    custody = told(custody, (ActType.RECEIVED, LABORATORY, ARRIVED))

    assert (custody.state, custody.custodian) == (State.TRANSFERRED, LABORATORY)
    assert custody.transfer is None


def test_what_did_not_arrive_stays_on_its_way_with_the_sender() -> None:
    sent = released(held())
    custody = told(sent, (ActType.RECEIVED_WITH_RESERVATIONS, LABORATORY, MISSING))

    assert (custody.state, custody.custodian) == (State.IN_TRANSIT, POLICE)
    assert custody.since == sent.since  # it left when it left, not when its absence was seen
    late = told(custody, (ActType.RECEIVED, LABORATORY, ARRIVED))
    assert late.custodian == LABORATORY


def test_a_receipt_without_reservations_says_ok_and_nothing_else() -> None:
    for condition in set(Condition) - {Condition.OK}:
        with pytest.raises(MalformedError):
            told(
                released(held()), (ActType.RECEIVED, LABORATORY, {**OFFER, "condition": condition})
            )


@pytest.mark.parametrize("kind", [ActType.RECEIVED, ActType.RECEIVED_WITH_RESERVATIONS])
@pytest.mark.parametrize("data", [OFFER, {**OFFER, "condition": "fine"}])
def test_a_receipt_states_a_known_condition(kind: ActType, data: dict[str, Json]) -> None:
    with pytest.raises(MalformedError):
        told(released(held()), (kind, LABORATORY, data))


def test_a_rejected_item_is_the_senders_again() -> None:
    custody = told(released(held()), (ActType.REJECTED_ON_ARRIVAL, LABORATORY, OFFER))
    assert (custody.state, custody.custodian) == (State.RETURNED, POLICE)


def test_a_loan_comes_back_to_its_lender() -> None:
    lent = told(released(held(), loan=True), (ActType.RECEIVED, LABORATORY, ARRIVED))
    assert (lent.state, lent.custodian, lent.lender) == (State.LOANED, LABORATORY, POLICE)

    back = told(
        lent,
        (ActType.OFFERED, LABORATORY, {**OFFER, "to": "police"}),
        (ActType.ACCEPTED, POLICE, OFFER),
        (ActType.RELEASED, LABORATORY, OFFER),
        (ActType.RECEIVED, POLICE, ARRIVED),
    )
    assert (back.state, back.custodian, back.lender) == (State.RETURNED, POLICE, None)


def test_the_lender_declares_a_loan_overdue_and_the_borrower_cannot() -> None:
    lent = told(released(held(), loan=True), (ActType.RECEIVED, LABORATORY, ARRIVED))
    assert told(lent, (ActType.OVERDUE, POLICE, {})).state is State.LOANED
    with pytest.raises(CustodyError):
        told(lent, (ActType.OVERDUE, LABORATORY, {}))
    shelved = told(lent, (ActType.CHECKED_IN, LABORATORY, {}))  # a loan all the same
    assert told(shelved, (ActType.OVERDUE, POLICE, {})).custodian == LABORATORY
    with pytest.raises(CustodyError):
        told(held(), (ActType.OVERDUE, POLICE, {}))  # nobody lent it


def test_the_sender_declares_a_consignment_overdue_lost_and_found() -> None:
    custody = told(released(held()), (ActType.OVERDUE, POLICE, {}))
    with pytest.raises(CustodyError):
        told(custody, (ActType.OVERDUE, LABORATORY, {}))
    lost = told(custody, (ActType.LOST_DECLARED, POLICE, {}))
    assert (lost.state, lost.transfer) == (State.LOST, None)
    found = told(lost, (ActType.FOUND, POLICE, {}))
    assert (found.state, found.custodian) == (State.RETURNED, POLICE)


# ------------------------------------------------------- seals, holds and corrections


def test_seals_are_known_by_number_with_what_was_last_found() -> None:
    custody = told(
        held("S1", "S2"), (ActType.SEAL_CHECKED, POLICE, {"seals": ["S2"], "check": "broken"})
    )
    assert custody.seals == {"S1": SealCheck.INTACT, "S2": SealCheck.BROKEN}
    custody = told(custody, (ActType.RESEALED, POLICE, {"seals": ["S3"]}))
    assert custody.seals == {"S3": SealCheck.INTACT}


@pytest.mark.parametrize("kind", [ActType.SEALED, ActType.RESEALED])
def test_a_seal_has_a_number(kind: ActType) -> None:
    with pytest.raises(MalformedError):
        after(held(), act(kind, 2))


@pytest.mark.parametrize("data", [{}, {"check": "fine"}])
def test_a_look_at_a_seal_says_what_was_found(data: dict[str, Json]) -> None:
    with pytest.raises(MalformedError):
        after(held("S1"), act(ActType.SEAL_CHECKED, 2, data=data))


@pytest.mark.parametrize(
    ("condition", "check"),
    [
        ("seal_broken", SealCheck.BROKEN),
        ("seal_mismatch", SealCheck.NUMBER_MISMATCH),
        ("damaged", SealCheck.INTACT),
    ],
)
def test_a_receipt_tells_how_the_seals_arrived(condition: str, check: SealCheck) -> None:
    data: dict[str, Json] = {**OFFER, "condition": condition}
    custody = told(released(held("S1")), (ActType.RECEIVED_WITH_RESERVATIONS, LABORATORY, data))
    assert custody.seals == {"S1": check}


def test_any_number_of_holds_each_released_by_whoever_placed_it() -> None:
    custody = told(
        held(),
        (ActType.HOLD_PLACED, COURT, {"hold": "H1"}),
        (ActType.HOLD_PLACED, LABORATORY, {"hold": "H2"}),
    )
    assert custody.holds == {"H1": COURT, "H2": LABORATORY}
    for wrong in ((LABORATORY, "H1"), (COURT, "H3")):
        with pytest.raises(CustodyError):
            told(custody, (ActType.HOLD_RELEASED, wrong[0], {"hold": wrong[1]}))
    with pytest.raises(CustodyError):
        told(custody, (ActType.HOLD_PLACED, POLICE, {"hold": "H1"}))
    assert told(custody, (ActType.HOLD_RELEASED, COURT, {"hold": "H1"})).holds == {"H2": LABORATORY}


@pytest.mark.parametrize("corrected", [0, 2, 3, True, "1", None])
def test_a_correction_names_an_earlier_act(corrected: Json) -> None:
    with pytest.raises(CustodyError):
        after(held(), act(ActType.CORRECTION_OF, 2, data={"corrects": corrected}))


def test_a_correction_changes_nothing_but_is_there() -> None:
    before = held("S1")
    corrected = after(before, act(ActType.CORRECTION_OF, 2, COURT, {"corrects": 1}))
    assert corrected.seq == 2
    assert (corrected.state, corrected.custodian, corrected.seals, corrected.since) == (
        before.state,
        before.custodian,
        before.seals,
        before.since,
    )


# ------------------------------------------------------------------------ properties

ATTEMPTS = st.tuples(
    st.sampled_from(ActType),
    st.sampled_from([POLICE, LABORATORY, COURT]),
    st.sampled_from(["police", "laboratory", "court"]),
    st.sampled_from([*Condition]),
    st.booleans(),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(ATTEMPTS, max_size=12), st.data())
def test_whatever_is_permitted_there_is_one_custodian_or_a_transfer_under_way(
    attempts: list[tuple[ActType, AuthorityId, str, Condition, bool]], data: st.DataObject
) -> None:
    custody = held("S1")
    for kind, by, to, condition, loan in attempts:
        # Mostly what is possible, so that histories get far; the rest is tried too.
        chosen = data.draw(st.sampled_from([kind, *possible(custody)]))
        fields: dict[str, Json] = {**FIELDS.get(chosen, {}), "to": to, "loan": loan}
        fields["condition"] = condition.value
        before = custody
        try:
            custody = after(before, act(chosen, before.seq + 1, by, fields))
        except EvidenceError:
            continue  # refused: nothing has changed
        step = None if custody.transfer is None else custody.transfer.step
        assert custody.in_transit == (step is Step.RELEASED)
        if custody.custodian != before.custodian:
            assert before.in_transit
            assert before.transfer is not None
            assert custody.custodian == by == before.transfer.receiver
            assert chosen in {ActType.RECEIVED, ActType.RECEIVED_WITH_RESERVATIONS}
            assert condition is not Condition.MISSING
            assert (custody.lender is not None) == (custody.state is State.LOANED)


def test_the_classification_is_the_last_that_was_given_and_one_of_three() -> None:
    assert held().classification is Classification.CONFIDENTIAL
    strict = {"classification": "strictly_confidential"}
    found = told(held(), (ActType.CLASSIFICATION_CHANGED, POLICE, {**strict}))
    assert found.classification is Classification.STRICTLY_CONFIDENTIAL
    with pytest.raises(MalformedError):
        told(found, (ActType.CLASSIFICATION_CHANGED, POLICE, {"classification": "secret"}))
    with pytest.raises(CustodyError):  # for the custodian alone
        told(found, (ActType.CLASSIFICATION_CHANGED, COURT, {"classification": "public"}))
