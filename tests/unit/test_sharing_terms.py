from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence_store.canonical import Json, canonical, parse_canonical
from evidence_store.dossier import Step
from evidence_store.errors import MalformedError, NotFoundError, OutOfOrderError
from evidence_store.identifiers import AuthorityId, CaseId, DossierId, Ern, PersonCode
from evidence_store.moment import Moment
from evidence_store.provider import Purpose
from evidence_store.sharing.grant import (
    BY_EITHER,
    BY_GRANTEE,
    GRANT,
    Effective,
    Grant,
    effective,
    grant_of,
    inherited,
    may_pass_on,
)
from evidence_store.sharing.terms import (
    ACTIONS,
    Action,
    Assurance,
    Basis,
    DefenceDisclosure,
    Granted,
    Mode,
    Onward,
    Terms,
    purpose,
)
from tests.sharing import COURT, NEVER_SHARED, NOW, POLICE, TERMS, TRIBUNAL

DOCUMENT = parse_canonical(TERMS.document, "terms")
ITEMS = (*TERMS.items, Granted(Ern.parse("SI-2026-000123"), 1, "cd" * 32))
MOMENTS = st.sampled_from([*map(Moment.parse, ("2026Z", "2026-03-14T10:00+01:00", "2027-05Z"))])
ENDS = st.sampled_from([*map(Moment.parse, ("2028Z", "2029-01-01Z"))])
ACTS = sorted({act for _, act in GRANT.moves})
STATES = sorted(set(GRANT.moves.values()))


def some(*members: Any) -> st.SearchStrategy[tuple[Any, ...]]:  # noqa: ANN401 - any member's type
    return st.lists(st.sampled_from(members), min_size=1, max_size=3, unique=True).map(tuple)


def dossiers(kind: str) -> st.SearchStrategy[DossierId]:
    return st.integers(1, 10**7).map(lambda each: DossierId.parse(f"SI-{kind}-{each:06d}"))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).map("a{}".format)
TEXTS = st.lists(TEXT, max_size=2).map(tuple)
MEMBERS: Mapping[str, st.SearchStrategy[Any]] = {
    "grant": dossiers("GRT"),
    "basis": st.sampled_from(Basis),
    "reference": TEXT,
    "legal_basis": TEXT,
    "case_id": st.integers(1, 3).map(lambda each: CaseId.parse(f"SI-CASE-{each:04d}")),
    "proceeding": TEXT,
    "purposes": some(*[*Purpose][:4]),
    "offences": some("murder", "torture", "theft"),
    "items": some(*ITEMS),
    "mode": st.sampled_from(Mode),
    "onward": st.sampled_from(Onward),
    "defence": st.sampled_from(DefenceDisclosure),
    "valid_from": MOMENTS,
    "valid_until": ENDS,
    "persons": TEXTS,
    "officers": st.lists(
        st.integers(1, 3).map(lambda each: PersonCode.parse(f"OFF-{each:04d}"))
    ).map(tuple),
    "conditions": TEXTS,
    "assurances": st.lists(st.sampled_from(Assurance), max_size=3, unique=True).map(tuple),
    "measures": st.lists(dossiers("MSR"), max_size=2).map(tuple),
    "downloads_max": st.none() | st.integers(1, 9),
    "return_or_destroy_by": ENDS,
    "rests_on": st.none()
    | st.integers(1, 10**7).map(lambda each: DossierId.parse(f"HR-GRT-{each:06d}")),
}


@st.composite
def terms(draw: st.DrawFn) -> Terms:
    return replace(TERMS, **{name: draw(each) for name, each in MEMBERS.items()})


# ---- Terms ---------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(terms())
def test_terms_are_read_as_they_were_written(written: Terms) -> None:
    assert Terms.parse(written.document) == written


@settings(max_examples=100)
@given(terms(), terms())
def test_other_terms_have_another_digest(one: Terms, another: Terms) -> None:
    assert (one.digest == another.digest) == (one == another)


