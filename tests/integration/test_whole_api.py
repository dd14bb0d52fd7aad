"""What the API says of everything the command line can do: conditions, digests, languages, and each noun."""

import base64
import hashlib
import io
import json
from typing import Any

import pytest
from httpx2 import Response
from sqlalchemy import text

from api import ledger
from api.http.app import create_app
from api.http.languages import LANGUAGES, chosen, title
from api.http.witness import witness_routes
from api.wiring import witness_home
from evidence_store.granting import step
from evidence_store.identifiers import AuthorityId
from evidence_store.ledger.control import ControlEntry
from evidence_store.ledger.event import Event, SignedEvent, leaf
from evidence_store.ledger.policy import Policy
from evidence_store.ledger.proof import LogProof
from evidence_store.ledger.signing import verify_ed25519
from evidence_store.package.bag import BagReader
from evidence_store.package.verification import verify_package
from storage.catalog import group_commit
from tests.doors import Doors, doors  # noqa: F401 - a fixture
from tests.queues import queue

TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}


def digest_of(content: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


# ---- What holds for every route ------------------------------------------------------------------


def test_a_body_that_is_not_of_its_digest_is_refused_and_nothing_is_done(doors: Doors) -> None:  # noqa: F811 - the fixture
    body = json.dumps({"to": doors.world.home.value, "document": {"kind": "training"}}).encode()
    headers = {"Content-Type": "application/json", "Content-Digest": digest_of(body)}

    def sent(content: bytes, said: dict[str, str]) -> Any:
        return doors("b-prosecutor", "POST", "/v1/requests", content=content, headers=said)

    assert sent(body, headers).status_code == 201
    before = doors("b-prosecutor", "GET", "/v1/requests").json()
    changed = sent(body + b" ", headers)
    assert (changed.status_code, changed.json()["code"]) == (400, "E460")
    both = {**headers, "Content-Digest": f"{digest_of(body)}, sha-512=:AAAA:"}
    assert sent(body, both).json()["code"] == "E460"
    for wrong in ("sha-256", "sha-256=:?:", "sha-256=:A:"):
        answer = sent(body, {**headers, "Content-Digest": wrong})
        assert (answer.status_code, answer.json()["code"]) == (400, "E100"), wrong
    assert doors("b-prosecutor", "GET", "/v1/requests").json() == before
    # An algorithm that nobody knows says nothing (RFC 9530, section 2).
    assert sent(body, {**headers, "Content-Digest": "md9=:AAAA:"}).status_code == 201


def test_an_uploads_bytes_are_held_to_their_digest_as_to_the_protocols_own(doors: Doors) -> None:  # noqa: F811 - the fixture
    said = f"filename {base64.b64encode(b'a').decode()},case {_base64(str(doors.world.case))}"
    made = doors(
        "prosecutor", "POST", "/v1/uploads",
        headers={**TUS, "Upload-Length": "8", "Upload-Metadata": said},
    )  # fmt: skip
    path, content = made.headers["location"], b"evidence"
    headers = {**BYTES, "Upload-Offset": "0"}
    wrong = doors(
        "prosecutor", "PATCH", path, content=content,
        headers={**headers, "Content-Digest": digest_of(b"other")},
    )  # fmt: skip
    assert (wrong.status_code, wrong.json()["code"]) == (460, "E460")
    assert doors("prosecutor", "HEAD", path, headers=TUS).headers["upload-offset"] == "0"
    right = {**headers, "Content-Digest": digest_of(content)}
    assert doors("prosecutor", "PATCH", path, content=content, headers=right).status_code == 204


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("uk", "uk"),
        ("fr-CH, en;q=0.5", "fr"),
        ("de, es;q=0.4, ar;q=0.8", "ar"),
        ("de", "en"),
        ("", "en"),
        ("fr;q=0", "en"),
        ("fr;q=x, es;q=0.1", "es"),
        ("*", "en"),
        (";;;,q=,\x7f" * 50, "en"),
    ],
)
def test_the_title_is_in_the_language_that_is_asked_for(header: str, language: str) -> None:
    assert chosen(header) == language
    titles = {title("E404", 404, each) for each in LANGUAGES}
    assert len(titles) == len(LANGUAGES)


