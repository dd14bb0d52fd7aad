"""What is not an officer's to know is answered like what never was: same status, words and rules."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response

from evidence_store.canonical import Json
from evidence_store.identifiers import DossierKind
from evidence_store.protecting import decide_measure, request_measure
from evidence_store.sharing.measure import MeasureType
from tests.authorisation import Hall, opened

NEVER = {"item": "SI-2026-999999", "grant": "SI-GRT-999999", "request": "SI-REQ-999999"}
OUTSIDERS = ("c-prosecutor", "c-central", "other-judge", "b-prosecutor", "stranger")


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    place: Path = tmp_path_factory.mktemp("hidden") / "home"
    yield from opened(place)


def told(answer: Response, identifier: str) -> tuple[int, str]:
    """An answer, but for the request's identifier and what was asked for."""
    body = {**json.loads(answer.text), "request_id": ""}
    return answer.status_code, json.dumps(body).replace(identifier, "")


def terms(hall: Hall, item: str, **changes: Json) -> dict[str, Any]:
    return {"document": hall.world.document(item, grantee="charlie-central", **changes)}


def proposed(hall: Hall, name: str, body: dict[str, Any]) -> Response:
    if name.startswith("c-"):
        body["document"]["grantee"] = "bravo-central"
    return hall.doors(name, "POST", "/v1/grants", json=body)


def grants(hall: Hall) -> int:
    """How many grants there are."""
    with hall.world.catalog.read() as reader:
        return len(reader.dossiers.dossiers(DossierKind.GRANT, limit=1000).entries)


def protected(hall: Hall) -> str:
    """An item that nobody abroad knows, under a measure."""

    def made() -> str:
        ern = hall.world.item(b"nobody's to know")
        desk = hall.world.desk("prosecutor")
        asked = request_measure(desk, ern, MeasureType.REDACTION, [], "danger")
        decide_measure(hall.world.desk("own-judge"), asked, "ordered", [], "danger")
        return str(ern)

    return hall.once("protected", made)


@pytest.mark.parametrize("name", OUTSIDERS)
def test_an_item_that_is_not_ones_to_share_is_not_there_to_be_proposed(
    hall: Hall, name: str
) -> None:
    item, before = protected(hall), grants(hall)
    for suffix in ("", "/1", "/7"):
        for changes in ({}, {"basis": "no such basis"}, {"rests_on": str(hall.active())}):
            there = proposed(hall, name, terms(hall, item + suffix, **changes))
            never = proposed(hall, name, terms(hall, NEVER["item"] + suffix, **changes))
            assert told(there, item) == told(never, NEVER["item"])
            assert there.status_code == 404
    assert grants(hall) == before


def test_what_was_granted_is_proposed_onward_and_nothing_beside_it(hall: Hall) -> None:
    item, grant = hall.item(), hall.active()
    made = proposed(hall, "b-prosecutor", terms(hall, item, rests_on=grant))
    assert made.status_code == 201, made.text
    beside = proposed(hall, "b-prosecutor", terms(hall, protected(hall), rests_on=grant))
    assert beside.status_code == 404
    without = proposed(hall, "b-prosecutor", terms(hall, item))  # it is not Bravo's own
    assert without.status_code == 404


@pytest.mark.parametrize("name", ["c-prosecutor", "other-judge"])
def test_a_grant_between_others_is_not_there_to_rest_on(hall: Hall, name: str) -> None:
    before = grants(hall)
    grant = hall.once("hidden", hall.proposed) if name == "other-judge" else hall.active()
    kept = before + (0 if grants(hall) == before else 1)
    there = proposed(hall, name, terms(hall, NEVER["item"], rests_on=grant))
    never = proposed(hall, name, terms(hall, NEVER["item"], rests_on=NEVER["grant"]))
    assert told(there, grant) == told(never, NEVER["grant"])
    assert there.status_code == 404
    assert grants(hall) == kept


