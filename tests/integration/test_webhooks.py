"""Webhooks: who is told what, signed as the standard has it, and never into the own network."""

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from standardwebhooks import Webhook as Verifier

from api import fixity, notices, outward, webhooks, wiring
from api.http.app import create_app
from api.uploading import Uploading
from evidence_store.errors import MalformedError, UnavailableError
from evidence_store.identifiers import StateCode
from ingest.extraction.supervisor import Extractor
from tests.cooperation import Whole, World
from tests.doors import Doors, doors  # noqa: F401 - a fixture
from tests.integration.test_uploads import Client

EVENTS = ["grant.offered", "grant.accepted", "grant.revoked", "upload.finished", "fixity.failed"]


@dataclass
class Receiver:
    """A subscriber's server on loopback."""

    server: HTTPServer
    status: int = 204
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hook?x=1"

    def verified(self, secret: str) -> list[dict[str, Any]]:
        """Every message, having verified its signature."""
        return [Verifier(secret).verify(body, headers) for headers, body in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.got.append((dict(self.headers), body))
            self.send_response(found.status)
            if found.status == 302:
                self.send_header("Location", found.url)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        found = Receiver(server)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield found
        server.shutdown()
        thread.join()


@pytest.fixture
def exercise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Doors]:
    """An exercise that lets webhooks go to loopback."""
    monkeypatch.setenv("EVIDENCE_WEBHOOKS_TO_PRIVATE", "true")
    home = tmp_path / "home"
    wiring.create_instance(home, StateCode("SI"), "Prosecutor", None, exercise=True)
    with (
        closing(wiring.open_instance(home, lambda: b"")) as instance,
        Extractor(workers=1) as extractor,
    ):
        world = World(Whole(instance), vault=instance.vault)
        uploading = Uploading(instance, instance.uploads, extractor)
        app = create_app(instance, uploading)
        with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
            yield Doors(world, uploading, client)