OTHERS: Mapping[str, Any] = {
    "grant": DossierId.parse("SI-GRT-000005"),
    "grantor": TRIBUNAL,
    "grantee": TRIBUNAL,
    "basis": Basis.TEAM,
    "reference": "HR-REQ-000002",
    "legal_basis": "convention, article 19",
    "case_id": CaseId.parse("SI-CASE-0008"),
    "proceeding": "K 13/2026",
    "purposes": tuple(reversed(TERMS.purposes)),
    "offences": ("murder",),
    "items": TERMS.items[:1],
    "mode": Mode.VIEW_ONLY,
    "onward": Onward.FORBIDDEN,
    "defence": DefenceDisclosure.CONSULT,
    "valid_from": Moment.parse("2026-03-14T00:00Z"),  # the same instant, otherwise written
    "valid_until": Moment.parse("2027-03-15Z"),
    "persons": ("SUS-0001",),
    "officers": (PersonCode.parse("OFF-0001"),),
    "conditions": (),
    "assurances": (),
    "measures": (),
    "downloads_max": 1,
    "return_or_destroy_by": Moment.parse("2028Z"),
    "rests_on": DossierId.parse("SI-GRT-000001"),
}


@pytest.mark.parametrize("name", [each.name for each in fields(Terms)])
def test_whoever_signs_the_digest_signs_every_member(name: str) -> None:
    changed = replace(TERMS, **{name: OTHERS[name]})
    assert changed.digest != TERMS.digest
    assert Terms.parse(changed.document) == changed


@pytest.mark.parametrize(
    "document",
    [
        canonical({**DOCUMENT, "remark": "and whatever else is found"}),
        canonical({**DOCUMENT, "v": 2}),
        TERMS.document + b"\n",
        TERMS.document.replace(b":", b": ", 1),
        TERMS.document[:-1],
        b"[]",
        b"",
    ],
    ids=str,
)
def test_terms_say_nothing_that_terms_do_not_say(document: bytes) -> None:
    with pytest.raises(MalformedError):
        Terms.parse(document)


def test_an_item_says_nothing_beyond_its_version_and_digest() -> None:
    wordy = TERMS.document.replace(b'{"ern":', b'{"copies":2,"ern":', 1)
    assert parse_canonical(wordy, "terms") != DOCUMENT
    with pytest.raises(MalformedError):
        Terms.parse(wordy)


@pytest.mark.parametrize("name", sorted(DOCUMENT))
@pytest.mark.parametrize("value", [7, "", [7], {}], ids=str)
def test_a_member_that_is_missing_or_of_another_type_is_refused(name: str, value: Json) -> None:
    without = {each: DOCUMENT[each] for each in DOCUMENT if each != name}
    documents: list[dict[str, Json]] = [without]
    if (name, value) != ("downloads_max", 7):
        documents.append({**without, name: value})
    for document in documents:
        with pytest.raises(MalformedError):
            Terms.parse(canonical(document))


@pytest.mark.parametrize("name", sorted(NEVER_SHARED))
def test_no_terms_can_name_an_excluded_purpose(name: str) -> None:
    with pytest.raises(MalformedError):
        Terms.parse(canonical({**DOCUMENT, "purposes": ["trial", name]}))
    with pytest.raises(MalformedError):
        purpose(name)