def test_a_problem_says_its_language_and_that_caches_must_ask(doors: Doors) -> None:  # noqa: F811 - the fixture
    answer = doors("prosecutor", "GET", "/v1/nothing", headers={"Accept-Language": "uk"})
    english = doors("prosecutor", "GET", "/v1/nothing")
    assert answer.headers["content-language"] == "uk"
    assert "Accept-Language" in answer.headers["vary"]
    assert answer.json()["title"] != english.json()["title"]
    assert answer.json()["code"] == english.json()["code"]


def test_what_the_caller_has_is_not_sent_again(doors: Doors) -> None:  # noqa: F811 - the fixture
    ern = str(doors.world.item())
    made = doors(
        "prosecutor", "POST", "/v1/grants", json={"document": doors.world.document(ern)}
    ).json()
    size = int(doors(None, "GET", "/v1/log/checkpoint").text.splitlines()[1])
    for who, path in (
        ("prosecutor", f"/v1/items/{ern}"),
        ("prosecutor", f"/v1/items/{ern}/custody"),
        ("prosecutor", f"/v1/items/{ern}/events"),
        ("prosecutor", f"/v1/grants/{made['grant']}"),
        ("prosecutor", "/v1/states/XB"),
        (None, "/v1/log/checkpoint"),
        (None, "/v1/log/keys"),
        (None, "/v1/log/policy"),
        (None, "/v1/log/proofs/0"),
        (None, f"/v1/log/tile/0/000.p/{size}"),
    ):
        first = doors(who, "GET", path)
        assert first.status_code == 200, path
        again = doors(who, "GET", path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b""), path
        assert again.headers["etag"] == first.headers["etag"]
        other = doors(who, "GET", path, headers={"If-None-Match": '"0"'})
        assert (other.status_code, other.content) == (200, first.content), path


def test_lists_go_by_cursor_and_by_link(doors: Doors) -> None:  # noqa: F811 - the fixture
    erns = [str(doors.world.item()) for _ in range(3)]
    for path, name, count in (
        ("/v1/items", "items", 3),
        ("/v1/authorities", "authorities", 3),
        ("/v1/states", "states", 3),
        (f"/v1/items/{erns[0]}/events", "events", 1),
        ("/v1/officers", "officers", 11),
    ):
        seen, url = [], f"{path}?limit=2"
        while url:
            answer = doors("prosecutor", "GET", url)
            seen += answer.json()[name]
            link = answer.headers.get("link", "")
            assert bool(link) == (answer.json()["next_cursor"] is not None)
            url = link.partition("<")[2].partition(">")[0]
        assert len(seen) == count, path
        assert len({json.dumps(each) for each in seen}) == count, path


def test_what_is_made_says_where_it_is(doors: Doors) -> None:  # noqa: F811 - the fixture
    ern = str(doors.world.item())
    for who, path, body in (
        ("registrar", "/v1/cases", {"title": "Case"}),
        ("prosecutor", "/v1/grants", {"document": doors.world.document(ern)}),
        ("b-prosecutor", "/v1/requests", _request_to(doors)),
        ("prosecutor", "/v1/measures", {"item": ern, "type": "redaction", "reason": "danger"}),
        ("central", "/v1/teams", _team(doors)),
        ("prosecutor", "/v1/transfers", _offer(ern)),
        ("registrar", "/v1/registry", {"entry": _delta()}),
    ):
        headers = {"Idempotency-Key": path}
        first = doors(who, "POST", path, json=body, headers=headers)
        again = doors(who, "POST", path, json=body, headers=headers)
        assert first.status_code == 201, first.text
        assert (again.json(), again.headers["location"]) == (
            first.json(),
            first.headers["location"],
        )
        assert doors(who, "GET", first.headers["location"]).status_code == 200, path


