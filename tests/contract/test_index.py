"""What whoever owns the database can do by its rows, with an officer's help: open nothing, unnoticed."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from sqlalchemy import Connection, create_engine, text

from evidence_store.accessing import Opening, Question, ask
from evidence_store.acts import quarantined, terms_digest
from evidence_store.cooperation.registry import (
    KIND_OF,
    AssignmentEntry,
    Entry,
    OfficerRole,
    document_of,
    tag_of,
)
from evidence_store.dossiers import Chains, Taken, new_dossier, take
from evidence_store.errors import DeniedError, LedgerAlteredError, NotFoundError
from evidence_store.granting import answer_consent, ask_consent, provider_consents, step
from evidence_store.identifiers import AuthorityId, DossierId, DossierKind, Ern, KeyId
from evidence_store.index_audit import whole_audit
from evidence_store.ledger import control
from evidence_store.ledger_port import Control
from evidence_store.moment import Moment
from evidence_store.protecting import request_measure
from evidence_store.provider import ProviderTerms, Purpose
from evidence_store.recording import Recorder
from evidence_store.registering import Registry, approve, propose
from evidence_store.sharing.consent import Subject
from evidence_store.sharing.measure import MeasureType
from evidence_store.sharing.terms import Action
from storage.catalog import SqlCatalog
from storage.ledger.files import TileMemory
from tests.cooperation import ALFA, BRAVO_CENTRAL, World
from tests.ledgers import Ledger

FOR_EVER = "2099-01-01 00:00:00"
TERMS = ProviderTerms(("SI",), (Purpose.PROSECUTION,), Moment.parse("2030Z"), "the provider")


@pytest.fixture
def world(catalog: SqlCatalog) -> World[Ledger]:
    """An officer who was never assigned to the case is there: who helps."""
    made = World(Ledger(catalog, TileMemory()))
    made.hire("helper", made.home, OfficerRole.INVESTIGATOR)
    return made


@contextmanager
def as_its_owner(world: World[Ledger], *guarded: str) -> Iterator[Connection]:
    """Past the product and the triggers, as somebody who owns the database."""
    engine = create_engine(world.catalog.engine.url)
    with engine.begin() as connection:
        for table in guarded:
            if connection.dialect.name == "sqlite":
                for verb in ("update", "delete"):
                    connection.execute(text(f"DROP TRIGGER {table}_no_{verb}"))
            else:
                connection.execute(text(f"DROP TRIGGER {table}_append_only ON {table}"))
        yield connection
    engine.dispose()


def opened(world: World[Ledger], name: str, ern: Ern, grant: DossierId | None = None) -> Opening:
    question = Question(ern, None, Action.DOWNLOAD, "prosecution", grant)
    return ask(world.desk(name), world.policy, question)


def stays_closed(world: World[Ledger], name: str, ern: Ern, grant: DossierId | None = None) -> None:
    with pytest.raises((DeniedError, NotFoundError, LedgerAlteredError)):
        opened(world, name, ern, grant)


def problems(world: World[Ledger]) -> list[str]:
    """What an audit finds, when the log has taken in everything that it does not refuse to sign over."""
    with suppress(LedgerAlteredError):
        world.ledger.sequencer.run()
    found = whole_audit(world.catalog, world.ledger.tiles)
    return [f"{each.where}: {each.problem}" for each in found if each.problem]


def assign_by_row(connection: Connection, world: World[Ledger], name: str) -> None:
    """A row as `approve` would have made it."""
    connection.execute(
        text(
            "INSERT INTO assignment (officer, case_key, until, subject_key) "
            "SELECT :officer, case_key, until, subject_key FROM assignment WHERE officer = :known"
        ),
        {"officer": key_of(world, name), "known": key_of(world, "prosecutor")},
    )


def key_of(world: World[Ledger], name: str) -> str:
    code = world.people[name]
    return f"{code.role.value}-{code.serial:012d}"


# ------------------------------------------------------------------------- need to know


def test_a_row_that_nobody_signed_opens_nothing_and_is_named(world: World[Ledger]) -> None:
    ern = world.item()
    assert problems(world) == []
    with as_its_owner(world) as connection:
        assign_by_row(connection, world, "helper")
    with pytest.raises(DeniedError) as refusal:
        opened(world, "helper", ern)
    assert refusal.value.rule == "no-need-to-know"
    assert any("nobody signed it" in each for each in problems(world))


def test_an_assignment_that_was_lengthened_in_its_row_is_over_all_the_same(
    world: World[Ledger],
) -> None:
    ern = world.item()
    world.assign("helper", until="2026-04-01Z")
    opened(world, "helper", ern)
    world.go_on(days=30)
    assert problems(world) == []
    with as_its_owner(world) as connection:
        connection.execute(
            text("UPDATE assignment SET until = :until WHERE officer = :officer"),
            {"until": FOR_EVER, "officer": key_of(world, "helper")},
        )
    stays_closed(world, "helper", ern)
    assert any("expected until 2026-04-01" in each for each in problems(world))


def test_an_assignment_counts_without_its_row_and_its_absence_is_named(
    world: World[Ledger],
) -> None:
    ern = world.item()
    world.assign("helper")
    with as_its_owner(world) as connection:
        connection.execute(
            text("DELETE FROM assignment WHERE officer = :officer"),
            {"officer": key_of(world, "helper")},
        )
    opened(world, "helper", ern)
    assert any("the row of the assignment" in each for each in problems(world))


def test_lists_go_by_the_newest_proposal_in_whatever_order_they_were_approved(
    world: World[Ledger],
) -> None:
    ern = world.item()
    recorder, chains = world.ledger.recorder, Chains()
    first, second = (
        propose(
            world.catalog,
            recorder,
            chains,
            world.people["registrar"],
            AssignmentEntry(world.people["helper"], world.case, Moment.parse(until)),
        )
        for until in ("2099Z", "2020Z")
    )
    for change in (second, first):
        approve(world.catalog, recorder, chains, world.people["second"], change)
    assert problems(world) == []
    stays_closed(world, "helper", ern)


# ------------------------------------------------------------------ who signs the registry


def forged(world: World[Ledger], recorder: Recorder, proposer: str, approver: str) -> None:
    """An assignment of the helper, entered past the rules and signed by that recorder."""
    entry: Entry = AssignmentEntry(world.people["helper"], world.case, Moment.parse("2099Z"))
    with world.catalog.write() as writer:
        change = new_dossier(
            writer,
            recorder,
            DossierKind.REGISTRY,
            Taken("proposed", world.people[proposer], {}, {"entries": [document_of(entry)]}),
            state="proposed",
            tags={"entry": [tag_of(KIND_OF[type(entry)], entry.key)]},
        )
        take(writer, recorder, change, Taken("approved", world.people[approver]), state="approved")


@pytest.mark.parametrize(
    ("proposer", "approver"),
    [("registrar", "registrar"), ("registrar", "prosecutor"), ("helper", "second")],
)
def test_a_change_that_was_not_made_by_two_officers_of_the_registry_counts_for_nothing(
    world: World[Ledger], proposer: str, approver: str
) -> None:
    ern = world.item()
    forged(world, world.ledger.recorder, proposer, approver)
    stays_closed(world, "helper", ern)
    assert any("two officers of the registry" in each for each in problems(world))


def test_another_authoritys_key_makes_no_entry(world: World[Ledger]) -> None:
    ern, base = world.item(), world.ledger.recorder
    with world.catalog.read() as reader:
        kid = reader.ledger.keys_of(BRAVO_CENTRAL)[-1].kid
    assert kid is not None
    bravo = Recorder(base.log, kid, base.keys, base.clock, base.random)
    forged(world, bravo, "registrar", "second")
    stays_closed(world, "helper", ern)
    assert any("two officers of the registry" in each for each in problems(world))


def test_a_key_that_the_root_did_not_register_signs_nothing(world: World[Ledger]) -> None:
    ern, base = world.item(), world.ledger.recorder
    own = KeyId(ALFA, AuthorityId("prosecutor"), 99)  # a row that looks like a registration
    public = base.keys.public(own)
    entry = control.registration(base.log, "A", own, public, [own], base.keys.sign)
    with world.catalog.write() as writer:
        writer.ledger.add_control(Control("key", entry.encode(), own, public))
    recorder = Recorder(base.log, own, base.keys, base.clock, base.random)
    forged(world, recorder, "registrar", "second")
    stays_closed(world, "helper", ern)
    found = problems(world)
    assert any("control entry: is not as it was signed" in each for each in found)
    assert any("which is not registered" in each for each in found)


def test_a_log_of_somebody_elses_root_is_not_ours(world: World[Ledger]) -> None:
    ern, log = world.item(), world.ledger.log
    other = KeyId(ALFA, AuthorityId("other"), 1)
    keys = world.ledger.keys
    entry = control.genesis(
        log.origin,
        log.state,
        (log.root, keys.public(other)),
        list(log.vkeys),
        lambda _, message: keys.sign(other, message),
    ).encode()
    opened(world, "prosecutor", ern)
    with as_its_owner(world, "control") as connection:
        connection.execute(
            text("UPDATE control SET entry = :entry, public = :public WHERE kind = 'genesis'"),
            {"entry": entry, "public": keys.public(other)},
        )
    with pytest.raises(LedgerAlteredError):
        opened(world, "prosecutor", ern)
    assert any("is not in the log" in each for each in problems_of_rows(world))


def problems_of_rows(world: World[Ledger]) -> list[str]:
    """Without asking the log to go on: it would refuse to."""
    found = whole_audit(world.catalog, world.ledger.tiles)
    return [f"{each.where}: {each.problem}" for each in found if each.problem]


def test_a_revocation_that_was_taken_out_of_the_rows_is_named(world: World[Ledger]) -> None:
    assert problems(world) == []
    with as_its_owner(world, "control") as connection:
        connection.execute(
            text("DELETE FROM control WHERE authority = :bravo"), {"bravo": str(BRAVO_CENTRAL)}
        )
    assert any("the control entry that it is, is not there" in each for each in problems(world))


# -------------------------------------------------------------------------------- items


def test_an_item_that_was_moved_to_the_helpers_case_stays_closed(world: World[Ledger]) -> None:
    ern = world.item()
    with world.catalog.write() as writer:
        other = writer.open_case("Other", None, world.ledger.clock.now()).case_id
    world.enter(AssignmentEntry(world.people["helper"], other, Moment.parse("2099Z")))
    with as_its_owner(world) as connection:
        connection.execute(
            text("UPDATE item SET case_key = :other"),
            {"other": f"{other.state.value}-{other.serial:012d}"},
        )
    stays_closed(world, "helper", ern)
    assert any("another case than was signed" in each for each in problems(world))


@pytest.mark.parametrize(
    "columns",
    ["object_name", "object_name, sha256, blake3, size_bytes"],
    ids=["object", "object and digests"],
)
def test_a_version_that_was_given_anothers_bytes_stays_closed(
    world: World[Ledger], columns: str
) -> None:
    mine, secret = world.item(b"mine"), world.item(b"a secret of another case")
    opened(world, "prosecutor", mine)
    with as_its_owner(world) as connection:
        other = {"mine": ern_key(mine), "secret": ern_key(secret)}
        found = connection.execute(
            text(f"SELECT {columns} FROM version WHERE ern_key = :secret"),  # noqa: S608 - our own
            {"secret": other["secret"]},
        )
        row = found.mappings().one()
        changes = ", ".join(f"{name} = :{name}" for name in row)
        connection.execute(
            text(f"UPDATE version SET {changes} WHERE ern_key = :mine"),  # noqa: S608 - our own
            {**row, "mine": other["mine"]},
        )
    stays_closed(world, "prosecutor", mine)
    assert any("other digests than were signed" in each for each in problems(world))


def ern_key(ern: Ern) -> str:
    return f"{ern.state.value}-{ern.year}-{ern.serial:012d}"


def test_an_item_of_which_nothing_was_signed_stays_closed(world: World[Ledger]) -> None:
    ern = world.item()
    with as_its_owner(world, "event") as connection:
        for table in ("event", "chain"):
            connection.execute(
                text(f"DELETE FROM {table} WHERE subject_key = :ern"),  # noqa: S608 - our own
                {"ern": ern_key(ern)},
            )
    stays_closed(world, "prosecutor", ern)
    assert any(str(ern) in each for each in problems(world))


def test_a_classification_that_was_lowered_in_its_event_opens_nothing(
    world: World[Ledger],
) -> None:
    ern = world.item()
    with as_its_owner(world, "event") as connection:
        where = {"ern": ern_key(ern)}
        query = "SELECT body FROM event WHERE subject_key = :ern"
        body = bytes(connection.execute(text(query), where).scalar_one())
        connection.execute(
            text("UPDATE event SET body = :body WHERE subject_key = :ern"),
            {**where, "body": body.replace(b'"kind":"photo"', b'"kind":"video"')},
        )
    stays_closed(world, "prosecutor", ern)
    assert problems(world)


def test_an_item_in_quarantine_does_not_leave_it_by_its_row(world: World[Ledger]) -> None:
    ern = world.item()
    with world.catalog.write() as writer:  # the row goes on saying that it is registered
        world.ledger.recorder.record(writer, [quarantined(writer.item(ern))])
    stays_closed(world, "prosecutor", ern)
    assert any("and it is quarantined" in each for each in problems(world))


@pytest.mark.parametrize("loosened", [None, '"purposes": ["trial"]'], ids=["taken away", "other"])
def test_a_providers_terms_are_those_that_were_signed(
    world: World[Ledger], loosened: str | None
) -> None:
    ern = world.item(terms=TERMS)
    opened(world, "prosecutor", ern)
    with as_its_owner(world) as connection:
        terms = str(connection.execute(text("SELECT terms FROM item")).scalar_one())
        changed = None if loosened is None else terms.replace("prosecution", "trial")
        assert changed != terms
        connection.execute(text("UPDATE item SET terms = :terms"), {"terms": changed})
    stays_closed(world, "prosecutor", ern)
    assert any("other terms of its provider" in each for each in problems(world))
    assert len(terms_digest(TERMS)) == 64


# ----------------------------------------------------------------- grants, consents, measures


def tag(connection: Connection, dossier: DossierId, name: str, ern: Ern) -> None:
    connection.execute(
        text("INSERT INTO dossier_tag (subject_key, name, value) VALUES (:key, :name, :value)"),
        {"key": dossier_key(dossier), "name": f"{dossier.kind.value}/{name}", "value": str(ern)},
    )


def dossier_key(dossier: DossierId) -> str:
    return f"{dossier.state.value}-{dossier.kind.value}-{dossier.serial:012d}"


def test_a_providers_consent_to_one_item_is_none_to_another(world: World[Ledger]) -> None:
    told, other = world.item(b"1", terms=TERMS), world.item(b"2", terms=TERMS)
    desk = world.desk("prosecutor")
    consent = ask_consent(
        desk,
        Subject.PROVIDER,
        "x",
        to=BRAVO_CENTRAL,
        purposes=[Purpose.PROSECUTION],
        items=[told],
    )
    answer_consent(world.desk("central"), consent, "given", "yes")
    opened(world, "b-central", told, world.grant(world.document(told)))
    with as_its_owner(world) as connection:
        tag(connection, consent, "item", other)
    assert any("of which it says nothing" in each for each in problems(world))
    chains = Chains()
    with world.catalog.read() as reader:
        for ern, expected in ((told, True), (other, False)):
            found = provider_consents(reader, chains, ern, BRAVO_CENTRAL, "prosecution")
            assert found is expected


def test_a_measure_that_was_taken_off_its_item_is_named(world: World[Ledger]) -> None:
    ern = world.item()
    measure = request_measure(world.desk("prosecutor"), ern, MeasureType.REDACTION, [], "x")
    assert problems(world) == []
    with as_its_owner(world) as connection:
        connection.execute(text("DELETE FROM dossier_tag WHERE name = 'MSR/item'"))
    assert any(f"{measure}: is not found by its item" in each for each in problems(world))
    with as_its_owner(world) as connection:
        connection.execute(text("DELETE FROM dossier WHERE kind = 'MSR'"))
    assert any(f"{measure}: something was signed of it" in each for each in problems(world))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("UPDATE grant_item SET is_open = NOT is_open", "is not there as signed"),
        ("UPDATE grant_item SET valid_until = '2099-01-01 00:00:00'", "otherwise than was signed"),
        ("UPDATE grant_item SET version = 2", "otherwise than was signed"),
        ("UPDATE grant_item SET grantee = 'charlie-central'", "otherwise than was signed"),
        ("DELETE FROM grant_item", "is not there as signed"),
        ("UPDATE dossier SET state = 'revoked' WHERE kind = 'GRT'", "leads to active"),
        ("UPDATE dossier SET owner = 'charlie-central' WHERE kind = 'GRT'", "opened it"),
        ("DELETE FROM dossier_tag WHERE name = 'GRT/item'", "is not found by its item"),
        ("UPDATE access SET grant_key = NULL", "otherwise than was signed: grant"),
        ("UPDATE access SET decision = 'deny'", "otherwise than was signed: decision"),
        ("UPDATE access SET copy_id = 'x'", "otherwise than was signed: copy_id"),
        ("UPDATE access SET served_bytes = 7", "otherwise than was signed: ended"),
        ("DELETE FROM access", "there is no SI-ACC-"),
        ("UPDATE policy_text SET text = 'permit'", "are not there as they were"),
        ("DELETE FROM dossier_tag WHERE name = 'REG/entry'", "is not found by its entry"),
    ],
)
def test_a_row_of_the_index_that_says_otherwise_than_was_signed_is_named(
    world: World[Ledger], change: str, named: str
) -> None:
    ern = world.item()
    made = world.grant(world.document(ern, downloads_max=1))
    opened(world, "b-central", ern, made)
    assert problems(world) == []
    guarded = ["policy_text"] if "policy_text" in change else []
    with as_its_owner(world, *guarded) as connection:
        connection.execute(text(change))
    assert any(named in each for each in problems(world)), problems(world)


def test_a_grants_rows_are_as_signed_through_its_whole_life(world: World[Ledger]) -> None:
    made = world.grant(world.document(world.item()))
    for act in ("suspended", "resumed", "revoked"):
        step(world.desk("central"), made, act, {}, "x")
        assert problems(world) == []


def test_an_older_entry_of_an_officer_is_known_by_its_place(world: World[Ledger]) -> None:
    """A registrar's own entry rests on the one before it, and not on itself."""
    world.hire("registrar", world.home, OfficerRole.REGISTRY, OfficerRole.CENTRAL)
    world.hire("second", world.home, OfficerRole.AUDITOR)
    with world.catalog.read() as reader:
        found = Registry(reader, Chains()).officer(world.people["second"])
    assert set(found.roles) == {OfficerRole.AUDITOR}
    assert problems(world) == []