@pytest.mark.parametrize(
    "changed",
    [
        {"grantee": TERMS.grantor},
        {"purposes": ()},
        {"offences": ()},
        {"items": ()},
        {"purposes": (Purpose.TRIAL, Purpose.TRIAL)},
        {"items": TERMS.items[:1] * 2},
        {"reference": " "},
        {"legal_basis": ""},
        {"proceeding": ""},
        {"valid_until": TERMS.valid_from},
        {"valid_until": Moment.parse("2025Z")},
        {"valid_from": Moment.parse("unknown")},
        {"valid_until": Moment.parse("unknown")},
        {"downloads_max": 0},
        {"mode": Mode.ORIGINAL_LOAN},
    ],
    ids=str,
)
def test_terms_that_grant_nothing_or_for_ever_cannot_be_made(changed: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        replace(TERMS, **changed)


@pytest.mark.parametrize(
    ("number", "sha256"), [(-1, "ab" * 32), (0, "ab" * 32), (1, None), (1, "ab"), (1, "AB" * 32)]
)
def test_a_version_is_granted_by_its_digest_and_a_thing_without(
    number: int, sha256: str | None
) -> None:
    with pytest.raises(MalformedError):
        Granted(Ern.parse("SI-2026-000123"), number, sha256)


def test_every_mode_lets_one_see_that_there_is_something_and_only_its_own_lets_it_leave() -> None:
    assert set(ACTIONS) == set(Mode)
    assert all(Action.SEE_METADATA in each for each in ACTIONS.values())
    assert [each for each in Mode if Action.BORROW in ACTIONS[each]] == [Mode.ORIGINAL_LOAN]
    assert [each for each in Mode if Action.TAKE_CUSTODY in ACTIONS[each]] == [
        Mode.CUSTODY_TRANSFER
    ]


# ---- A grant, as its steps tell ------------------------------------------------------------------

SAYS: Mapping[str, dict[str, Json]] = {
    "proposed": {"terms": TERMS.digest},
    "offered": {"terms": TERMS.digest},
    "accepted": {"terms": TERMS.digest},
    "assurance_given": {"assurance": "no_death_penalty", "charges": [*TERMS.offences]},
    "charge_notified": {"charge": "charge-1", "offence": "theft"},
    "consent_noted": {"to": "tribunal", "purposes": ["extradition"]},
    "consent_ended": {"to": "tribunal", "purposes": ["extradition"]},
    "declared": {"declaration": "returned"},
}


def step(act: str, by: AuthorityId | None = None, **changed: Json) -> Step:
    """A step by the side whose it is, unless another is named."""
    side = TERMS.grantee if act in BY_GRANTEE else TERMS.grantor
    private: dict[str, Json] = {"officer": "OFF-0001", "terms_document": TERMS.document.decode()}
    return Step(act, 1, by or side, NOW, {**SAYS.get(act, {}), **changed}, private)


def grant(*acts: str | Step) -> Grant:
    return grant_of([each if isinstance(each, Step) else step(each) for each in acts])


def ways() -> Mapping[str, tuple[str, ...]]:
    """A shortest way to each state."""
    found: dict[str, tuple[str, ...]] = {}
    ahead: deque[tuple[str | None, tuple[str, ...]]] = deque([(None, ())])
    while ahead:
        state, way = ahead.popleft()
        for (before, act), to in GRANT.moves.items():
            if before == state and to not in found:
                found[to] = (*way, act)
                ahead.append((to, found[to]))
    return found


WAYS = ways()
SIGNED = WAYS["active"]


def test_both_sides_sign_before_anything_opens() -> None:
    assert SIGNED == ("proposed", "offered", "accepted")
    for length in range(1, 3):
        found = grant(*SIGNED[:length])
        assert found.state != "active"
        assert not found.is_signed
    assert grant(*SIGNED).state == "active"
    assert grant(*SIGNED).is_signed


@given(st.lists(st.sampled_from(ACTS), max_size=9), st.sampled_from(sorted(WAYS)))
def test_no_way_leads_to_an_open_grant_around_the_signatures(acts: list[str], start: str) -> None:
    way = [*WAYS[start], *acts]
    try:
        found = grant(*way)
    except OutOfOrderError:
        return
    if found.state == "active":
        assert way.index("proposed") < way.index("offered") < way.index("accepted")
    if {"revoked", "expired", "exhausted", "declined", "dropped"} & set(way):
        assert found.state not in {"active", "suspended", "offered"}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("state", STATES)
def test_what_the_table_does_not_list_cannot_happen(state: str, act: str) -> None:
    way = [*WAYS[state], act]
    if (expected := GRANT.moves.get((state, act))) is not None:
        assert grant(*way).state == expected
        return
    with pytest.raises(OutOfOrderError):
        grant(*way)
    with pytest.raises(OutOfOrderError):
        Grant(state, TERMS, PersonCode.parse("OFF-0001")).insist_possible(
            act, TERMS.grantee if act in BY_GRANTEE else TERMS.grantor
        )


@pytest.mark.parametrize("act", sorted({*ACTS} - {"proposed"}))
def test_a_grant_begins_with_a_proposal(act: str) -> None:
    with pytest.raises(OutOfOrderError):
        grant(act)


def before(act: str) -> tuple[str, ...]:
    """A way to a state in which this act is possible."""
    states = [before for before, each in GRANT.moves if each == act]
    return () if states[0] is None else WAYS[states[0]]


@pytest.mark.parametrize("act", sorted(set(ACTS) - BY_EITHER))
def test_what_is_for_one_side_the_other_cannot_sign(act: str) -> None:
    other = TERMS.grantor if act in BY_GRANTEE else TERMS.grantee
    for wrong in (other, TRIBUNAL):
        with pytest.raises(MalformedError):
            grant(*before(act), step(act, wrong))
    if before(act):
        found = grant(*before(act))
        with pytest.raises(OutOfOrderError):
            found.insist_possible(act, other)
        with pytest.raises(NotFoundError):
            found.insist_possible(act, TRIBUNAL)


@pytest.mark.parametrize("act", sorted(BY_EITHER))
def test_some_acts_are_for_either_side(act: str) -> None:
    for side in (TERMS.grantor, TERMS.grantee):
        state = GRANT.moves[grant(*SIGNED).state, act]
        assert grant(*SIGNED, step(act, side)).state == state
        assert grant(*SIGNED).insist_possible(act, side) == state


@pytest.mark.parametrize("act", SIGNED)
@pytest.mark.parametrize(
    "signed", [replace(TERMS, mode=Mode.CUSTODY_TRANSFER).digest, TERMS.digest.upper(), None]
)
def test_both_sides_sign_these_very_terms(act: str, signed: str | None) -> None:
    with pytest.raises(MalformedError):
        grant(*before(act), step(act, terms=signed))


@pytest.mark.parametrize("act", ["assurance_given", "charge_notified", "declared"])
def test_a_step_that_does_not_say_what_it_must_is_refused(act: str) -> None:
    silent = replace(step(act), data={})
    with pytest.raises(MalformedError):
        grant(*before(act), silent)


def test_an_assurance_is_given_anew_for_every_new_charge() -> None:
    given_once = grant(*SIGNED, "assurance_given")
    assert given_once.given == {Assurance.NO_DEATH_PENALTY}
    charged = grant(*SIGNED, "assurance_given", "charge_notified")
    assert not charged.given
    assert charged.offences == {*TERMS.offences, "theft"}
    anew = step("assurance_given", charges=["charge-1"])
    assert grant(*SIGNED, "assurance_given", "charge_notified", anew).given == given_once.given


def test_a_consent_that_has_ended_allows_nothing() -> None:
    noted = grant(*SIGNED, "consent_noted")
    assert noted.onward_to == {TRIBUNAL}
    assert noted.purposes_added == {"extradition"}
    ended = grant(*SIGNED, "consent_noted", "consent_ended")
    assert not ended.onward_to
    assert not ended.purposes_added


# ---- What rests on another -----------------------------------------------------------------------


def nobody(_: AuthorityId, __: AuthorityId) -> bool:
    return False


def everybody(_: AuthorityId, __: AuthorityId) -> bool:
    return True


def granted(of: Terms = TERMS, state: str = "active", **changed: Any) -> Grant:  # noqa: ANN401
    return replace(Grant(state, of, PersonCode.parse("OFF-0001")), **changed)


GRANTS = st.builds(
    granted,
    terms(),
    st.sampled_from(["active", "active", "suspended", "revoked"]),
    purposes_added=st.frozensets(st.sampled_from(["trial", "extradition"]), max_size=1),
    assured=st.dictionaries(st.sampled_from(Assurance), st.just(frozenset({"murder"}))),
    charges=st.frozensets(st.sampled_from(["murder", "theft"])),
    onward_to=st.frozensets(st.sampled_from([COURT, TRIBUNAL])),
)
CHAINS = st.lists(GRANTS, min_size=1, max_size=4)


def assert_within(found: Effective, member: Effective) -> None:
    """That one allows nothing that the other does not."""
    assert found.state != "active" or member.state == "active"
    for name in ("purposes", "versions", "actions", "offences", "measures"):
        assert getattr(found, name) <= getattr(member, name)
    assert found.assurances >= member.assurances
    assert found.valid_from >= member.valid_from
    assert found.valid_until <= member.valid_until


@settings(max_examples=150)
@given(CHAINS)
def test_what_rests_on_others_never_allows_more_than_any_of_them(chain: list[Grant]) -> None:
    found = effective(chain, everybody)
    for each in chain:
        assert_within(found, effective([each], everybody))
    assert (found.state == "active") == all(each.state == "active" for each in chain)
    missing = {each for grant in chain for each in set(grant.terms.assurances) - grant.given}
    assert found.assurances - found.assured == missing
    assert found.is_onward == (len(chain) > 1)


@settings(max_examples=100)
@given(CHAINS, GRANTS, st.sampled_from([nobody, everybody]))
def test_a_longer_chain_never_allows_more(chain: list[Grant], root: Grant, is_party: Any) -> None:  # noqa: ANN401
    longer, shorter = effective([root, *chain], is_party), effective(chain, is_party)
    assert_within(longer, shorter)
    assert shorter.onward_allowed or not longer.onward_allowed


def test_a_grant_that_rests_on_none_allows_what_its_terms_do() -> None:
    found = effective([grant(*SIGNED, "consent_noted")], nobody)
    assert found.purposes == {*TERMS.purposes, "extradition"}
    assert found.versions == {"SI-2026-000123/2", "SI-2026-000124/0"}
    assert found.actions == TERMS.actions
    assert (found.valid_from, found.valid_until) == (
        TERMS.valid_from.earliest,
        TERMS.valid_until.earliest,
    )
    assert (found.state, found.grantee, found.onward_allowed) == ("active", COURT, True)


@pytest.mark.parametrize("act", ["revoked", "expired", "suspended", "exhausted"])
def test_what_rests_on_a_grant_that_has_ended_is_not_in_force(act: str) -> None:
    other = DossierId.parse("HR-GRT-000001")
    child = granted(
        replace(TERMS, grant=other, grantor=COURT, grantee=TRIBUNAL, rests_on=TERMS.grant)
    )
    assert effective([grant(*SIGNED), child], nobody).state == "active"
    assert effective([grant(*SIGNED, act), child], nobody).state != "active"
    assert effective([grant(*SIGNED), replace(child, state="revoked")], nobody).state != "active"


def test_no_grant_at_all_allows_nothing() -> None:
    with pytest.raises(MalformedError):
        effective([], everybody)


@pytest.mark.parametrize(
    ("onward", "consented", "party", "expected"),
    [
        (Onward.FORBIDDEN, True, True, False),
        (Onward.WITH_CONSENT, False, True, False),
        (Onward.WITH_CONSENT, True, False, True),
        (Onward.COURT_AND_PARTIES, False, False, False),
        (Onward.COURT_AND_PARTIES, False, True, True),
        (Onward.COURT_AND_PARTIES, True, False, True),
    ],
)
def test_it_is_passed_on_only_as_the_grantor_allows(
    *, onward: Onward, consented: bool, party: bool, expected: bool
) -> None:
    to = frozenset({TRIBUNAL} if consented else set[AuthorityId]())
    parent = granted(replace(TERMS, onward=onward), onward_to=to)
    child = granted(replace(TERMS, grantor=COURT, grantee=TRIBUNAL))
    is_party = everybody if party else nobody
    assert may_pass_on(parent, TRIBUNAL, is_party) == expected
    assert effective([parent, child], is_party).onward_allowed == expected


# ---- Terms that rest on others -------------------------------------------------------------------

CHILD = replace(
    TERMS,
    grant=DossierId.parse("HR-GRT-000001"),
    grantor=COURT,
    grantee=TRIBUNAL,
    rests_on=TERMS.grant,
)


def pointers(child: Terms) -> Sequence[str]:
    return [each.partition(":")[0] for each in inherited(TERMS, child)]


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"purposes": (Purpose.APPEAL,)},
        {"items": TERMS.items[:1]},
        {"mode": Mode.METADATA_ONLY},
        {"conditions": ("closed session", "no copies")},
        {"assurances": (Assurance.FAIR_TRIAL, *TERMS.assurances)},
        {"valid_until": Moment.parse("2026-12Z")},
    ],
    ids=str,
)
def test_terms_may_be_as_wide_as_those_they_rest_on_or_narrower(changed: dict[str, Any]) -> None:
    assert not inherited(TERMS, replace(CHILD, **changed))


