"""Cooperation between States on every database: who may ask, who may see, for what, until when."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta

import pytest
from sqlalchemy import Connection, create_engine, text

from evidence_store.accessing import (
    Opening,
    Question,
    accesses,
    ask,
    serve,
    visible,
)
from evidence_store.audit import audit
from evidence_store.canonical import Json
from evidence_store.cooperation.registry import (
    AssignmentEntry,
    AuthorityRole,
    OfficerEntry,
    OfficerRole,
    Validity,
)
from evidence_store.dossiers import Chains
from evidence_store.errors import (
    DeniedError,
    EvidenceError,
    IncompleteError,
    LedgerAlteredError,
    MalformedError,
    NotFoundError,
    OutOfOrderError,
    RateError,
)
from evidence_store.finding import (
    SEARCHES_A_DAY,
    Blinding,
    Criteria,
    Identity,
    enter,
    look_up_person,
    register_statement,
    search,
    withhold,
)
from evidence_store.granting import (
    accept_grant,
    answer_consent,
    ask_consent,
    declare,
    give_assurance,
    notify_charge,
    offer_grant,
    step,
)
from evidence_store.identifiers import BLINDING, AuthorityId, DossierId, DossierKind, Ern, KeyId
from evidence_store.moment import Moment
from evidence_store.protecting import decide_measure, request_measure
from evidence_store.provider import ProviderTerms, Purpose
from evidence_store.registering import Registry, approve, propose
from evidence_store.sharing.consent import Subject
from evidence_store.sharing.decision import Policy, shipped_schema
from evidence_store.sharing.measure import MeasureType
from evidence_store.sharing.terms import Action, Assurance
from evidence_store.teaming import carry_on, propose_team
from storage.catalog import SqlCatalog
from storage.ledger.files import TileMemory
from tests.cooperation import (
    ALFA,
    BRAVO,
    BRAVO_CENTRAL,
    CHARLIE_CENTRAL,
    World,
    authority,
)
from tests.ledgers import START, Ledger

MEBIBYTE = 1024 * 1024


@pytest.fixture
def world(catalog: SqlCatalog) -> World[Ledger]:
    return World(Ledger(catalog, TileMemory()))


def opened(
    world: World[Ledger],
    name: str,
    ern: Ern,
    *,
    action: Action = Action.DOWNLOAD,
    purpose: str = "prosecution",
    grant: DossierId | None = None,
    version: int | None = None,
) -> Opening:
    return ask(world.desk(name), world.policy, Question(ern, version, action, purpose, grant))


def refused(world: World[Ledger], name: str, ern: Ern, **question: object) -> str:
    """The rule that refuses, as the record has it; the caller may have been told less."""
    with pytest.raises((DeniedError, NotFoundError)):
        opened(world, name, ern, **question)  # type: ignore[arg-type]
    return last_access(world)[1]


def last_access(world: World[Ledger]) -> tuple[str, str]:
    with world.catalog.read() as reader:
        found = reader.dossiers.dossiers(DossierKind.ACCESS, limit=1000).entries[-1]
        access = reader.dossiers.access(found.id)
    return access.decision, access.rule


# ------------------------------------------------------------------------- the registry


def test_a_change_of_the_registry_needs_two_people(world: World[Ledger]) -> None:
    chains, recorder = world.desk("registrar").chains, world.ledger.recorder
    entry = authority(AuthorityId("court"), ALFA, AuthorityRole.COURT)
    change = propose(world.catalog, recorder, chains, world.people["registrar"], entry)
    with world.catalog.read() as reader:
        assert not Registry(reader, chains).designated(
            AuthorityId("court"), AuthorityRole.COURT, world.ledger.clock.now()
        )
    with pytest.raises(OutOfOrderError):
        approve(world.catalog, recorder, chains, world.people["registrar"], change)
    with pytest.raises(OutOfOrderError):  # no officer of the registry
        approve(world.catalog, recorder, chains, world.people["prosecutor"], change)
    approve(world.catalog, recorder, chains, world.people["second"], change)
    with pytest.raises(OutOfOrderError):  # once
        approve(world.catalog, recorder, chains, world.people["second"], change)


def test_what_was_known_and_valid_then_decides(world: World[Ledger]) -> None:
    ended = Validity(Moment.parse("2020Z"), Moment.parse("2025-06-30Z"))
    before = world.ledger.clock.now()
    world.go_on(days=1)
    world.enter(authority(BRAVO_CENTRAL, BRAVO, AuthorityRole.CENTRAL_MLA, when=ended))
    now = world.ledger.clock.now()
    with world.catalog.read() as reader:
        chains = world.desk("central").chains
        role = AuthorityRole.CENTRAL_MLA
        assert not Registry(reader, chains).designated(BRAVO_CENTRAL, role, now)
        then = Moment.parse("2025-01-01Z").earliest
        assert then is not None
        assert Registry(reader, chains).designated(BRAVO_CENTRAL, role, then)
        # What the registry said before the change was recorded can still be asked for.
        assert Registry(reader, chains, known_at=before).designated(BRAVO_CENTRAL, role, now)


def test_an_entry_that_was_changed_in_the_database_is_refused(world: World[Ledger]) -> None:
    with as_its_owner(world) as connection:
        of = (
            ("_no_update", "")
            if connection.dialect.name == "sqlite"
            else ("_append_only", " ON event")
        )
        connection.execute(text(f"DROP TRIGGER event{of[0]}{of[1]}"))
        connection.execute(
            text("UPDATE event SET kid = 'SI/other/1', signature = body WHERE act = 'founded'")
        )
    with pytest.raises(LedgerAlteredError):
        world.desk("prosecutor")


def test_an_items_row_that_names_another_case_than_was_signed_is_found(
    world: World[Ledger],
) -> None:
    world.item()
    world.ledger.sequencer.run()
    assert problems(world) == []
    with as_its_owner(world) as connection:
        other = "SELECT 'SI-000000000099', title, opened_at FROM case_file LIMIT 1"
        connection.execute(text(f"INSERT INTO case_file (case_key, title, opened_at) {other}"))
        connection.execute(text("UPDATE item SET case_key = 'SI-000000000099'"))
    assert problems(world)


def test_a_grant_whose_row_was_altered_opens_nothing_more(world: World[Ledger]) -> None:
    ern = world.item()
    made = world.grant(world.document(ern))
    step(world.desk("central"), made, "revoked", {}, "over")
    with as_its_owner(world) as connection:
        connection.execute(text("UPDATE dossier SET state = 'active' WHERE kind = 'GRT'"))
        open_again = "1" if connection.dialect.name == "sqlite" else "true"
        connection.execute(text(f"UPDATE grant_item SET is_open = {open_again}"))
    assert refused(world, "b-central", ern, grant=made) == "grant-not-active"


def test_an_audit_finds_a_revocation_that_was_taken_out_of_the_database(
    world: World[Ledger],
) -> None:
    made = world.grant(world.document(world.item()))
    step(world.desk("central"), made, "revoked", {}, "over")
    world.ledger.sequencer.run()
    assert problems(world) == []
    with as_its_owner(world) as connection:
        of = (
            ("_no_delete", "")
            if connection.dialect.name == "sqlite"
            else ("_append_only", " ON event")
        )
        connection.execute(text(f"DROP TRIGGER event{of[0]}{of[1]}"))
        where = "subject_key LIKE '%-GRT-%'"
        before = connection.execute(
            text(f"SELECT commitment FROM event WHERE {where} AND act = 'accepted'")
        ).scalar()
        connection.execute(text(f"DELETE FROM event WHERE {where} AND act = 'revoked'"))
        connection.execute(
            text(f"UPDATE chain SET seq = seq - 1, head = :head WHERE {where}"), {"head": before}
        )
    assert any("is not there" in each for each in problems(world))


def test_an_audit_reads_dossiers_too(world: World[Ledger]) -> None:
    world.grant(world.document(world.item()))
    world.ledger.sequencer.run()
    with as_its_owner(world) as connection:
        connection.execute(text("UPDATE chain SET seq = 7 WHERE subject_key LIKE '%-GRT-%'"))
    assert any("GRT" in each for each in problems(world))


def problems(world: World[Ledger]) -> list[str]:
    found = audit(world.catalog, world.ledger.tiles)
    return [f"{each.where}: {each.problem}" for each in found if each.problem]


# ---------------------------------------------------------------------------- own officers


def test_an_officer_who_needs_to_know_opens_an_own_item(world: World[Ledger]) -> None:
    ern = world.item(b"content")
    opening = opened(world, "prosecutor", ern)
    assert (
        b"".join(serve(world.desk("prosecutor"), world.policy, opening, world.vault)) == b"content"
    )
    assert last_access(world) == ("allow", "own-officer-who-needs-to-know")


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("central", "no-need-to-know"),
        ("operator", "operator-has-no-access"),
        ("auditor", "role-sees-no-content"),
        ("b-central", "no-grant"),
    ],
)
def test_others_learn_no_more_than_of_what_is_not_there(
    world: World[Ledger], name: str, rule: str
) -> None:
    ern = world.item()
    told = []
    for each in (ern, Ern(ern.state, ern.year, 999)):
        with pytest.raises(EvidenceError) as caught:
            opened(world, name, each)
        told.append((type(caught.value), str(caught.value).replace(str(each), "")))
        if each == ern:
            assert last_access(world) == ("deny", rule)
    assert told[0] == told[1]
    assert last_access(world) == ("deny", "no-such-item")
    assert visible(world.desk(name)) == ([], None)


def test_need_to_know_ends(world: World[Ledger]) -> None:
    ern = world.item()
    world.assign("prosecutor", until="2026-06-01Z")
    opened(world, "prosecutor", ern)
    world.go_on(days=200)
    assert refused(world, "prosecutor", ern) == "no-need-to-know"


def test_an_officer_knows_the_cases_that_are_assigned_page_by_page(world: World[Ledger]) -> None:
    first, officer = world.case, world.people["prosecutor"]
    with world.catalog.write() as writer:
        others = [writer.open_case(name, None, START).case_id for name in ("B", "C", "D")]
    for each in reversed(others[1:]):
        world.enter(AssignmentEntry(officer, each, Moment.parse("2026-06-01Z")))
    now = world.desk("prosecutor").now
    with world.catalog.read() as reader:
        page = reader.dossiers.cases_known(officer, now, limit=2)
        assert [each.case_id for each in page.entries] == [first, others[1]]
        assert page.entries == [reader.case(each.case_id) for each in page.entries]
        rest = reader.dossiers.cases_known(officer, now, after=page.after, limit=2)
        assert ([each.case_id for each in rest.entries], rest.after) == ([others[2]], None)
        later = reader.dossiers.cases_known(officer, now + timedelta(days=200))
        assert [each.case_id for each in later.entries] == [first]
        assert reader.dossiers.cases_known(world.people["b-central"], now).entries == []
        with pytest.raises(MalformedError):
            reader.dossiers.cases_known(officer, now, after="SI-2026-000001")


def test_a_change_whose_chain_was_taken_away_does_not_let_an_earlier_one_count_again(
    world: World[Ledger],
) -> None:
    """An officer was let go of; whoever owns the database takes away the end of that chain."""
    world.item()
    ended = Validity(Moment.parse("2020Z"), Moment.parse("2025Z"))
    officer = world.people["prosecutor"]
    change = world.enter(
        OfficerEntry(officer, "prosecutor", world.home, {OfficerRole.PROSECUTOR: ended})
    )
    key = f"SI-REG-{change.serial:012d}"
    with as_its_owner(world) as connection:
        connection.execute(text(f"DELETE FROM chain WHERE subject_key = '{key}'"))
    with world.catalog.read() as reader, pytest.raises(NotFoundError):
        Registry(reader, Chains()).officer(officer)


def test_an_officer_whose_roles_have_ended_sees_nothing(world: World[Ledger]) -> None:
    ern = world.item()
    ended = Validity(Moment.parse("2020Z"), Moment.parse("2025Z"))
    world.hire("prosecutor", world.home, OfficerRole.PROSECUTOR, when=ended)
    assert refused(world, "prosecutor", ern) == "officer-without-valid-role"
    assert visible(world.desk("prosecutor")) == ([], None)


# ------------------------------------------------------------------------------- grants


def test_nothing_opens_before_both_sides_have_signed_the_same_terms(world: World[Ledger]) -> None:
    ern = world.item()
    made = world.offer(world.document(ern))
    assert refused(world, "b-central", ern, grant=made) == "grant-not-active"
    with pytest.raises(MalformedError):
        accept_grant(world.desk("b-central"), made, "0" * 64)
    with pytest.raises(NotFoundError):  # no side of it
        step(world.desk("c-central"), made, "declined", {}, "no")
    with pytest.raises(OutOfOrderError):  # the grantor does not accept for the grantee
        accept_grant(world.desk("central"), made, _terms(world, made))
    accept_grant(world.desk("b-central"), made, _terms(world, made))
    opened(world, "b-central", ern, grant=made)


def test_nobody_offers_what_they_proposed(world: World[Ledger]) -> None:
    made = world.propose(world.document(world.item()))
    with pytest.raises(OutOfOrderError):
        offer_grant(world.desk("prosecutor"), made)


@pytest.mark.parametrize(
    ("change", "question", "name", "rule"),
    [
        ({}, {"purpose": "trial"}, "b-central", "purpose-not-granted"),
        ({}, {"purpose": "immigration"}, "b-central", "purpose-excluded"),
        ({}, {}, "c-central", "no-grant"),  # of another's nothing is told
        ({}, {"action": Action.CERTIFIED_COPY}, "b-central", "mode-does-not-allow"),
        ({"mode": "metadata_only"}, {"action": Action.VIEW}, "b-central", "mode-does-not-allow"),
        ({}, {}, "b-auditor", "role-sees-no-content"),
        ({"valid_from": "2026-12-01Z"}, {}, "b-central", "grant-not-yet-valid"),
        ({"assurances": ["no_torture"]}, {}, "b-central", "assurance-missing"),
    ],
)
def test_a_grant_opens_only_what_it_says(
    world: World[Ledger], change: dict[str, Json], question: dict[str, object], name: str, rule: str
) -> None:
    ern = world.item()
    made = world.grant(world.document(ern, **change))
    assert refused(world, name, ern, grant=made, **question) == rule


def test_another_version_is_not_in_the_grant(world: World[Ledger]) -> None:
    ern = world.item()
    made = world.grant(world.document(ern))
    number = world.version(ern, b"redacted")
    assert refused(world, "b-central", ern, grant=made, version=number) == "version-not-granted"


def test_a_grant_that_names_an_officer_is_for_that_one(world: World[Ledger]) -> None:
    ern = world.item()
    made = world.grant(world.document(ern, officers=[str(world.people["b-prosecutor"])]))
    opened(world, "b-prosecutor", ern, grant=made)
    assert refused(world, "b-central", ern, grant=made) == "grant-names-other-officers"
    assert [each.ern for each in visible(world.desk("b-prosecutor"))[0]] == [ern]
    assert visible(world.desk("b-central"))[0] == []


def test_a_grant_is_used_up(world: World[Ledger]) -> None:
    ern = world.item()
    made = world.grant(world.document(ern, downloads_max=2))
    opened(world, "b-central", ern, grant=made)
    opened(world, "b-central", ern, grant=made)
    assert refused(world, "b-central", ern, grant=made) == "grant-used-up"


def test_an_assurance_is_missing_again_after_a_new_charge(world: World[Ledger]) -> None:
    ern = world.item()
    made = world.grant(world.document(ern, assurances=["no_death_penalty"]))
    assert refused(world, "b-central", ern, grant=made) == "assurance-missing"
    give_assurance(world.desk("b-central"), made, Assurance.NO_DEATH_PENALTY, [])
    opened(world, "b-central", ern, grant=made)
    notify_charge(world.desk("b-prosecutor"), made, "second victim", "murder")
    assert refused(world, "b-central", ern, grant=made) == "assurance-missing"
    give_assurance(world.desk("b-central"), made, Assurance.NO_DEATH_PENALTY, ["murder"])
    assert refused(world, "b-central", ern, grant=made) == "assurance-missing"
    give_assurance(world.desk("b-central"), made, Assurance.NO_DEATH_PENALTY, [])
    opened(world, "b-central", ern, grant=made)
    notify_charge(world.desk("b-prosecutor"), made, "tax fraud", "fraud")
    assert refused(world, "b-central", ern, grant=made) == "offence-not-covered"


def test_who_is_designated_for_nothing_today_opens_nothing_today(world: World[Ledger]) -> None:
    ern = world.item()
    made = world.grant(world.document(ern))
    ended = Validity(Moment.parse("2020Z"), Moment.parse("2026-01-31Z"))
    world.enter(authority(BRAVO_CENTRAL, BRAVO, AuthorityRole.CENTRAL_MLA, when=ended))
    assert refused(world, "b-central", ern, grant=made) == "authority-not-designated"


def test_with_intelligence_nothing_is_shared_though_it_was_granted(world: World[Ledger]) -> None:
    ern = world.item()
    made = world.grant(world.document(ern))
    roles = (AuthorityRole.CENTRAL_MLA, AuthorityRole.INTELLIGENCE)
    world.enter(authority(BRAVO_CENTRAL, BRAVO, *roles))
    assert refused(world, "b-central", ern, grant=made) == "recipient-class-excluded"
    with pytest.raises(IncompleteError):
        world.offer(world.document(ern))


# ---------------------------------------------------------------- while bytes are leaving


def _revoked(world: World[Ledger], grant: DossierId) -> str:
    step(world.desk("central"), grant, "revoked", {}, "withdrawn")
    return "grant-not-active"


def _suspended(world: World[Ledger], grant: DossierId) -> str:
    step(world.desk("central"), grant, "suspended", {}, "checked")
    return "grant-not-active"


def _expired(world: World[Ledger], grant: DossierId) -> str:
    del grant
    world.go_on(days=400)
    return "grant-expired"


def _newly_charged(world: World[Ledger], grant: DossierId) -> str:
    notify_charge(world.desk("b-prosecutor"), grant, "second victim", "murder")
    return "assurance-missing"


def _dismissed(world: World[Ledger], grant: DossierId) -> str:
    del grant
    ended = Validity(Moment.parse("2020Z"), Moment.parse("2025Z"))
    world.hire("b-central", BRAVO_CENTRAL, OfficerRole.CENTRAL, when=ended)
    return "officer-without-valid-role"


@pytest.mark.parametrize("ended", [_revoked, _suspended, _expired, _newly_charged, _dismissed])
def test_what_ends_the_permission_stops_the_next_byte(
    world: World[Ledger], ended: Callable[[World[Ledger], DossierId], str]
) -> None:
    ern = world.item(b"x" * (9 * MEBIBYTE))
    made = world.grant(world.document(ern, assurances=["no_torture"], downloads_max=1))
    give_assurance(world.desk("b-central"), made, Assurance.NO_TORTURE, [])
    opening = opened(world, "b-central", ern, grant=made)
    desk = world.desk("b-central")
    pieces = serve(desk, world.policy, opening, world.vault)
    left = len(next(pieces))
    rule = ended(world, made)
    with pytest.raises(DeniedError) as caught:
        next(pieces)
    assert caught.value.rule == rule
    with world.catalog.read() as reader:
        access = reader.dossiers.access(opening.access)
    assert (access.served_bytes, access.ended) == (left, rule)
    assert left < 9 * MEBIBYTE


def test_a_reader_who_goes_away_is_on_record_with_what_left(world: World[Ledger]) -> None:
    ern = world.item(b"x" * (9 * MEBIBYTE))
    desk = world.desk("prosecutor")
    opening = opened(world, "prosecutor", ern)
    pieces = serve(desk, world.policy, opening, world.vault)
    left = len(next(pieces))
    pieces.close()
    with world.catalog.read() as reader:
        access = reader.dossiers.access(opening.access)
    assert (access.served_bytes, access.ended, access.served_sha256) == (left, "interrupted", None)


def test_what_cannot_be_recorded_is_not_served(world: World[Ledger]) -> None:
    ern = world.item()
    made = world.grant(world.document(ern))
    desk = world.desk("b-central")
    world.ledger.keys.lost.add(desk.recorder.by)
    question = Question(ern, None, Action.DOWNLOAD, "prosecution", made)
    with pytest.raises(EvidenceError):
        ask(desk, world.policy, question)
    with world.catalog.read() as reader:
        assert reader.dossiers.accesses(ern=ern).entries == []


# -------------------------------------------------------------------- onward, and consents


def test_passing_on_needs_consent_and_ends_with_what_it_rests_on(world: World[Ledger]) -> None:
    ern = world.item()
    first = world.grant(world.document(ern, onward="with_consent", assurances=["fair_trial"]))
    onward = world.document(
        ern,
        grantee="charlie-central",
        mode="view_only",
        rests_on=str(first),
        assurances=["fair_trial"],
    )
    with pytest.raises(IncompleteError):
        world.offer(onward, "b-prosecutor", "b-central")
    asked = ask_consent(
        world.desk("b-prosecutor"), Subject.ONWARD, "accomplice", of=first, to=CHARLIE_CENTRAL
    )
    with pytest.raises(OutOfOrderError):  # who asks does not answer
        answer_consent(world.desk("b-central"), asked, "given", "yes")
    answer_consent(world.desk("central"), asked, "given", "yes")
    second = world.grant(onward, "b-prosecutor", "b-central", "c-central")
    assert refused(world, "c-central", ern, action=Action.VIEW, grant=second) == "assurance-missing"
    give_assurance(world.desk("c-central"), second, Assurance.FAIR_TRIAL, [])
    # Whoever passed it on must have given its word, too.
    assert refused(world, "c-central", ern, action=Action.VIEW, grant=second) == "assurance-missing"
    give_assurance(world.desk("b-central"), first, Assurance.FAIR_TRIAL, [])
    opened(world, "c-central", ern, action=Action.VIEW, grant=second)
    assert [each.ern for each in visible(world.desk("c-central"))[0]] == [ern]
    answer_consent(world.desk("central"), asked, "withdrawn", "not any more")
    found = refused(world, "c-central", ern, action=Action.VIEW, grant=second)
    assert found == "onward-without-consent"
    step(world.desk("central"), first, "revoked", {}, "over")
    found = refused(world, "c-central", ern, action=Action.VIEW, grant=second)
    assert found == "grant-not-active"
    assert visible(world.desk("c-central"))[0] == []


@pytest.mark.parametrize(
    "beyond",
    [
        {"purposes": ["prosecution", "trial"]},
        {"offences": ["murder", "fraud"]},
        {"valid_until": "2028-01-01Z"},
        {"mode": "certified_copy"},
        {"conditions": []},
        {"assurances": []},
    ],
)
def test_what_is_passed_on_never_goes_beyond_what_was_granted(
    world: World[Ledger], beyond: dict[str, Json]
) -> None:
    ern = world.item()
    own: dict[str, Json] = {"conditions": ["closed session"], "assurances": ["fair_trial"]}
    first = world.grant(world.document(ern, onward="with_consent", **own))
    asked = ask_consent(
        world.desk("b-prosecutor"), Subject.ONWARD, "accomplice", of=first, to=CHARLIE_CENTRAL
    )
    answer_consent(world.desk("central"), asked, "given", "yes")
    onward = {"grantee": "charlie-central", "rests_on": str(first), **own}
    with pytest.raises(IncompleteError):
        world.offer(world.document(ern, **{**onward, **beyond}), "b-prosecutor", "b-central")
    world.offer(world.document(ern, **onward), "b-prosecutor", "b-central")


def test_another_purpose_opens_when_the_grantor_consents(world: World[Ledger]) -> None:
    ern = world.item()
    made = world.grant(world.document(ern))
    assert refused(world, "b-central", ern, grant=made, purpose="appeal") == "purpose-not-granted"
    asked = ask_consent(
        world.desk("b-prosecutor"), Subject.PURPOSE, "appealed", of=made, purposes=[Purpose.APPEAL]
    )
    answer_consent(world.desk("central"), asked, "given", "yes")
    opened(world, "b-central", ern, grant=made, purpose="appeal")


def test_nobody_shares_what_is_anothers(world: World[Ledger]) -> None:
    ern = world.item()
    document = world.document(ern, grantee="charlie-central")
    with pytest.raises(NotFoundError):
        world.propose(document, "b-prosecutor")


def test_a_providers_terms_bind_until_the_provider_consents(world: World[Ledger]) -> None:
    terms = ProviderTerms(("SI",), (Purpose.PROSECUTION,), Moment.parse("2030Z"), "the provider")
    ern = world.item(terms=terms)
    document = world.document(ern)
    with pytest.raises(IncompleteError) as caught:
        world.offer(document)
    assert any("provider" in each for each in caught.value.findings)
    asked = ask_consent(
        world.desk("prosecutor"),
        Subject.PROVIDER,
        "asked by letter",
        to=BRAVO_CENTRAL,
        purposes=[Purpose.PROSECUTION],
        items=[ern],
    )
    with pytest.raises(OutOfOrderError):  # nobody records the answer to an own question
        answer_consent(world.desk("prosecutor"), asked, "given", "letter")
    answer_consent(world.desk("central"), asked, "given", "letter of 1 March")
    made = world.grant(document)
    opened(world, "b-central", ern, grant=made)
    answer_consent(world.desk("central"), asked, "withdrawn", "letter of 2 March")
    found = refused(world, "b-central", ern, grant=made)
    assert found == "provider-excludes-recipient"


# ------------------------------------------------------------- measures, teams, the index


def test_a_protective_measure_goes_with_the_item(world: World[Ledger]) -> None:
    ern = world.item()
    before = world.grant(world.document(ern))
    redacted = world.version(ern, b"redacted")
    made = request_measure(
        world.desk("prosecutor"), ern, MeasureType.REDACTION, [redacted], "threatened"
    )
    with pytest.raises(OutOfOrderError):  # nobody orders what they asked for
        decide_measure(world.desk("prosecutor"), made, "ordered", [], "ordered")
    world.hire("judge", world.home, OfficerRole.JUDGE)
    decide_measure(world.desk("judge"), made, "ordered", [], "ordered")
    assert refused(world, "b-central", ern, grant=before) == "protective-measure"
    assert refused(world, "prosecutor", ern) == "protective-measure"
    with pytest.raises(IncompleteError):
        world.offer(world.document(ern))
    after = world.grant(world.document(f"{ern}/{redacted}"))
    opened(world, "b-central", ern, version=redacted, grant=after)
    with pytest.raises(OutOfOrderError):  # not by another authority
        decide_measure(world.desk("b-central"), made, "lifted", [], "over")
    decide_measure(world.desk("judge"), made, "lifted", [], "over")
    opened(world, "prosecutor", ern)


def test_a_team_pools_grants_and_each_item_stays_its_contributors(world: World[Ledger]) -> None:
    ern = world.item()
    period = Validity(Moment.parse("2026Z"), Moment.parse("2027Z"))
    team = propose_team(
        world.desk("central"), [world.home, BRAVO_CENTRAL], "the shelling", "the leader's", period
    )
    document = world.document(ern, basis="team", reference=str(team))
    with pytest.raises(IncompleteError):  # not all have signed
        world.offer(document)
    with pytest.raises(NotFoundError):
        carry_on(world.desk("c-central"), team, "signed")
    carry_on(world.desk("b-central"), team, "signed")
    made = world.grant(document)
    opened(world, "b-central", ern, grant=made)
    with pytest.raises(OutOfOrderError):
        carry_on(world.desk("b-central"), team, "ended")
    carry_on(world.desk("b-central"), team, "left")
    with pytest.raises(IncompleteError):
        world.offer(document)
    step(world.desk("central"), made, "revoked", {}, "left the team")
    declare(world.desk("b-central"), made, "returned", "all of it")


def test_the_index_says_whom_to_ask_and_nothing_else(world: World[Ledger]) -> None:
    ern = world.item()
    where = Criteria("War crime", "Brod", "2022-03", "shelling of the school")
    enter(world.desk("prosecutor"), ern, where)
    same = Criteria("war  CRIME", "Bród", "2022-03")
    answer = search(world.desk("b-prosecutor"), same, Purpose.INVESTIGATION)
    assert (answer.hit, answer.ask) == (True, (world.home,))
    other = Criteria("War crime", "Brod", "2022-04")
    assert not search(world.desk("b-prosecutor"), other, Purpose.INVESTIGATION).hit
    assert withhold(world.desk("prosecutor"), ern, withheld=True) == 1
    assert not search(world.desk("b-prosecutor"), same, Purpose.INVESTIGATION).hit
    assert withhold(world.desk("prosecutor"), ern, withheld=False) == 1
    assert search(world.desk("b-prosecutor"), where, Purpose.INVESTIGATION).hit
    with pytest.raises(NotFoundError):  # another State's item
        withhold(world.desk("b-prosecutor"), ern, withheld=True)


def test_searches_are_counted(world: World[Ledger]) -> None:
    where = Criteria("War crime", "Brod", "2022-03")
    desk = world.desk("b-prosecutor")
    for _ in range(SEARCHES_A_DAY):
        search(desk, where, Purpose.INVESTIGATION)
    with pytest.raises(RateError):
        search(desk, where, Purpose.INVESTIGATION)
    world.go_on(days=1)
    search(desk, where, Purpose.INVESTIGATION)


def test_whether_a_person_testified_is_answered_to_a_protection_unit_alone(
    world: World[Ledger],
) -> None:
    kid = KeyId(ALFA, BLINDING, 1)
    blinding = Blinding(world.ledger.keys, kid)
    ern = world.item()
    born = date(1970, 5, 14)
    register_statement(world.desk("prosecutor"), blinding, Identity("Ana Novák", born), ern)
    same = Identity("NOVAK, Ana", born)
    with pytest.raises(OutOfOrderError):
        look_up_person(world.desk("b-central"), blinding, same, "before an interview")
    world.enter(authority(CHARLIE_CENTRAL, BRAVO, AuthorityRole.PROTECTION_UNIT))
    world.hire("c-protection", CHARLIE_CENTRAL, OfficerRole.PROTECTION)
    answer = look_up_person(world.desk("c-protection"), blinding, same, "before an interview")
    assert (answer.hit, answer.ask) == (True, (world.home,))
    other = Identity("Ana Novak", date(1971, 5, 14))
    assert not look_up_person(world.desk("c-protection"), blinding, other, "x").hit
    with as_its_owner(world) as connection:
        dump = repr(connection.execute(text("SELECT * FROM dossier_tag")).all())
    assert "ovak" not in dump
    assert "ovák" not in dump


# ------------------------------------------------------------------- the record of access


def test_the_record_of_access_is_the_providers(world: World[Ledger]) -> None:
    ern = world.item()
    made = world.grant(world.document(ern))
    opened(world, "b-central", ern, grant=made)
    refused(world, "c-central", ern)
    found, _ = accesses(world.desk("auditor"), ern=ern)
    assert [(each.authority, each.decision) for each in found] == [
        (BRAVO_CENTRAL, "allow"),
        (CHARLIE_CENTRAL, "deny"),
    ]
    for name in ("b-central", "c-central", "operator"):
        with pytest.raises(NotFoundError):
            accesses(world.desk(name), ern=ern)


def test_a_court_reads_the_record_of_what_was_granted_to_it(world: World[Ledger]) -> None:
    ern = world.item()
    court = AuthorityId("bravo-court")
    world.enter(authority(court, BRAVO, AuthorityRole.COURT))
    world.hire("b-judge", court, OfficerRole.JUDGE, OfficerRole.CENTRAL)
    made = world.grant(world.document(ern, grantee="bravo-court"), accepted_by="b-judge")
    opened(world, "b-judge", ern, grant=made)
    assert len(accesses(world.desk("b-judge"), grant=made)[0]) == 1


def test_an_old_decision_explains_itself_when_the_rules_have_changed(world: World[Ledger]) -> None:
    ern = world.item()
    made = world.grant(world.document(ern))
    refused(world, "b-central", ern, grant=made, purpose="trial")
    changed = world.policy.text.replace(
        "forbid (principal, action, resource)\nwhen { context has grant && !context.grant.purposes",
        "forbid (principal, action, resource)\nwhen { false && context has grant && !context.grant.purposes",
    )
    looser = Policy(changed, shipped_schema())
    assert looser.digest != world.policy.digest
    question = Question(ern, None, Action.DOWNLOAD, "trial", made)
    ask(world.desk("b-central"), looser, question)
    with world.catalog.read() as reader:
        old, new = reader.dossiers.accesses(ern=ern).entries
        for access, rule in ((old, "purpose-not-granted"), (new, "officer-under-a-grant")):
            kept = reader.dossiers.policy_text(access.policy)
            facts = world.desk("central").chains.steps(reader, access.id)[0].private["facts"]
            assert isinstance(facts, dict)
            assert kept is not None
            assert Policy(kept, shipped_schema()).decide_again(facts).rule == access.rule == rule


def test_a_copy_that_leaked_names_its_access(world: World[Ledger]) -> None:
    ern = world.item(b"content")
    made = world.grant(world.document(ern))
    opening = opened(world, "b-central", ern, grant=made)
    desk = world.desk("b-central")
    list(serve(desk, world.policy, opening, world.vault))
    with world.catalog.read() as reader:
        by_id = reader.dossiers.copy(copy_id=opening.copy_id)
        with world.catalog.read() as again:
            ended = again.dossiers.access(opening.access)
        by_digest = reader.dossiers.copy(sha256=ended.served_sha256)
    assert by_id is not None
    assert by_digest is not None
    assert by_id.grant == by_digest.grant == made


# --------------------------------------------------------------------------------- helpers


def _terms(world: World[Ledger], made: DossierId) -> str:
    with world.catalog.read() as reader:
        return world.desk("central").chains.steps(reader, made)[0].text("terms")


@contextmanager
def as_its_owner(world: World[Ledger]) -> Iterator[Connection]:
    """Past the product, as somebody who owns the database."""
    engine = create_engine(world.catalog.engine.url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


# ------------------------------------------------------- what one State does to another's


def test_seeing_that_an_item_is_there_serves_no_byte(world: World[Ledger]) -> None:
    ern = world.item(b"content")
    made = world.grant(world.document(ern, mode="metadata_only"))
    for action in (Action.SEE_METADATA,):
        opening = opened(world, "b-central", ern, grant=made, action=action)
        desk = world.desk("b-central")
        assert list(serve(desk, world.policy, opening, world.vault)) == []
        with world.catalog.read() as reader:
            assert reader.dossiers.access(opening.access).served_bytes == 0


def test_a_recipient_does_not_speak_for_anothers_provider(world: World[Ledger]) -> None:
    terms = ProviderTerms(("SI",), (Purpose.PROSECUTION,), Moment.parse("2030Z"), "the provider")
    ern = world.item(terms=terms)
    with pytest.raises(NotFoundError):
        ask_consent(
            world.desk("b-prosecutor"),
            Subject.PROVIDER,
            "x",
            to=BRAVO_CENTRAL,
            purposes=[Purpose.PROSECUTION],
            items=[ern],
        )


def test_nobody_closes_another_states_evidence_by_a_measure(world: World[Ledger]) -> None:
    ern = world.item()
    for each in (ern, Ern(ern.state, ern.year, 999)):
        with pytest.raises(NotFoundError):
            request_measure(world.desk("b-prosecutor"), each, MeasureType.REDACTION, [], "x")
    opened(world, "prosecutor", ern)
