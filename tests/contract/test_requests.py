"""Requests for assistance on every database: what may be sent, by whom, and what follows."""

import pytest

from evidence_store.canonical import Json
from evidence_store.cooperation.registry import Channel, OfficerRole, Validity
from evidence_store.cooperation.request import RefusalGround, request_of
from evidence_store.errors import IncompleteError, MalformedError, NotFoundError, OutOfOrderError
from evidence_store.identifiers import DossierId
from evidence_store.moment import Moment
from evidence_store.requesting import (
    advance,
    amend,
    certify,
    confirm,
    draft,
    execute,
    lapse,
    make_orally,
    postpone,
    refuse,
    request,
    sign,
    step,
    transmit,
)
from storage.catalog import SqlCatalog
from storage.ledger.files import TileMemory
from tests.cooperation import ALFA, CENTRAL_ROLES, World, authority
from tests.ledgers import Ledger

SERVICE: dict[str, Json] = {
    "kind": "service_of_documents",
    "proceeding": "B 1/26",
    "nature": "War crimes",
    "conducted_by": "District Court of Bravo",
    "assistance": "Serve a summons",
    "offences": ["murder"],
    "purpose": "trial",
    "language": "en",
    "fields": {
        "document_reference": "summons 1",
        "document_language": "en",
        "addressee": "WIT-0001",
        "addressee_protected": "no",
        "address": "known to the court",
    },
    "papers": {"document_to_serve": "annex 1"},
}


@pytest.fixture
def world(catalog: SqlCatalog) -> World[Ledger]:
    return World(Ledger(catalog, TileMemory()))


def drafted(world: World[Ledger], **changes: Json) -> DossierId:
    return draft(world.desk("b-prosecutor"), world.home, {**SERVICE, **changes})


def sent(world: World[Ledger]) -> DossierId:
    made = drafted(world)
    sign(world.desk("b-central"), made)
    transmit(world.desk("b-central"), made, Channel.ELECTRONIC)
    return made


def in_execution(world: World[Ledger]) -> DossierId:
    made = sent(world)
    for act in ("acknowledged", "execution_begun"):
        step(world.desk("central"), made, act)
    return made


def state(world: World[Ledger], made: DossierId) -> str:
    with world.catalog.read() as reader:
        desk = world.desk("central")
        return request_of(desk.chains.steps(reader, made)).at(desk.now).state


def test_a_request_goes_its_whole_way(world: World[Ledger]) -> None:
    made = in_execution(world)
    central = world.desk("central")
    advance(central, made, "attempt", {"attempted_at": "2026-03-20", "manner": "in person"})
    told = dict.fromkeys(_needs(world, made, "serve_personally"), "stated")
    advance(central, made, "serve_personally", told)
    told = dict.fromkeys(_needs(world, made, "issue_proof"), "stated")
    advance(central, made, "issue_proof", told)
    with pytest.raises(IncompleteError):  # its certificate is missing
        execute(central, made)
    with world.catalog.read() as reader:
        found = request(reader, central.chains, made, world.home)
    form = found.kind.certificate("proof_of_service")
    with pytest.raises(IncompleteError):
        certify(central, made, form.name, {})
    certify(central, made, form.name, dict.fromkeys(form.fields, "stated"))
    execute(central, made)
    assert step(world.desk("b-central"), made, "closed").state == "closed"


@pytest.mark.parametrize(
    "missing",
    [
        "proceeding",
        "nature",
        "conducted_by",
        "assistance",
        "offences",
        "purpose",
        "language",
        "fields",
        "papers",
    ],
)
def test_what_is_incomplete_is_listed_and_not_sent(world: World[Ledger], missing: str) -> None:
    document = {name: value for name, value in SERVICE.items() if name != missing}
    made = draft(world.desk("b-prosecutor"), world.home, document)
    with pytest.raises(IncompleteError) as caught:
        sign(world.desk("b-central"), made)
    assert any(f"/{missing}" in each for each in caught.value.findings)
    assert state(world, made) == "draft"
    amend(world.desk("b-prosecutor"), made, SERVICE)
    sign(world.desk("b-central"), made)


@pytest.mark.parametrize(
    "wrong",
    [
        {"purpose": "immigration"},
        {"offences": "murder"},
        {"deadline": "soon"},
        {"own_invention": "x"},
        {"fields": ["x"]},
    ],
)
def test_what_is_wrong_is_listed_and_not_sent(world: World[Ledger], wrong: dict[str, Json]) -> None:
    made = drafted(world, **wrong)
    with pytest.raises(IncompleteError):
        sign(world.desk("b-central"), made)