@pytest.mark.parametrize(
    ("pointer", "changed"),
    [
        ("/purposes", {"purposes": (Purpose.TRIAL, Purpose.EXTRADITION)}),
        ("/offences", {"offences": ("theft",)}),
        ("/items", {"items": (replace(TERMS.items[0], version=1),)}),
        ("/items", {"items": (replace(TERMS.items[0], sha256="cd" * 32),)}),
        ("/conditions", {"conditions": ()}),
        ("/assurances", {"assurances": (Assurance.FAIR_TRIAL,)}),
        ("/measures", {"measures": ()}),
        ("/grantor", {"grantor": POLICE}),
        ("/mode", {"mode": Mode.CERTIFIED_COPY}),
        ("/valid_until", {"valid_until": Moment.parse("2027-03-15Z")}),
        ("/case", {"case_id": CaseId.parse("SI-CASE-0008")}),
    ],
    ids=str,
)
def test_terms_that_go_beyond_those_they_rest_on_are_pointed_at(
    pointer: str, changed: dict[str, Any]
) -> None:
    assert pointers(replace(CHILD, **changed)) == [pointer]


def test_everything_that_goes_beyond_is_told_at_once() -> None:
    wider = replace(CHILD, offences=("theft",), measures=(), mode=Mode.CERTIFIED_COPY)
    assert set(pointers(wider)) == {"/offences", "/measures", "/mode"}


