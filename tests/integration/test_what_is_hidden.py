"""What is not an officer's to know is answered like what never was: same status, words and rules."""

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response

from evidence_store.canonical import Json
from evidence_store.cooperation.registry import (
    AssignmentEntry,
    EntryKind,
    FieldKeyEntry,
    OfficerRole,
)
from evidence_store.identifiers import CaseId, DossierKind
from evidence_store.moment import Moment
from evidence_store.protecting import decide_measure, request_measure
from evidence_store.sharing.measure import MeasureType
from tests.authorisation import BYTES, Hall, opened
from tests.cooperation import ALWAYS, BRAVO_CENTRAL

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


OPEN = frozenset(EntryKind) - {EntryKind.ASSIGNMENT, EntryKind.FIELD_KEY}
CALLERS = [f"{side}-{role}" for side in ("own", "other") for role in OfficerRole]
KIT = FieldKeyEntry(bytes(range(32)), BRAVO_CENTRAL, "kit", ALWAYS)


@pytest.mark.parametrize("kind", sorted(EntryKind))
def test_each_kind_of_entry_is_told_to_those_whom_it_is_for(hall: Hall, kind: EntryKind) -> None:
    """Assignments to registrars of the instance's State, and one's own; field keys to its officers."""
    hall.once("kit", lambda: str(hall.world.enter(KIT)))
    people = hall.world.people
    for name in (*CALLERS, "stranger", "c-prosecutor"):
        answer = hall.doors(name, "GET", f"/v1/registry/{kind}?limit=200")
        assert answer.status_code == 200
        rows = answer.json()["entries"]
        is_home, works = name.startswith(("own", "stranger")), "operator" not in name
        match kind:
            case EntryKind.ASSIGNMENT if name == f"own-{OfficerRole.REGISTRY}":
                assert len({each["officer"] for each in rows}) > 1
            case EntryKind.ASSIGNMENT:
                own = {str(people[name])} if name.startswith("own") and works else set()
                assert {each["officer"] for each in rows} == own, name
            case EntryKind.FIELD_KEY:
                assert bool(rows) is (is_home and works), name
            case _:
                assert kind in OPEN


def test_no_cursor_names_an_entry_that_is_proposed_only(hall: Hall) -> None:
    hall.change()  # the State XD
    first = hall.doors("c-central", "GET", "/v1/registry/state?limit=3")
    assert [each["code"] for each in first.json()["entries"]] == ["SI", "XB", "XC"]
    assert first.json()["next_cursor"] is None
    assert "link" not in first.headers


@pytest.mark.parametrize("name", ["b-central", "central"])
def test_no_cursor_names_what_has_not_reached_one(hall: Hall, name: str) -> None:
    """Nor does a list: also not of what was dropped before it was sent."""
    what = "grants" if name == "b-central" else "requests"
    make = hall.proposed if name == "b-central" else hall.drafted
    dropped = {"act": "dropped" if what == "grants" else "withdrawn", "reason": "over", "note": "n"}
    by = "prosecutor" if what == "grants" else "b-prosecutor"
    hidden = [make() for _ in range(3)]
    done = hall.doors(by, "POST", f"/v1/{what}/{hidden[0]}/steps", json=dropped)
    assert done.status_code == 200, done.text
    at: str | None = f"/v1/{what}?received=true&limit=1"
    seen = []
    while at is not None:
        answer = hall.doors(name, "GET", at)
        page = answer.json()
        seen += [each["id"] for each in page["entries"]]
        assert page["next_cursor"] in {None, *seen}
        assert page["entries"] or page["next_cursor"] is None
        more = page["next_cursor"]
        at = None if more is None else f"/v1/{what}?received=true&limit=1&after={more}"
    for each in seen:
        assert hall.doors(name, "GET", f"/v1/{what}/{each}").status_code == 200
    assert not set(hidden) & set(seen)


def test_that_the_bytes_are_here_already_is_told_to_who_may_know_where(hall: Hall) -> None:
    made = hall.doors("prosecutor", "POST", "/v1/cases", json={"title": "Another"})
    content, case = b"of a case that one does not know", made.json()["case"]
    hall.world.enter(
        AssignmentEntry(hall.world.people["prosecutor"], CaseId.parse(case), Moment.parse("2099Z"))
    )
    assert uploaded(hall, "prosecutor", content, case) == "ingested"
    assert hall.doors("own-prosecutor", "GET", f"/v1/cases/{case}").status_code == 404
    known = str(hall.world.case)
    assert uploaded(hall, "own-prosecutor", content, known) == "ingested"
    assert uploaded(hall, "own-prosecutor", content + b"!", known) == "ingested"
    assert uploaded(hall, f"own-{OfficerRole.INVESTIGATOR}", content + b"!", known) == "duplicate"


def uploaded(hall: Hall, name: str, content: bytes, case: str) -> str:
    """The status of an upload to a case."""
    said = f"filename {_base64(f'{name}.txt')},case {_base64(case)}"
    headers = {**BYTES, "Upload-Length": str(len(content)), "Upload-Metadata": said}
    made = hall.doors(name, "POST", "/v1/uploads", headers=headers, content=content)
    assert made.status_code == 201, made.text
    for _ in range(200):
        outcome = hall.doors(name, "GET", made.headers["location"]).json()["outcome"]
        if outcome is not None:
            return str(outcome["status"])
        time.sleep(0.05)
    raise AssertionError("the upload does not end")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_no_cursor_names_a_transfer_between_others(hall: Hall) -> None:
    """The list goes by an index of sides: neither its pages nor its cursors show that there are more."""
    first, others, last = hall.transfer(), [hall.transfer() for _ in range(2)], ""
    item, desk = protected(hall), hall.doors
    offer = {**hall.offer(), "items": [item], "to": "charlie-central"}
    last = desk("prosecutor", "POST", "/v1/transfers", json=offer).json()["transfer"]
    own = desk("c-central", "GET", "/v1/transfers?limit=1")
    assert [each["transfer"] for each in own.json()["transfers"]] == [last]
    assert own.json()["next_cursor"] is None
    assert "link" not in own.headers
    seen, after = [], ""
    while True:
        page = desk("b-central", "GET", f"/v1/transfers?limit=1{after}").json()
        seen += [each["transfer"] for each in page["transfers"]]
        if page["next_cursor"] is None:
            break
        assert page["next_cursor"] == seen[-1]
        after = f"&after={page['next_cursor']}"
    assert seen[-3:] == [first, *others]
    assert last not in seen