def test_who_drafted_it_does_not_sign_it(world: World[Ledger]) -> None:
    made = draft(world.desk("b-central"), world.home, SERVICE)
    with pytest.raises(OutOfOrderError):
        sign(world.desk("b-central"), made)


def test_an_authority_whose_designation_had_lapsed_on_that_date_sends_nothing(
    world: World[Ledger],
) -> None:
    made = drafted(world)
    sign(world.desk("b-central"), made)
    ended = Validity(Moment.parse("2020Z"), Moment.parse("2026-01-31Z"))
    world.enter(authority(world.home, ALFA, *CENTRAL_ROLES, when=ended))
    with pytest.raises(IncompleteError) as caught:
        transmit(world.desk("b-central"), made, Channel.ELECTRONIC)
    assert any(each.startswith("/requested") for each in caught.value.findings)
    world.enter(authority(world.home, ALFA, *CENTRAL_ROLES))
    transmit(world.desk("b-central"), made, Channel.ELECTRONIC)


@pytest.mark.parametrize(
    ("change", "channel"), [({"language": "fr"}, Channel.ELECTRONIC), ({}, Channel.INTERPOL)]
)
def test_it_is_sent_in_a_language_and_by_a_channel_that_are_accepted(
    world: World[Ledger], change: dict[str, Json], channel: Channel
) -> None:
    made = drafted(world, **change)
    sign(world.desk("b-central"), made)
    with pytest.raises(IncompleteError):
        transmit(world.desk("b-central"), made, channel)


def test_a_translation_makes_up_for_the_language(world: World[Ledger]) -> None:
    made = drafted(world, language="fr", translated_into=["en"])
    sign(world.desk("b-central"), made)
    transmit(world.desk("b-central"), made, Channel.ELECTRONIC)


def test_the_other_side_and_other_states_do_not_act_for_one(world: World[Ledger]) -> None:
    made = sent(world)
    with pytest.raises(OutOfOrderError):
        step(world.desk("b-central"), made, "acknowledged")
    with pytest.raises(NotFoundError):
        step(world.desk("c-central"), made, "acknowledged")
    with pytest.raises(OutOfOrderError):  # no central authority's officer
        step(world.desk("auditor"), made, "acknowledged")


def test_nothing_is_executed_that_was_not_acknowledged(world: World[Ledger]) -> None:
    made = sent(world)
    with pytest.raises(OutOfOrderError):
        step(world.desk("central"), made, "execution_begun")
    with pytest.raises(OutOfOrderError):
        advance(world.desk("central"), made, "attempt", {"attempted_at": "x", "manner": "y"})


def test_it_is_refused_on_a_ground_with_reasons_after_consultation(world: World[Ledger]) -> None:
    made = in_execution(world)
    with pytest.raises(OutOfOrderError):
        refuse(world.desk("central"), made, RefusalGround.FAIR_TRIAL, "no counsel")
    step(world.desk("b-central"), made, "consulted", {}, {"note": "by telephone"})
    with pytest.raises(MalformedError):
        refuse(world.desk("central"), made, RefusalGround.FAIR_TRIAL, " ")
    refuse(world.desk("central"), made, RefusalGround.FAIR_TRIAL, "no counsel")
    assert state(world, made) == "refused"
    with pytest.raises(OutOfOrderError):
        step(world.desk("central"), made, "execution_begun")


def test_information_that_is_asked_for_brings_it_back_to_where_it_was(world: World[Ledger]) -> None:
    made = in_execution(world)
    step(world.desk("central"), made, "information_requested")
    with pytest.raises(OutOfOrderError):
        step(world.desk("central"), made, "information_given")
    step(world.desk("b-central"), made, "information_given")
    assert state(world, made) == "in_execution"
    postpone(world.desk("central"), made, Moment.parse("2026-09Z"), "own trial")
    step(world.desk("central"), made, "resumed")
    assert state(world, made) == "in_execution"


def test_what_cannot_be_kept_confidential_waits_for_the_requesting_side(
    world: World[Ledger],
) -> None:
    made = in_execution(world)
    step(world.desk("central"), made, "cannot_keep_confidential")
    with pytest.raises(OutOfOrderError):
        advance(world.desk("central"), made, "attempt", {"attempted_at": "x", "manner": "y"})
    step(world.desk("b-central"), made, "confidentiality_answered")
    advance(world.desk("central"), made, "attempt", {"attempted_at": "x", "manner": "y"})