def test_the_openapi_describes_every_operation(doors: Doors) -> None:  # noqa: F811 - the fixture
    document = doors(None, "GET", "/v1/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = (method, path)
            assert operation["summary"], where
            assert operation["description"], where
            assert operation["tags"], where
            for status, response in operation["responses"].items():
                content = response.get("content", {})
                if status.startswith("4") and status != "460":
                    assert "application/problem+json" in content, where
                for each in content.values():
                    schema = each.get("schema", {"$ref": ""})
                    # An object that says nothing of itself is no description.
                    assert schema != {}, where
                    assert schema.get("type") != "object" or schema.get("properties"), where


def _request_to(doors: Doors) -> dict[str, Any]:  # noqa: F811 - the fixture
    return {"to": doors.world.home.value, "document": {"kind": "training"}}


def _team(doors: Doors) -> dict[str, Any]:  # noqa: F811 - the fixture
    return {
        "parties": [doors.world.home.value, "bravo-central"], "purpose": "case", "rules": "rules",
        "valid_until": "2099Z",
    }  # fmt: skip


def _offer(ern: str, to: str = "bravo-central") -> dict[str, Any]:
    return {
        "items": [ern], "to": to, "to_person": "B", "purpose": "analysis", "reference": "Kt 1",
        "valid_until": "2099Z",
    }  # fmt: skip


def _delta() -> dict[str, Any]:
    return {"entry": "state", "code": "XD", "name": "Delta", "kind": "state", "languages": ["en"]}


# ---- Evidence and custody ------------------------------------------------------------------------


def test_an_exhibit_is_registered_sealed_held_and_corrected(doors: Doors) -> None:  # noqa: F811 - the fixture
    body = {
        "case": str(doors.world.case), "seal_numbers": ["A-1"], "container": "bag",
        "condition": "dry", "method": "by hand", "collected_by": "A", "collected_at": "unknown",
        "fields": {"marks": "none"},
        "terms": {"may_see": ["SI"], "purposes": ["trial"], "until": "2030Z", "ask": "the court"},
    }  # fmt: skip
    made = doors("prosecutor", "POST", "/v1/items", json=body)
    assert made.status_code == 201, made.text
    assert made.json()["receipt"]["receipt"] == "sealed"
    assert made.json()["asserted"]["fields"]["marks"] == "none"
    path = made.headers["location"]
    assert doors("prosecutor", "GET", f"{path}/custody").json()["seals"] == {"A-1": "intact"}
    for said, state in (
        ({"act": "seal_checked", "check": "intact", "seals": ["A-1"]}, "registered"),
        ({"act": "hold_placed", "hold": "order 7"}, "registered"),
        ({"act": "hold_released", "hold": "order 7"}, "registered"),
        ({"act": "checked_in", "place": "room 4", "note": "shelf"}, "in_store"),
        ({"act": "correction_of", "corrects": 2, "note": "shelf 5"}, "in_store"),
        ({"act": "moved", "occurred_at": "2020-01-01T10:00Z", "note": "late"}, "in_store"),
    ):
        done = doors("prosecutor", "POST", f"{path}/acts", json=said)
        assert (done.status_code, done.json().get("state")) == (200, state), done.text
    custody = doors("prosecutor", "GET", f"{path}/custody").json()
    assert custody["holds"] == {}
    assert any(row["late"] for row in custody["timeline"])
    for wrong in (
        {"act": "received"},
        {"act": "sealed"},
        {"act": "moved", "hold": "x"},
        {"act": "moved", "occurred_at": "2999Z"},
    ):
        assert doors("prosecutor", "POST", f"{path}/acts", json=wrong).status_code == 400, wrong
    impossible = doors("prosecutor", "POST", f"{path}/acts", json={"act": "found"})
    assert (impossible.status_code, impossible.json()["code"]) == (409, "E430")
    # It has no bytes, so there is nothing to compare with.
    (verified,) = _verified(doors, "prosecutor", b"x", path.rpartition("/")[2])
    assert verified["outcome"] == "not_verifiable"


def test_an_act_is_of_the_custody_that_was_seen(doors: Doors) -> None:  # noqa: F811 - the fixture
    path = f"/v1/items/{doors.world.item()}"
    seen = doors("prosecutor", "GET", f"{path}/custody").headers["etag"]
    token = {"Authorization": f"Bearer {doors.token('prosecutor')}"}
    acts = f"{path}/acts"
    assert doors.client.post(acts, json={"act": "moved"}, headers=token).status_code == 428
    first = doors.client.post(acts, json={"act": "moved"}, headers={**token, "If-Match": seen})
    assert first.status_code == 200
    again = doors.client.post(acts, json={"act": "moved"}, headers={**token, "If-Match": seen})
    assert again.status_code == 412


def test_of_those_who_act_at_once_on_the_same_custody_one_does(
    doors: Doors,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(group_commit, "OPEN_SECONDS_MAX", 60.0)  # they share a commit
    path = f"/v1/items/{doors.world.item()}"
    seen = doors("prosecutor", "GET", f"{path}/custody").headers["etag"]

    def act(place: str) -> Response:
        said = {"act": "moved", "place": place}
        return doors("prosecutor", "POST", f"{path}/acts", json=said, headers={"If-Match": seen})

    with queue(doors.instance.catalog) as line:
        answers = [line.come(act, f"room {number}") for number in range(4)]
    found = [each.result(60) for each in answers]
    assert [each.status_code for each in found] == [200, 412, 412, 412]
    assert found[0].json()["receipt"]["receipt"] == "sealed"
    again = doors("prosecutor", "GET", f"{path}/custody").json()["timeline"]
    assert [row["act"] for row in again].count("moved") == 1


def test_who_holds_an_item_sees_its_events_and_only_its_own_words(doors: Doors) -> None:  # noqa: F811 - the fixture
    content = b"content"
    ern = str(doors.world.item(content))
    made = doors("prosecutor", "POST", "/v1/transfers", json=_offer(ern)).json()
    assert doors("b-central", "GET", f"/v1/items/{ern}/events").status_code == 404
    steps = f"/v1/transfers/{made['transfer']}/steps"
    line = {
        "ern": ern, "condition": "ok", "note": "wet", "sha256": hashlib.sha256(content).hexdigest(),
        "blake3": _blake3(content), "size_bytes": len(content),
    }  # fmt: skip
    for who, said in (
        ("b-central", {"act": "accepted"}),
        ("prosecutor", {"act": "released", "carrier": "C"}),
        ("b-central", {"act": "received", "lines": [line], "extras": ["a box"]}),
    ):
        assert doors(who, "POST", steps, json=said).status_code == 200
    own = doors("prosecutor", "GET", f"/v1/items/{ern}/events").json()["events"]
    held = doors("b-central", "GET", f"/v1/items/{ern}/events").json()["events"]
    assert [each["act"] for each in held] == [each["act"] for each in own]
    assert own[0]["disclosed"]["source"] == "s"
    assert held[0]["disclosed"] == {}
    assert held[-1]["disclosed"]["note"] == "wet"
    assert doors("c-central", "GET", f"/v1/items/{ern}/events").status_code == 404
    # The custodian acts on it now; the owner does not.
    moved = {"act": "moved"}
    assert doors("b-central", "POST", f"/v1/items/{ern}/acts", json=moved).status_code == 200
    assert doors("prosecutor", "POST", f"/v1/items/{ern}/acts", json=moved).status_code == 409
    (row,) = doors("b-central", "GET", "/v1/transfers").json()["transfers"]
    assert row["transfer"] == made["transfer"]
    assert doors("c-central", "GET", "/v1/transfers").json()["transfers"] == []


def _blake3(content: bytes) -> str:
    import blake3  # noqa: PLC0415 - of this helper

    return str(blake3.blake3(content).hexdigest())


def test_the_proof_bundle_is_checked_without_the_server(doors: Doors) -> None:  # noqa: F811 - the fixture
    ern = doors.world.item()
    doors("prosecutor", "POST", f"/v1/items/{ern}/acts", json={"act": "moved", "place": "room"})
    bundle = doors("prosecutor", "GET", f"/v1/items/{ern}/proof").json()
    policy = Policy.parse(doors(None, "GET", "/v1/log/policy").text)
    keys = {}
    for each in bundle["controls"]:
        entry = base64.b64decode(each["entry"])
        LogProof.parse(each["proof"].encode()).verify(b"\x02" + entry, policy)
        control = ControlEntry.parse(b"\x02" + entry)
        keys[str(control.kid)] = control.public
    assert [each["seq"] for each in bundle["events"]] == [1, 2]
    for each in bundle["events"]:
        body, signature = base64.b64decode(each["body"]), base64.b64decode(each["signature"])
        event = Event.parse(body)
        verify_ed25519(keys[str(event.by)], signature, b"evidence-event/v1\n" + body)
        signed = SignedEvent(body, signature, ())
        expected = leaf(bytes.fromhex(bundle["item_key"]), each["seq"], signed.commitment)
        LogProof.parse(each["proof"].encode()).verify(expected, policy)
    assert "room" not in json.dumps(bundle)


def test_a_chain_that_was_taken_out_has_no_proof_and_that_is_said(
    doors: Doors,  # noqa: F811 - the fixture
) -> None:
    ern = doors.world.item()
    with doors.instance.catalog.engine.begin() as connection:  # as whoever owns the database
        connection.execute(text("DELETE FROM chain WHERE subject_key LIKE 'SI-2026-%'"))
    answer = doors("prosecutor", "GET", f"/v1/items/{ern}/proof")
    assert (answer.status_code, answer.json()["code"]) == (503, "E250")


def _verified(
    doors: Doors,  # noqa: F811 - the fixture
    who: str,
    content: bytes,
    item: str | None = None,
) -> list[dict[str, Any]]:
    body = {"sha256": hashlib.sha256(content).hexdigest(), "item": item}
    answer = doors(who, "POST", "/v1/verifications", json=body)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["verifications"]
    return found


def test_a_digest_matches_what_the_caller_may_know_of_and_nothing_else(doors: Doors) -> None:  # noqa: F811 - the fixture
    original, redacted = b"the original", b"a redaction"
    ern = doors.world.item(original)
    doors.world.version(ern, redacted)
    ledger.settle(doors.instance)
    (own,) = _verified(doors, "prosecutor", original)
    assert (own["outcome"], own["ern"], own["version"]) == ("match", str(ern), 1)
    assert own["ledger"]["proof"].startswith("c2sp.org/tlog-proof@v1")
    (wrong,) = _verified(doors, "prosecutor", b"other", str(ern))
    assert (wrong["outcome"], wrong["version"]) == ("mismatch", None)
    # To an outsider there is no difference between what is there and what never was.
    (there,), (never,) = (
        _verified(doors, "b-central", original),
        _verified(doors, "b-central", b"never"),
    )
    assert {**there, "sha256": ""} == {**never, "sha256": ""}
    assert there["outcome"] == "unknown"
    # A grant of the redaction says nothing of the original.
    grant = doors.world.grant(doors.world.document(f"{ern}/2"))
    (granted,) = _verified(doors, "b-central", redacted)
    assert (granted["outcome"], granted["version"]) == ("match", 2)
    assert _verified(doors, "b-central", original)[0]["outcome"] == "unknown"
    assert _verified(doors, "b-central", original, str(ern))[0]["outcome"] == "mismatch"
    listed = doors("b-central", "GET", f"/v1/items/{ern}/versions").json()["versions"]
    assert [each["number"] for each in listed] == [2]
    step(doors.world.desk("central"), grant, "revoked", {}, "over")
    assert _verified(doors, "b-central", redacted)[0]["outcome"] == "unknown"


def test_a_version_is_uploaded_and_then_named_and_a_retry_makes_no_second(doors: Doors) -> None:  # noqa: F811 - the fixture
    ern, content = doors.world.item(b"the original"), b"a redaction"
    path = f"/v1/items/{ern}/versions"

    def uploaded(length: int) -> str:
        headers = {**BYTES, "Upload-Length": str(length), "Upload-Concat": "partial"}
        made = doors("prosecutor", "POST", "/v1/uploads", headers=headers, content=content)
        return str(made.headers["location"].rpartition("/")[2])

    body = {"upload": uploaded(len(content)), "type": "redacted", "method": "by hand"}
    unfinished = {**body, "upload": uploaded(len(content) + 1)}
    assert doors("prosecutor", "POST", path, json=unfinished).status_code == 409
    assert doors("prosecutor", "POST", path, json={**body, "derived_from": 9}).status_code == 404
    assert doors("prosecutor", "POST", path, json={**body, "type": "original"}).status_code == 400
    made = doors("prosecutor", "POST", path, json=body)
    assert (made.status_code, made.json()["number"]) == (201, 2), made.text
    assert doors("prosecutor", "POST", path, json=body).json() == made.json()
    again = {**body, "upload": uploaded(len(content))}
    assert doors("prosecutor", "POST", path, json=again).json()["number"] == 2
    listed = doors("prosecutor", "GET", path).json()["versions"]
    assert [each["type"] for each in listed] == ["original", "redacted"]
    assert listed[1]["sha256"] == hashlib.sha256(content).hexdigest()
    other = doors.world.item(b"another")
    theirs = doors("prosecutor", "POST", f"/v1/items/{other}/versions", json=body)
    assert theirs.status_code == 409


# ---- Packages ------------------------------------------------------------------------------------


def test_a_package_is_decided_recorded_and_verifies(doors: Doors) -> None:  # noqa: F811 - the fixture
    content = b"x" * 3_000_000
    ern = doors.world.item(content)
    grant = doors.world.grant(doors.world.document(ern, mode="certified_copy"))
    asked = {
        "items": [str(ern)], "purpose": "prosecution", "grant": str(grant), "reference": "order 1",
    }  # fmt: skip
    answer = doors("b-central", "POST", "/v1/packages", json=asked)
    assert answer.status_code == 200, answer.text
    report = verify_package(BagReader(io.BytesIO(answer.content)), None)
    assert report.verifies
    assert [each.act.type for each in report.histories[ern].rows][-1] == "exported"
    (row, *_) = doors("auditor", "GET", f"/v1/accesses?item={ern}").json()["accesses"]
    assert row["access"] == answer.headers["x-evidence-access"]
    assert (row["decision"], row["ended"], row["action"]) == (
        "allow",
        "packaged",
        "certified_copy",
    )
    assert row["served_bytes"] == len(answer.content)
    assert row["copy"].encode() in answer.content
    # Refused: nothing leaves, no export is recorded, and the refusal is.
    events = len(doors("prosecutor", "GET", f"/v1/items/{ern}/events").json()["events"])
    other = doors("b-central", "POST", "/v1/packages", json={**asked, "purpose": "trial"})
    assert (other.status_code, other.json()["rule"]) == (403, "purpose-not-granted")
    assert len(doors("prosecutor", "GET", f"/v1/items/{ern}/events").json()["events"]) == events
    decisions = doors("auditor", "GET", f"/v1/accesses?item={ern}").json()["accesses"]
    assert {each["decision"] for each in decisions} == {"allow", "deny"}


def test_a_package_of_several_items_is_closed_as_one(doors: Doors) -> None:  # noqa: F811 - the fixture
    erns = [str(doors.world.item(content)) for content in (b"one" * 999, b"two" * 999)]
    asked = {"items": erns, "purpose": "prosecution", "reference": "order 1", "versions": [1]}
    answer = doors("prosecutor", "POST", "/v1/packages", json=asked)
    assert answer.status_code == 200, answer.text
    report = verify_package(BagReader(io.BytesIO(answer.content)), None)
    assert report.verifies
    assert sorted(map(str, report.histories)) == sorted(erns)


@pytest.mark.parametrize(
    ("wrong", "status"), [({"versions": [9]}, 404), ({"disclose": ["nosuchfield"]}, 400)]
)
def test_a_package_of_what_is_not_there_is_refused_and_no_export_is_recorded(
    doors: Doors,  # noqa: F811 - the fixture
    wrong: dict[str, object],
    status: int,
) -> None:
    ern = doors.world.item(b"one" * 999)
    asked = {"items": [str(ern)], "purpose": "prosecution", "reference": "order 1", **wrong}
    answer = doors("prosecutor", "POST", "/v1/packages", json=asked)
    assert answer.status_code == status, answer.text
    events = doors("prosecutor", "GET", f"/v1/items/{ern}/events").json()["events"]
    assert [each["act"] for each in events] == ["registered"]


def test_a_revocation_stops_a_package_under_way(doors: Doors) -> None:  # noqa: F811 - the fixture
    from api.packaging import Asked, package  # noqa: PLC0415 - of this test
    from evidence_store.errors import DeniedError  # noqa: PLC0415 - likewise
    from evidence_store.exporting import Choice  # noqa: PLC0415 - likewise

    ern = doors.world.item(b"x" * (20 * 1024 * 1024))
    grant = doors.world.grant(doors.world.document(ern, mode="certified_copy"))
    asked = Asked(Choice((ern,), None, ()), "prosecution", grant, "order 1")
    openings, pieces = package(doors.instance, doors.world.desk("b-central"), asked)
    left = len(next(pieces))
    step(doors.world.desk("central"), grant, "revoked", {}, "over")
    with pytest.raises(DeniedError):  # noqa: PT012 - what left before counts
        for piece in pieces:
            left += len(piece)
    assert left < 20 * 1024 * 1024
    with doors.instance.catalog.read() as reader:
        ended = reader.dossiers.access(openings[0].access)
    assert (ended.ended, ended.served_bytes) == ("grant-not-active", left)


# ---- Registry, cooperation, protection, finding --------------------------------------------------


def test_the_registry_is_shown_as_it_was_known_and_valid(doors: Doors) -> None:  # noqa: F811 - the fixture
    before = doors.instance.clock.now().isoformat()
    made = doors("registrar", "POST", "/v1/registry", json={"entry": _delta()}).json()
    change = f"/v1/registry/changes/{made['change']}"
    assert doors("second", "GET", change).json()["entries"] == [_delta()]
    assert doors("prosecutor", "GET", "/v1/states/XD").status_code == 404
    assert doors("registrar", "POST", f"{change}/approval").status_code == 409
    assert doors("second", "POST", f"{change}/approval").status_code == 200
    assert doors("prosecutor", "GET", "/v1/states/XD").json()["name"] == "Delta"
    then = {"known_at": before}
    assert doors("prosecutor", "GET", "/v1/states/XD", params=then).status_code == 404
    now = doors("prosecutor", "GET", "/v1/authorities/bravo-central").json()
    assert "central_authority_mla" in now["roles_at"]
    early = doors(
        "prosecutor", "GET", "/v1/authorities/bravo-central", params={"at": "2019-01-01T00:00:00Z"}
    )
    assert early.json()["roles_at"] == []
    code = doors.world.people["registrar"]
    officer = doors("b-central", "GET", f"/v1/officers/{code}").json()
    assert officer["code"] == str(code)
    assert "name" not in officer
    naive = doors("prosecutor", "GET", "/v1/states", params={"known_at": "2019-01-01T00:00:00"})
    assert naive.status_code == 422


def test_a_new_officer_is_given_a_code(doors: Doors) -> None:  # noqa: F811 - the fixture
    entry = {
        "entry": "officer", "name": "N", "authority": doors.world.home.value,
        "roles": {"auditor": {"valid_from": "2020Z", "valid_until": "2099Z"}},
        "competences": {}, "clearance": "confidential",
    }  # fmt: skip
    made = doors("registrar", "POST", "/v1/registry", json={"entry": entry})
    assert made.status_code == 201, made.text
    (shown,) = made.json()["entries"]
    assert shown["code"].startswith("OFF-")


def test_a_draft_and_terms_under_review_are_their_authors_only(doors: Doors) -> None:  # noqa: F811 - the fixture
    drafted = doors("b-prosecutor", "POST", "/v1/requests", json=_request_to(doors)).json()
    ern = doors.world.item()
    proposed = doors(
        "prosecutor", "POST", "/v1/grants", json={"document": doors.world.document(ern)}
    ).json()
    assert doors("central", "GET", f"/v1/requests/{drafted['request']}").status_code == 404
    assert doors("central", "GET", "/v1/requests?received=true").json()["entries"] == []
    assert doors("b-central", "GET", f"/v1/grants/{proposed['grant']}").status_code == 404
    assert doors("b-central", "GET", "/v1/grants?received=true").json()["entries"] == []
    steps = f"/v1/grants/{proposed['grant']}/steps"
    assert doors("central", "POST", steps, json={"act": "offered"}).status_code == 200
    assert doors("b-central", "GET", f"/v1/grants/{proposed['grant']}").status_code == 200
    assert len(doors("b-central", "GET", "/v1/grants?received=true").json()["entries"]) == 1


def test_a_grant_ends_by_time_only_when_its_time_is_over(doors: Doors) -> None:  # noqa: F811 - the fixture
    ern = doors.world.item()
    grant = doors.world.grant(doors.world.document(ern, valid_until="2099-01-01Z"))
    early = doors("central", "POST", f"/v1/grants/{grant}/steps", json={"act": "expired"})
    assert (early.status_code, early.json()["code"]) == (409, "E431")
    for who, said in (
        ("central", {"act": "use_report_requested"}),
        ("b-central", {"act": "use_reported", "reason": "shown at the hearing"}),
        ("central", {"act": "revoked", "reason": "over"}),
        ("b-central", {"act": "declared", "declaration": "destroyed", "reason": "wiped"}),
    ):
        done = doors(who, "POST", f"/v1/grants/{grant}/steps", json=said)
        assert done.status_code == 200, done.text
    assert doors("central", "GET", f"/v1/grants/{grant}").json()["declaration"] == "destroyed"


def test_a_measure_goes_with_the_item_and_another_officer_orders_it(doors: Doors) -> None:  # noqa: F811 - the fixture
    ern = str(doors.world.item())
    asked = {"item": ern, "type": "redaction", "satisfied_by": [], "reason": "danger"}
    made = doors("prosecutor", "POST", "/v1/measures", json=asked).json()
    steps = f"/v1/measures/{made['measure']}/steps"
    ordered = {"act": "ordered", "reason": "danger"}
    assert doors("prosecutor", "POST", steps, json=ordered).status_code == 409
    (shown,) = doors("prosecutor", "GET", f"/v1/items/{ern}/measures").json()["measures"]
    assert (shown["state"], shown["measure"]) == ("requested", made["measure"])
    beyond = doors("prosecutor", "POST", "/v1/measures", json={**asked, "satisfied_by": [7]})
    assert beyond.status_code == 404


def test_a_search_says_whom_to_ask_and_nothing_else(doors: Doors) -> None:  # noqa: F811 - the fixture
    ern = str(doors.world.item())
    sought = {"crime": "attack", "district": "Brod", "month": "2022-03"}
    entered = doors("prosecutor", "POST", "/v1/index/entries", json={**sought, "item": ern})
    assert entered.status_code == 201, entered.text
    asked = {**sought, "purpose": "prosecution"}
    found = doors("b-prosecutor", "POST", "/v1/index/searches", json=asked).json()
    assert (found["hit"], found["ask"]) == (True, [doors.world.home.value])
    assert ern not in json.dumps(found)
    body = {"item": ern, "withheld": True}
    assert doors("prosecutor", "POST", "/v1/index/withholdings", json=body).json()["entries"] == 1
    assert not doors("b-prosecutor", "POST", "/v1/index/searches", json=asked).json()["hit"]


def test_an_officer_without_a_role_now_is_not_let_in(doors: Doors) -> None:  # noqa: F811 - the fixture
    from evidence_store.cooperation.registry import (  # noqa: PLC0415 - of this test
        OfficerRole,
        Validity,
    )
    from evidence_store.moment import Moment  # noqa: PLC0415 - likewise

    grant = doors.world.grant(doors.world.document(doors.world.item()))
    assert doors("b-central", "GET", f"/v1/grants/{grant}").status_code == 200
    over = Validity(Moment.parse("2020Z"), Moment.parse("2021Z"))
    doors.world.hire("b-central", AuthorityId("bravo-central"), OfficerRole.CENTRAL, when=over)
    assert doors("b-central", "GET", f"/v1/grants/{grant}").status_code == 401
    assert doors("b-central", "GET", "/v1/grants?received=true").status_code == 401


def test_an_instance_that_is_a_witness_answers_as_one(doors: Doors) -> None:  # noqa: F811 - the fixture
    from fastapi.testclient import TestClient  # noqa: PLC0415 - of this test

    home = witness_home(doors.instance.home)
    assert not home.is_there()
    home.create("witness.example")
    assert home.is_there()
    cosigner, memory = home.open()
    try:
        witness = witness_routes(cosigner, doors.instance.clock)
        app = create_app(doors.instance, doors.uploading, witness=witness)
        with TestClient(app, base_url="http://127.0.0.1") as client:
            refused = client.post("/witness/add-checkpoint", content=b"nonsense")
            assert refused.status_code == 400
            assert refused.headers["content-type"].startswith("text/plain")
            assert client.get(f"/witness/{'0' * 64}/checkpoint").status_code == 404
            paths = client.get("/v1/openapi.json").json()["paths"]
            assert "/witness/add-checkpoint" in paths
    finally:
        memory.close()
