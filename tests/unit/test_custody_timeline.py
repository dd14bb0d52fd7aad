"""The timeline a court reads. For every kind of gap there is a history that has it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence_store.canonical import Json
from evidence_store.custody.act import Act, ActType
from evidence_store.custody.state import State
from evidence_store.custody.timeline import GapKind, history
from evidence_store.identifiers import AuthorityId

POLICE, LABORATORY = AuthorityId("police"), AuthorityId("laboratory")
START = datetime(2026, 3, 14, 10, tzinfo=UTC)
OFFER: dict[str, Json] = {"transfer": "SI-TRF-000001", "offer": "ab" * 32}


def act(
    kind: ActType,
    seq: int,
    by: AuthorityId = POLICE,
    data: dict[str, Json] | None = None,
    *,
    occurred_at: str | None = None,
    at: datetime | None = None,
) -> Act:
    private: dict[str, Json] = {} if occurred_at is None else {"occurred_at": occurred_at}
    return Act(kind, seq, by, at or START + timedelta(hours=seq), data or {}, private)


REGISTERED = act(ActType.REGISTERED, 1, data={"seals": ["S1"]}, occurred_at="2026-03-14T10:50Z")
HANDED_OVER = [
    REGISTERED,
    act(ActType.OFFERED, 2, data={**OFFER, "to": "laboratory"}),
    act(ActType.ACCEPTED, 3, LABORATORY, OFFER),
    act(ActType.RELEASED, 4, data=OFFER),
    act(ActType.RECEIVED, 5, LABORATORY, {**OFFER, "condition": "ok"}),
    act(ActType.SEAL_CHECKED, 6, LABORATORY, {"seals": ["S1"], "check": "intact"}),
    act(ActType.CHECKED_IN, 7, LABORATORY),
]


def gaps(*acts: Act) -> list[tuple[GapKind, int]]:
    return [(gap.kind, gap.seq) for gap in history(acts).gaps]


def test_a_whole_history_has_no_gaps_and_one_custodian_at_each_act() -> None:
    found = history(HANDED_OVER)
    assert found.gaps == ()
    assert [row.custodian for row in found.rows] == [POLICE] * 4 + [LABORATORY] * 3
    assert [row.state for row in found.rows][-4:] == [
        State.IN_TRANSIT,
        State.TRANSFERRED,
        State.TRANSFERRED,
        State.IN_STORE,
    ]


def test_no_acts_are_no_history() -> None:
    found = history([])
    assert (found.rows, found.custody, found.gaps) == ((), None, ())


# --------------------------------------------------------------------------- sabotage


@pytest.mark.parametrize("dropped", range(1, len(HANDED_OVER)))
def test_a_dropped_event_is_missed(dropped: int) -> None:
    left = [each for each in HANDED_OVER if each.seq != dropped]
    assert (GapKind.MISSING_EVENT, dropped + 1) in gaps(*left)


def test_several_missing_events_are_one_gap_where_they_are_missing() -> None:
    acts = [REGISTERED, *(act(ActType.MOVED, seq) for seq in (4, 5, 6))]
    assert gaps(*acts) == [(GapKind.MISSING_EVENT, 4)]


def test_a_repeated_event_is_said_once_and_upsets_no_later_one() -> None:
    acts = [REGISTERED, *(act(ActType.MOVED, seq) for seq in (2, 2, 3, 4))]
    assert gaps(*acts) == [(GapKind.IMPOSSIBLE, 2)]


def test_events_out_of_their_order_are_impossible() -> None:
    late = act(ActType.MOVED, 2, at=START + timedelta(hours=9))
    assert (GapKind.IMPOSSIBLE, 2) in gaps(REGISTERED, act(ActType.MOVED, 3), late)


def test_a_history_that_was_not_permitted_is_read_to_its_end() -> None:
    stolen = act(ActType.CHECKED_OUT, 2, LABORATORY)
    found = history([REGISTERED, stolen, act(ActType.CHECKED_IN, 3)])
    assert [(gap.kind, gap.seq) for gap in found.gaps] == [(GapKind.IMPOSSIBLE, 2)]
    assert len(found.rows) == 3
    assert found.custody is not None
    assert found.custody.custodian == POLICE


def test_a_history_without_its_registration_has_no_custodian_to_tell() -> None:
    found = history([act(ActType.CHECKED_IN, 1)])
    assert [gap.kind for gap in found.gaps] == [GapKind.IMPOSSIBLE]
    assert found.rows[0].custodian is None


def test_what_was_released_and_not_received_has_no_receipt() -> None:
    found = history(HANDED_OVER[:4])
    assert [(gap.kind, gap.seq) for gap in found.gaps] == [(GapKind.NO_RECEIPT, 4)]
    assert HANDED_OVER[3].at.isoformat() in found.gaps[0].detail


def test_what_did_not_arrive_is_missed_from_the_day_it_was_released() -> None:
    missing = act(
        ActType.RECEIVED_WITH_RESERVATIONS, 5, LABORATORY, {**OFFER, "condition": "missing"}
    )
    found = history([*HANDED_OVER[:4], missing])
    assert [gap.kind for gap in found.gaps] == [GapKind.RESERVATION, GapKind.NO_RECEIPT]
    assert HANDED_OVER[3].at.isoformat() in found.gaps[1].detail


@pytest.mark.parametrize(
    ("kind", "data", "by", "gap"),
    [
        (ActType.OVERDUE, {}, POLICE, GapKind.NO_RECEIPT),
        (ActType.LOST_DECLARED, {}, POLICE, GapKind.LOST),
        (ActType.REJECTED_ON_ARRIVAL, OFFER, LABORATORY, GapKind.RESERVATION),
        (
            ActType.RECEIVED_WITH_RESERVATIONS,
            {**OFFER, "condition": "damaged"},
            LABORATORY,
            GapKind.RESERVATION,
        ),
        (ActType.VERIFIED_MISMATCH, {}, LABORATORY, GapKind.MISMATCH),
    ],
)
def test_trouble_on_the_way_is_a_gap(
    kind: ActType, data: dict[str, Json], by: AuthorityId, gap: GapKind
) -> None:
    assert (gap, 5) in gaps(*HANDED_OVER[:4], act(kind, 5, by, data))


@pytest.mark.parametrize("check", ["broken", "number_mismatch", "absent"])
def test_a_seal_that_is_not_as_it_was_is_a_gap(check: str) -> None:
    looked = act(ActType.SEAL_CHECKED, 2, data={"seals": ["S1"], "check": check})
    assert gaps(REGISTERED, looked) == [(GapKind.SEAL, 2)]


def test_an_intact_seal_that_nobody_put_on_is_a_gap() -> None:
    looked = act(ActType.SEAL_CHECKED, 2, data={"seals": ["S9"], "check": "intact"})
    assert gaps(REGISTERED, looked) == [(GapKind.SEAL, 2)]


def test_a_seal_replaced_without_being_broken_is_a_gap() -> None:
    assert gaps(REGISTERED, act(ActType.RESEALED, 2, data={"seals": ["S2"]})) == [(GapKind.SEAL, 2)]


def test_a_seal_that_was_broken_on_record_or_on_arrival_is_replaced_without_a_gap() -> None:
    broken = [REGISTERED, act(ActType.SEAL_BROKEN, 2)]
    assert gaps(*broken, act(ActType.RESEALED, 3, data={"seals": ["S2"]})) == []
    arrival: dict[str, Json] = {**OFFER, "condition": "seal_broken"}
    arrived = [*HANDED_OVER[:4], act(ActType.RECEIVED_WITH_RESERVATIONS, 5, LABORATORY, arrival)]
    resealed = act(ActType.RESEALED, 6, LABORATORY, {"seals": ["S2"]})
    assert gaps(*arrived, resealed) == [(GapKind.RESERVATION, 5)]


def test_a_correction_of_nothing_is_impossible() -> None:
    assert gaps(REGISTERED, act(ActType.CORRECTION_OF, 2, data={"corrects": 7})) == [
        (GapKind.IMPOSSIBLE, 2)
    ]


# ------------------------------------------------------------------------------- time


def test_a_late_registration_leaves_time_without_a_custodian() -> None:
    found = history([act(ActType.REGISTERED, 1, occurred_at="2026-03-01T08:00Z")])
    assert [gap.kind for gap in found.gaps] == [GapKind.NO_CUSTODIAN, GapKind.LATE]
    assert found.rows[0].late


@pytest.mark.parametrize("stated", ["2026-03-12T08:00Z", "2026-03-12Z", "2026-02Z", "2025Z"])
def test_what_was_recorded_more_than_a_day_after_it_happened_is_late(stated: str) -> None:
    assert history([act(ActType.REGISTERED, 1, occurred_at=stated)]).rows[0].late


@pytest.mark.parametrize(
    "stated", ["2026-03-14T10:59Z", "2026-03-14Z", "2026-03-13Z", "2026-03Z", "2026Z", "unknown"]
)
def test_nobody_is_late_because_the_hour_or_the_day_is_not_known(stated: str) -> None:
    assert gaps(act(ActType.REGISTERED, 1, occurred_at=stated)) == []


def test_what_happened_before_an_act_recorded_earlier_is_late() -> None:
    checked_in = act(ActType.CHECKED_IN, 2, occurred_at="2026-03-14T10:20Z")
    assert gaps(REGISTERED, checked_in) == [(GapKind.LATE, 2)]
    assert gaps(REGISTERED, act(ActType.CHECKED_IN, 2, occurred_at="2026-03-14T10:55Z")) == []


def test_a_late_entry_is_shown_as_late_and_not_refused() -> None:
    found = history([REGISTERED, act(ActType.CHECKED_OUT, 2, occurred_at="2026-03-14T09:00Z")])
    assert found.rows[1].late
    assert found.rows[1].state is State.CHECKED_OUT


@pytest.mark.parametrize("stated", ["yesterday", "2026-03-15", "2026-03-20T08:00Z", "9999Z"])
def test_a_time_that_is_none_or_still_to_come_is_impossible(stated: str) -> None:
    assert gaps(act(ActType.REGISTERED, 1, occurred_at=stated)) == [(GapKind.IMPOSSIBLE, 1)]


def test_a_back_dated_event_is_impossible() -> None:
    back = act(ActType.CHECKED_IN, 2, at=REGISTERED.at - timedelta(days=3))
    assert gaps(REGISTERED, back) == [(GapKind.IMPOSSIBLE, 2)]


def test_a_clock_that_was_set_right_is_no_gap() -> None:
    moved = act(ActType.MOVED, 2, at=REGISTERED.at - timedelta(seconds=2))
    assert gaps(REGISTERED, moved) == []


# ------------------------------------------------------------------------- properties

ACTS = st.builds(
    Act,
    st.sampled_from(ActType),
    st.integers(1, 6),
    st.sampled_from([POLICE, LABORATORY]),
    st.datetimes(timezones=st.just(UTC)),
    st.fixed_dictionaries(
        {},
        optional={
            "transfer": st.just("SI-TRF-000001"),
            "offer": st.just("ab" * 32),
            "to": st.sampled_from(["police", "laboratory", "No Such"]),
            "seals": st.one_of(st.none(), st.lists(st.sampled_from(["S1", "S2"]))),
            "check": st.sampled_from(["intact", "broken", "fine", 1]),
            "condition": st.sampled_from(["ok", "missing", "fine", 1]),
            "corrects": st.one_of(st.none(), st.integers(-1, 7)),
            "hold": st.sampled_from(["H1", "", 1]),
        },
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "occurred_at": st.sampled_from(
                ["unknown", "9999Z", "0001Z", "2026-03Z", "2026-03-14T10:22:05Z", "", 1]
            )
        },
    ),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(ACTS, max_size=6))
def test_any_history_can_be_read_and_one_that_breaks_a_rule_shows_it(acts: list[Act]) -> None:
    found = history(acts)
    assert [row.act for row in found.rows] == acts
    if [each.seq for each in acts] != list(range(1, len(acts) + 1)):
        kinds = {gap.kind for gap in found.gaps}
        assert kinds & {GapKind.MISSING_EVENT, GapKind.IMPOSSIBLE}
    assert all(gap.detail for gap in found.gaps)