def test_a_request_between_others_is_no_basis_and_nothing_is_kept(hall: Hall) -> None:
    """Of a draft only who writes it knows: not even whom it is to."""
    drafted, item = hall.once("request", hall.drafted), hall.item()
    hall.active()
    before = grants(hall)
    basis = {"basis": "request"}
    there = proposed(hall, "prosecutor", terms(hall, item, reference=drafted, **basis))
    never = proposed(hall, "prosecutor", terms(hall, item, reference=NEVER["request"], **basis))
    assert told(there, drafted) == told(never, NEVER["request"])
    assert there.status_code == 404
    odd = proposed(hall, "prosecutor", terms(hall, item, reference="a letter", **basis))
    assert odd.status_code == 400
    assert grants(hall) == before


def test_a_team_of_others_is_no_basis(hall: Hall) -> None:
    team, item = hall.once("team", hall.team), hall.active()
    change = {"rests_on": item, "basis": "team"}
    there = proposed(hall, "c-central", terms(hall, hall.item(), reference=team, **change))
    assert there.status_code == 404
    own = proposed(hall, "prosecutor", terms(hall, hall.item(), reference=team, basis="team"))
    assert own.status_code == 201  # its own is named with what is wrong with it
    assert any("members" in each for each in own.json()["missing"])


@pytest.mark.parametrize("name", ["b-central", "c-central", "own-system_operator", "stranger"])
def test_the_record_of_access_is_not_there_in_the_same_words(hall: Hall, name: str) -> None:
    hidden = hall.once("hidden", hall.proposed)
    for what, there in (("grant", hidden), ("item", protected(hall))):
        answers = [
            told(hall.doors(name, "GET", f"/v1/accesses?{what}={each}"), each)
            for each in (there, NEVER[what])
        ]
        assert answers[0] == answers[1]
        assert answers[0][0] == 404


def test_a_grant_that_one_is_no_side_of_counts_as_none(hall: Hall) -> None:
    """Bravo knows the item by a grant of its own; of one that is not offered it knows nothing."""
    item, hidden = hall.item(), hall.once("hidden", hall.proposed)
    hall.active()
    asked = {"item": item, "purpose": "prosecution", "action": "certified_copy"}
    answers = []
    for grant in (hidden, NEVER["grant"]):
        answer = hall.doors("b-prosecutor", "POST", "/v1/accesses", json={**asked, "grant": grant})
        body = {**answer.json(), "request_id": "", "detail": ""}
        answers.append((answer.status_code, body))
    assert answers[0] == answers[1]
    assert answers[0][1]["rule"] == "no-grant"


@pytest.mark.parametrize("name", ["b-central", "c-central"])
def test_no_consent_is_asked_under_a_grant_that_is_not_offered(hall: Hall, name: str) -> None:
    hidden = hall.once("hidden", hall.proposed)
    said = {"subject": "onward", "to": "charlie-central", "reason": "trial"}
    answers = [
        told(hall.doors(name, "POST", "/v1/consents", json={**said, "grant": each}), each)
        for each in (hidden, NEVER["grant"])
    ]
    assert answers[0] == answers[1]
    assert answers[0][0] == 404


ON_ITEMS: dict[str, dict[str, Any]] = {
    "/v1/measures": {"type": "redaction", "reason": "danger"},
    "/v1/index/entries": {"crime": "a", "district": "b", "month": "2022-03"},
    "/v1/index/withholdings": {"withheld": True},
    "/v1/statements": {"name": "A B", "born": "1970-05-14"},
}


@pytest.mark.parametrize("path", ON_ITEMS)
@pytest.mark.parametrize("name", ["own-system_operator", "own-auditor", "b-auditor", "c-central"])
def test_who_lacks_the_role_is_told_so_whatever_item_is_named(
    hall: Hall, path: str, name: str
) -> None:
    answers = [
        told(hall.doors(name, "POST", path, json={**ON_ITEMS[path], "item": each}), each)
        for each in (protected(hall), NEVER["item"])
    ]
    assert answers[0] == answers[1]