@settings(max_examples=150)
@given(terms(), st.sets(st.sampled_from(sorted(MEMBERS)), max_size=3), st.data())
def test_what_may_be_offered_allows_no_more_than_it_rests_on(
    parent: Terms, names: set[str], data: st.DataObject
) -> None:
    child = replace(parent, grantor=parent.grantee, grantee=TRIBUNAL)
    child = replace(child, **{name: data.draw(MEMBERS[name]) for name in sorted(names)})
    if inherited(parent, child):
        return
    below, above = effective([granted(child)], nobody), effective([granted(parent)], nobody)
    for name in ("purposes", "versions", "actions", "offences"):
        assert getattr(below, name) <= getattr(above, name)
    assert below.assurances >= above.assurances
    assert below.measures >= above.measures
    assert below.valid_until <= above.valid_until


def test_who_granted_first_must_allow_everybody_further_down() -> None:
    """A consent to one recipient is none to those whom that one passes it on to."""
    laboratory = AuthorityId("laboratory")
    first = granted(replace(TERMS, onward=Onward.WITH_CONSENT), onward_to=frozenset({TRIBUNAL}))
    second_terms = replace(
        TERMS,
        grant=DossierId.parse("HR-GRT-000001"),
        grantor=TERMS.grantee,
        grantee=TRIBUNAL,
        rests_on=TERMS.grant,
        onward=Onward.WITH_CONSENT,
    )
    second = granted(second_terms, onward_to=frozenset({laboratory}))
    third = granted(
        replace(
            second_terms,
            grant=DossierId.parse("HR-GRT-000002"),
            grantor=TRIBUNAL,
            grantee=laboratory,
            rests_on=second_terms.grant,
        )
    )
    assert effective([first, second], nobody).onward_allowed
    assert not effective([first, second, third], nobody).onward_allowed
    both = replace(first, onward_to=frozenset({TRIBUNAL, laboratory}))
    assert effective([both, second, third], nobody).onward_allowed


@pytest.mark.parametrize("change", [{"downloads_max": True}, {"rests_on": "SI-REQ-000001"}])
def test_what_only_looks_like_terms_is_refused(change: dict[str, Json]) -> None:
    document = parse_canonical(TERMS.document, "terms")
    with pytest.raises(MalformedError):
        Terms.parse(canonical({**document, **change}))