def test_an_oral_request_lapses_unless_it_is_confirmed_in_writing_in_time(
    world: World[Ledger],
) -> None:
    by = Moment.parse("2026-03-16Z")
    part: dict[str, Json] = {"kind": "service_of_documents", "assistance": "Serve a summons"}
    world.hire("b-second", world.desk("b-central").authority, OfficerRole.CENTRAL)
    first = make_orally(world.desk("b-central"), world.home, part, by)
    second = make_orally(world.desk("b-central"), world.home, part, by)
    step(world.desk("central"), first, "provisional_measure")
    with pytest.raises(IncompleteError):
        confirm(world.desk("b-second"), first, part, Channel.ELECTRONIC)
    confirm(world.desk("b-second"), first, SERVICE, Channel.ELECTRONIC)
    with pytest.raises(OutOfOrderError):
        lapse(world.desk("b-central"), second)
    world.go_on(days=3)
    assert (state(world, first), state(world, second)) == ("transmitted", "lapsed")
    with pytest.raises(OutOfOrderError):
        confirm(world.desk("b-second"), second, SERVICE, Channel.ELECTRONIC)
    with pytest.raises(OutOfOrderError):
        step(world.desk("central"), second, "provisional_measure")
    lapse(world.desk("b-central"), second)


def test_extradition_is_asked_for_in_writing_only(world: World[Ledger]) -> None:
    with pytest.raises(OutOfOrderError):
        make_orally(
            world.desk("b-central"), world.home, {"kind": "extradition"}, Moment.parse("2027Z")
        )


def test_a_grant_on_a_request_is_between_its_two_sides(world: World[Ledger]) -> None:
    made = in_execution(world)
    ern = world.item()
    world.grant(world.document(ern, basis="request", reference=str(made)))
    with pytest.raises(IncompleteError):
        world.offer(
            world.document(ern, basis="request", reference=str(made), grantee="charlie-central")
        )


def _needs(world: World[Ledger], made: DossierId, name: str) -> tuple[str, ...]:
    with world.catalog.read() as reader:
        return request(reader, world.desk("central").chains, made, world.home).kind.move(name).needs


def test_a_certificate_names_own_items_only(world: World[Ledger]) -> None:
    ern = world.item()
    made = draft(world.desk("c-prosecutor"), world.desk("b-central").authority, SERVICE)
    sign(world.desk("c-central"), made)
    transmit(world.desk("c-central"), made, Channel.ELECTRONIC)
    for act in ("acknowledged", "execution_begun"):
        step(world.desk("b-central"), made, act)
    with world.catalog.read() as reader:
        desk = world.desk("b-central")
        form = request(reader, desk.chains, made, desk.authority).kind.certificate(
            "proof_of_service"
        )
    told = dict.fromkeys(form.fields, "stated")
    with pytest.raises(NotFoundError):
        certify(world.desk("b-central"), made, form.name, told, [ern])


def test_an_oral_request_is_confirmed_by_another_officer(world: World[Ledger]) -> None:
    made = make_orally(
        world.desk("b-central"),
        world.home,
        {"kind": "service_of_documents"},
        Moment.parse("2026-03-16Z"),
    )
    with pytest.raises(OutOfOrderError):
        confirm(world.desk("b-central"), made, SERVICE, Channel.ELECTRONIC)


def test_a_procedure_that_was_asked_for_must_be_observed(world: World[Ledger]) -> None:
    made = drafted(world, procedure=["in the presence of counsel"])
    sign(world.desk("b-central"), made)
    transmit(world.desk("b-central"), made, Channel.ELECTRONIC)
    for act in ("acknowledged", "execution_begun"):
        step(world.desk("central"), made, act)
    said: dict[str, Json] = {"formality": "something else", "evidence": "x"}
    with pytest.raises(MalformedError):
        step(world.desk("central"), made, "formality_observed", {}, said)
    with world.catalog.read() as reader:
        desk = world.desk("central")
        found = request(reader, desk.chains, made, world.home)
    assert found.formalities == ()
    said["formality"] = "in the presence of counsel"
    after = step(world.desk("central"), made, "formality_observed", {}, said)
    assert after.formalities == ("in the presence of counsel",)