def subscribe(doors: Doors, name: str, url: str, *events: str) -> dict[str, Any]:  # noqa: F811 - the fixture's value
    body = {"url": url, "events": list(events or EVENTS)}
    answer = doors(name, "POST", "/v1/webhooks", json=body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def offered(doors: Doors) -> str:  # noqa: F811 - the fixture's value
    ern = doors.world.item(b"secret content")
    return str(doors.world.offer(doors.world.document(ern)))


def test_both_sides_of_a_grant_are_told_by_signed_messages_of_identifiers_only(
    exercise: Doors, receiver: Receiver
) -> None:
    made = subscribe(exercise, "b-central", receiver.url)
    subscribe(exercise, "c-central", receiver.url)  # a stranger to it
    grant = offered(exercise)
    assert notices.dispatch(exercise.instance) == 1
    assert notices.dispatch(exercise.instance) == 0
    assert webhooks.deliver(exercise.instance) == 1
    (message,) = receiver.verified(made["secret"])
    assert message["type"] == "grant.offered"
    assert message["data"] == {"id": grant}
    assert set(message) == {"type", "timestamp", "data"}
    assert webhooks.deliver(exercise.instance) == 0


def test_what_is_not_offered_yet_is_told_to_its_owner_only(exercise: Doors) -> None:
    ern = exercise.world.item()
    proposed = exercise.world.propose(exercise.world.document(ern))
    with exercise.instance.catalog.read() as reader:
        events = exercise.instance.work.happened(reader.ledger.size() - 2, limit=1)
        (message,) = notices.messages_of(reader, events[0])
    assert message.subject == str(proposed)
    assert message.authorities == {exercise.world.home}


def test_a_message_that_is_not_acknowledged_comes_again_with_the_same_identifier(
    exercise: Doors, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = subscribe(exercise, "b-central", receiver.url)
    offered(exercise)
    notices.dispatch(exercise.instance)
    receiver.status = 503
    assert webhooks.deliver(exercise.instance) == 0
    assert webhooks.deliver(exercise.instance) == 0  # not before its pause is over
    assert len(receiver.got) == 1
    pass_time(exercise, monkeypatch, minutes=1)
    receiver.status = 200
    assert webhooks.deliver(exercise.instance) == 1
    first, second = (headers for headers, _ in receiver.got)
    names = {name.lower(): name for name in first}
    assert first[names["webhook-id"]] == second[names["webhook-id"]]
    assert len(receiver.verified(made["secret"])) == 2


def test_after_three_days_without_an_answer_it_is_disabled_and_says_why(
    exercise: Doors, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = subscribe(exercise, "b-central", receiver.url)
    offered(exercise)
    notices.dispatch(exercise.instance)
    receiver.status = 500
    attempts = 0
    shown: dict[str, Any] = {"disabled_at": None}
    while shown["disabled_at"] is None:
        assert attempts < 20
        webhooks.deliver(exercise.instance)
        attempts += 1
        pass_time(exercise, monkeypatch, hours=12)
        found = exercise.instance.work.webhook(made["webhook"])
        assert found is not None
        shown = webhooks.shown(exercise.instance, found)
    assert 3 <= attempts <= 10
    assert shown["pending"] == 0
    assert "500" in str(shown["reason"])
    assert "secret" not in shown
    receiver.status = 200
    offered(exercise)
    assert notices.dispatch(exercise.instance) == 0


def test_a_receiver_that_is_gone_or_redirects(exercise: Doors, receiver: Receiver) -> None:
    subscribe(exercise, "b-central", receiver.url)
    offered(exercise)
    notices.dispatch(exercise.instance)
    receiver.status = 302
    assert webhooks.deliver(exercise.instance) == 0
    assert len(receiver.got) == 1  # it was not followed
    subscribe(exercise, "c-central", receiver.url)
    receiver.status = 410
    exercise.world.offer(exercise.world.document(exercise.world.item(), grantee="charlie-central"))
    notices.dispatch(exercise.instance)
    webhooks.deliver(exercise.instance)
    (shown,) = exercise("c-central", "GET", "/v1/webhooks").json()["webhooks"]
    assert shown["disabled_at"] is not None


def test_a_subscription_is_its_authoritys_own(exercise: Doors, receiver: Receiver) -> None:
    made = subscribe(exercise, "b-central", receiver.url)
    path = f"/v1/webhooks/{made['webhook']}"
    assert exercise("c-central", "GET", "/v1/webhooks").json() == {
        "webhooks": [],
        "next_cursor": None,
    }
    assert exercise("c-central", "DELETE", path).status_code == 404
    assert exercise("b-central", "DELETE", path).status_code == 204
    assert exercise("b-central", "DELETE", path).status_code == 404
    body = {"url": receiver.url, "events": EVENTS}
    assert exercise("b-prosecutor", "POST", "/v1/webhooks", json=body).status_code == 409
    unknown = {"url": receiver.url, "events": ["no.such"]}
    assert exercise("b-central", "POST", "/v1/webhooks", json=unknown).status_code == 400


def test_the_secret_is_kept_sealed(exercise: Doors, receiver: Receiver) -> None:
    made = subscribe(exercise, "b-central", receiver.url)
    found = exercise.instance.work.webhook(made["webhook"])
    assert found is not None
    assert made["secret"].removeprefix("whsec_").encode() not in found.secret
    database = (exercise.instance.home / "catalog.db").read_bytes()
    assert made["secret"].removeprefix("whsec_").encode() not in database


@pytest.mark.parametrize(
    "url",
    [
        "http://court.example/hook",
        "http://127.0.0.1/hook",
        "https://127.0.0.1/hook",
        "https://169.254.169.254/latest/meta-data",
        "https://10.1.2.3/",
        "https://192.168.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[fe80::1]/",
        "https://[64:ff9b::a00:1]/",
        "https://0.0.0.0/",
        "https://user:secret@court.example/",
        "https://court.example:0/",
        "https://court.example/\r\nX: y",
        "file:///etc/passwd",
        "https://",
    ],
)
def test_an_address_of_the_own_network_is_refused(doors: Doors, url: str) -> None:  # noqa: F811 - the fixture
    body = {"url": url, "events": EVENTS}
    assert doors("central", "POST", "/v1/webhooks", json=body).status_code == 400


@pytest.mark.parametrize(
    "addresses",
    [
        ["169.254.169.254"],
        ["10.0.0.1"],
        ["::1"],
        ["fd00::1"],
        ["2002:0a00:0001::"],
        ["93.184.215.14", "127.0.0.1"],  # one of several is enough
    ],
)
def test_a_name_that_leads_into_the_own_network_gets_nothing(
    receiver: Receiver, addresses: list[str]
) -> None:
    url = f"https://court.example:{receiver.server.server_port}/"
    with pytest.raises(outward.ForbiddenAddressError):
        outward.post(url, b"{}", {}, resolve=lambda *_: addresses)
    assert receiver.got == []


def test_the_connection_goes_to_the_address_that_was_looked_at(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(outward, "is_public", lambda _: True)

    def rebinding(*asked_for: object) -> list[str]:
        asked.append(asked_for)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.9"]

    url = f"http://localhost:{receiver.server.server_port}/"
    assert outward.post(url, b"{}", {}, private=True, resolve=rebinding) == 204
    assert len(asked) == 1
    (headers, _), *_ = receiver.got
    assert headers["Host"].startswith("localhost:")


def test_an_answer_that_never_ends_is_given_up() -> None:
    import socket  # noqa: PLC0415 - of this test

    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"  # it accepts, and says nothing
        with pytest.raises(UnavailableError):
            outward.post(url, b"{}", {}, private=True, budget_seconds=0.3)


def test_only_an_exercise_may_post_to_the_own_network(
    doors: Doors,  # noqa: F811 - the fixture
    receiver: Receiver,
) -> None:
    assert not webhooks.is_private_allowed(doors.instance)
    with pytest.raises(MalformedError):
        outward.post(receiver.url, b"{}", {})


def pass_time(doors: Doors, monkeypatch: pytest.MonkeyPatch, **span: float) -> None:  # noqa: F811 - the fixture's value
    """Let time pass for the instance."""
    clock, now = doors.instance.clock, doors.instance.clock.now
    monkeypatch.setattr(type(clock), "now", lambda _: now() + timedelta(**span))


def test_a_grants_end_is_told_and_an_offer_whose_time_is_over_expires(
    exercise: Doors, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance, world = exercise.instance, exercise.world
    now = instance.clock.now()
    soon, later = now + timedelta(days=2), now + timedelta(days=30)
    made = subscribe(exercise, "b-central", receiver.url, "grant.expired", "transfer.expired")
    shared, offered_item = world.item(b"shared"), world.item(b"offered")
    terms = world.document(
        shared, valid_from=f"{now:%Y-%m-%d}Z", valid_until=f"{soon:%Y-%m-%dT%H:%M:%S}Z"
    )
    grant = world.grant(terms)
    offer = {
        "items": [str(offered_item)],
        "to": "bravo-central",
        "to_person": "B",
        "purpose": "analysis",
        "reference": "Kt/1",
        "valid_until": f"{soon:%Y-%m-%dT%H:%M:%S}Z",
    }
    answer = exercise("prosecutor", "POST", "/v1/transfers", json=offer)
    assert answer.status_code == 201, answer.text
    transfer = answer.json()["transfer"]
    notices.dispatch(instance)
    assert notices.call_time(instance) == 0
    pass_time(exercise, monkeypatch, seconds=(later - now).total_seconds())
    assert notices.call_time(instance) == 2
    assert notices.call_time(instance) == 0
    notices.dispatch(instance)
    webhooks.deliver(instance)
    told = {(each["type"], each["data"]["id"]) for each in receiver.verified(made["secret"])}
    assert told == {("grant.expired", str(grant)), ("transfer.expired", transfer)}
    with instance.catalog.read() as reader:
        assert reader.ledger.events(offered_item)[-1].signed.event.act == "offer_expired"


def test_an_upload_that_ended_is_told_to_its_officers_authority(
    exercise: Doors, receiver: Receiver
) -> None:
    made = subscribe(exercise, "central", receiver.url, "upload.finished")
    subscribe(exercise, "b-central", receiver.url, "upload.finished")
    uploads = Client(exercise)
    path = uploads.create(5, content=b"12345").headers["location"]
    notices.dispatch(exercise.instance)
    webhooks.deliver(exercise.instance)
    (message,) = receiver.verified(made["secret"])
    assert message["data"] == {"id": path.rpartition("/")[2]}


def test_a_loan_that_is_not_back_in_time_is_overdue_and_both_sides_are_told(
    exercise: Doors, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = exercise.instance
    made = subscribe(exercise, "b-central", receiver.url, "transfer.overdue")
    ern = exercise.world.item(b"lent")
    soon = instance.clock.now() + timedelta(hours=2)
    offer = {
        "items": [str(ern)],
        "to": "bravo-central",
        "to_person": "B",
        "purpose": "analysis",
        "reference": "Kt/1",
        "valid_until": f"{soon:%Y-%m-%dT%H:%M:%S}Z",
        "return_by": f"{soon:%Y-%m-%dT%H:%M:%S}Z",
    }
    transfer = exercise("prosecutor", "POST", "/v1/transfers", json=offer).json()["transfer"]
    steps = f"/v1/transfers/{transfer}/steps"
    line = {"ern": str(ern), "condition": "not_verifiable", "note": "read later"}
    for name, step in (
        ("b-central", {"act": "accepted"}),
        ("prosecutor", {"act": "released", "carrier": "C"}),
        ("b-central", {"act": "received", "lines": [line]}),
    ):
        answer = exercise(name, "POST", steps, json=step)
        assert answer.status_code == 200, answer.text
    notices.dispatch(instance)
    pass_time(exercise, monkeypatch, hours=3)
    assert notices.call_time(instance) == 2  # of the offer, which was accepted, and of the loan
    notices.dispatch(instance)
    webhooks.deliver(instance)
    (message,) = receiver.verified(made["secret"])
    assert message["data"] == {"id": transfer}
    with instance.catalog.read() as reader:
        acts = [each.signed.event.act for each in reader.ledger.events(ern)]
    assert acts[-1] == "overdue"
    assert "offer_expired" not in acts


def test_what_is_not_as_registered_is_told_to_whose_it_is(
    exercise: Doors, receiver: Receiver
) -> None:
    instance = exercise.instance
    made = subscribe(exercise, "central", receiver.url, "fixity.failed")
    subscribe(exercise, "b-central", receiver.url, "fixity.failed")
    ern = exercise.world.item(b"harmed")  # it counts as measured long ago
    with instance.catalog.read() as reader:
        name = reader.versions(ern)[0].object_name.value
    (file,) = (
        each
        for each in (instance.home / "objects").rglob("*")
        if each.is_file() and name in each.name
    )
    file.unlink()
    assert fixity.turn(instance).failed == 1
    notices.dispatch(instance)
    webhooks.deliver(instance)
    (message,) = receiver.verified(made["secret"])
    assert message["data"] == {"id": str(ern)}
