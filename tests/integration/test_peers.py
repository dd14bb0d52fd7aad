"""Instances talk: an authority's signed request gets what is its own, and any other gets nothing."""

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi.testclient import TestClient
from httpx2 import Response

from api.asking import Asking
from api.peers import LIFE_MAX, signed_headers
from api.serving import application
from api.uploading import Uploading
from evidence_store.authorities import follow, revoke
from evidence_store.cooperation.registry import AuthorityRole, Validity
from evidence_store.errors import MalformedError, NotFoundError, UnauthenticatedError
from evidence_store.identifiers import BLINDING, ROOT, AuthorityId, KeyId
from evidence_store.moment import Moment
from ingest.extraction.supervisor import Extractor
from tests.cooperation import BRAVO, BRAVO_CENTRAL, CHARLIE_CENTRAL, Whole, World, authority
from tests.doors import instance_at
from tests.integration.test_sign_in_attacks import Hands

ORIGIN = "https://evidence.example"


class Peers:
    """An instance, and what signs as any authority of it."""

    def __init__(self, home: Path, extractor: Extractor) -> None:
        self.clock = Hands()
        self.instance = replace(instance_at(home), clock=self.clock)
        self.world = World(Whole(self.instance), vault=self.instance.vault)
        self.uploading = Uploading(self.instance, self.instance.uploads, extractor)
        app = application(self.instance, self.uploading, ORIGIN)
        self.client = TestClient(app, base_url=ORIGIN, raise_server_exceptions=False)

    def key(self, of: AuthorityId) -> KeyId:
        with self.instance.catalog.read() as reader:
            kid = reader.ledger.keys_of(of)[-1].kid
        assert kid is not None
        return kid

    def signed(
        self,
        of: AuthorityId | KeyId,
        path: str,
        *,
        method: str = "GET",
        body: bytes = b"",
        origin: str = ORIGIN,
        early: timedelta = timedelta(),
    ) -> dict[str, str]:
        kid = of if isinstance(of, KeyId) else self.key(of)
        now = self.clock.now() - early
        digest = hashlib.sha256(body).digest()
        return signed_headers(method, origin + path, digest, kid, self.instance.signing.sign, now)

    def get(self, of: AuthorityId | KeyId, path: str) -> Response:
        return self.client.get(path, headers=self.signed(of, path))

    def granted(self) -> tuple[str, str]:
        ern = self.world.item()
        return str(ern), str(self.world.grant(self.world.document(ern)))


@pytest.fixture
def peers(tmp_path: Path) -> Iterator[Peers]:
    with Extractor(workers=1) as extractor:
        made = Peers(tmp_path / "home", extractor)
        with closing(made.instance):
            yield made


def test_an_authority_is_known_by_its_registered_key(peers: Peers) -> None:
    answer = peers.get(BRAVO_CENTRAL, "/v1/peer")
    assert answer.json() == {"authority": "bravo-central", "key": "XB/bravo-central/1"}
    assert peers.client.get("/v1/peer").status_code == 401


def test_a_grant_is_shown_to_its_two_sides_alone(peers: Peers) -> None:
    _, grant = peers.granted()
    for side in (peers.world.home, BRAVO_CENTRAL):
        assert peers.get(side, f"/v1/peer/grants/{grant}").json()["grant"] == grant
    assert peers.get(CHARLIE_CENTRAL, f"/v1/peer/grants/{grant}").status_code == 404
    received = peers.get(BRAVO_CENTRAL, "/v1/peer/grants?received=true").json()["entries"]
    assert [each["id"] for each in received] == [grant]
    assert peers.get(CHARLIE_CENTRAL, "/v1/peer/grants?received=true").json()["entries"] == []
    assert peers.get(BRAVO_CENTRAL, "/v1/peer/grants").json()["entries"] == []


def test_the_provider_reads_who_had_access_and_nobody_else_does(peers: Peers) -> None:
    ern, grant = peers.granted()
    asked = {"item": ern, "action": "download", "purpose": "prosecution", "grant": grant}
    from api.tokens import SCOPES, make_token  # noqa: PLC0415

    _, text = make_token(
        peers.instance.doors,
        peers.world.people["b-prosecutor"],
        "t",
        SCOPES,
        peers.clock.now(),
        timedelta(days=1),
    )
    bearer = {"Authorization": f"Bearer {text}"}
    assert peers.client.post("/v1/accesses", json=asked, headers=bearer).status_code == 200
    for path in (f"/v1/peer/accesses?item={ern}", f"/v1/peer/accesses?grant={grant}"):
        (found,) = peers.get(peers.world.home, path).json()["accesses"]
        assert found["item"] == ern
        assert found["authority"] == "bravo-central"
        for other in (BRAVO_CENTRAL, CHARLIE_CENTRAL):
            assert peers.get(other, path).status_code == 404
    assert peers.get(peers.world.home, "/v1/peer/accesses").status_code == 400


def test_another_authority_of_the_providers_state_does_not_see_its_accesses(peers: Peers) -> None:
    ern, _ = peers.granted()
    laboratory = AuthorityId("laboratory")
    state = peers.key(peers.world.home).state
    peers.world.enter(authority(laboratory, state, AuthorityRole.LABORATORY))
    assert peers.get(laboratory, "/v1/peer").status_code == 200
    assert peers.get(laboratory, f"/v1/peer/accesses?item={ern}").status_code == 404


def test_what_is_not_there_and_what_is_not_ones_own_are_the_same_answer(peers: Peers) -> None:
    ern, grant = peers.granted()
    for there, missing in (
        (f"/v1/peer/accesses?item={ern}", "/v1/peer/accesses?item=SI-2026-000099"),
        (f"/v1/peer/grants/{grant}", "/v1/peer/grants/SI-GRT-000099"),
    ):
        statuses = {peers.get(CHARLIE_CENTRAL, each).status_code for each in (there, missing)}
        assert statuses == {404}


# ------------------------------------------------------------------------ refused

Sabotage = Callable[[dict[str, str]], Mapping[str, str]]


def _without(name: str) -> Sabotage:
    return lambda headers: {key: each for key, each in headers.items() if key != name}


def _changed(name: str, before: str, after: str) -> Sabotage:
    def change(headers: dict[str, str]) -> dict[str, str]:
        assert before in headers[name]
        return {**headers, name: headers[name].replace(before, after)}

    return change


def _longer(headers: dict[str, str]) -> dict[str, str]:
    stated = headers["Signature-Input"]
    expires = stated.partition("expires=")[2].partition(";")[0]
    return {**headers, "Signature-Input": stated.replace(expires, str(int(expires) + 60))}


SABOTAGES: dict[str, Sabotage] = {
    "no signature": _without("Signature"),
    "no input": _without("Signature-Input"),
    "no digest": _without("Content-Digest"),
    "digest not covered": _changed("Signature-Input", '"content-digest"', '"accept"'),
    "method not covered": _changed("Signature-Input", '"@method" ', ""),
    "another authority": _changed("Signature-Input", "bravo-central", "charlie-central"),
    "unknown key": _changed("Signature-Input", "XB/bravo-central/1", "XB/bravo-central/2"),
    "another State": _changed("Signature-Input", "XB/", "SI/"),
    "no key": _changed("Signature-Input", "XB/bravo-central/1", "bravo"),
    "another tag": _changed("Signature-Input", "evidence-peer-v1", "another"),
    "another algorithm": _changed("Signature-Input", 'alg="ed25519"', 'alg="hmac-sha256"'),
    "no nonce": _changed("Signature-Input", ";nonce=", ";other="),
    "another digest": _changed("Content-Digest", "sha-256=:4", "sha-256=:5"),
    "a longer life": _longer,
}


@pytest.mark.parametrize("name", SABOTAGES)
def test_a_request_with_anything_changed_is_refused(peers: Peers, name: str) -> None:
    sabotage = SABOTAGES[name]
    headers = peers.signed(BRAVO_CENTRAL, "/v1/peer")
    refused = 400 if name == "another digest" else 401
    assert peers.client.get("/v1/peer", headers=sabotage(headers)).status_code == refused
    assert peers.client.get("/v1/peer", headers=headers).status_code == 200


def test_a_signature_is_good_for_its_method_target_and_body_only(peers: Peers) -> None:
    _, grant = peers.granted()
    path = f"/v1/peer/grants/{grant}"
    elsewhere = peers.signed(BRAVO_CENTRAL, "/v1/peer")
    assert peers.client.get(path, headers=elsewhere).status_code == 401
    query = peers.signed(BRAVO_CENTRAL, "/v1/peer/grants")
    assert peers.client.get("/v1/peer/grants?received=true", headers=query).status_code == 401
    posted = peers.signed(BRAVO_CENTRAL, path, method="POST")
    assert peers.client.get(path, headers=posted).status_code == 401
    with_body = peers.signed(BRAVO_CENTRAL, path, body=b"one")
    assert peers.client.request("GET", path, headers=with_body, content=b"two").status_code == 400
    assert peers.client.request("GET", path, headers=with_body, content=b"one").status_code == 200


def test_a_request_to_another_instance_is_not_good_here(peers: Peers) -> None:
    headers = peers.signed(BRAVO_CENTRAL, "/v1/peer", origin="https://other.example")
    passed_on = {**headers, "Host": "other.example"}
    assert peers.client.get("/v1/peer", headers=headers).status_code == 401
    assert peers.client.get("/v1/peer", headers=passed_on).status_code == 401


def test_a_request_counts_once(peers: Peers) -> None:
    headers = peers.signed(BRAVO_CENTRAL, "/v1/peer")
    assert peers.client.get("/v1/peer", headers=headers).status_code == 200
    assert peers.client.get("/v1/peer", headers=headers).status_code == 401
    peers.clock.ahead += LIFE_MAX - timedelta(seconds=30)
    assert peers.client.get("/v1/peer", headers=headers).status_code == 401


def test_a_request_counts_for_its_minutes_only(peers: Peers) -> None:
    late = peers.signed(BRAVO_CENTRAL, "/v1/peer", early=LIFE_MAX)
    assert peers.client.get("/v1/peer", headers=late).status_code == 401
    early = peers.signed(BRAVO_CENTRAL, "/v1/peer", early=-timedelta(minutes=1))
    assert peers.client.get("/v1/peer", headers=early).status_code == 401
    in_time = peers.signed(BRAVO_CENTRAL, "/v1/peer", early=LIFE_MAX - timedelta(seconds=30))
    assert peers.client.get("/v1/peer", headers=in_time).status_code == 200


def test_a_revoked_key_does_not_count_and_the_one_that_follows_does(peers: Peers) -> None:
    first = peers.key(BRAVO_CENTRAL)
    assert peers.get(first, "/v1/peer").status_code == 200
    instance = peers.instance
    second = follow(instance.catalog, instance.signing, BRAVO_CENTRAL)
    revoke(instance.catalog, instance.signing, first, "lost")
    assert peers.get(first, "/v1/peer").status_code == 401
    assert peers.get(second, "/v1/peer").json()["key"] == "XB/bravo-central/2"


def test_no_key_speaks_for_anybody_but_a_registered_authority(peers: Peers) -> None:
    state = peers.key(peers.world.home).state
    for kid in (KeyId(state, ROOT, 1), KeyId(state, BLINDING, 1), KeyId(BRAVO, BRAVO_CENTRAL, 9)):
        peers.instance.signing.ensure(kid)
        assert peers.get(kid, "/v1/peer").status_code == 401


def test_an_authority_whose_designation_is_over_is_no_peer(peers: Peers) -> None:
    assert peers.get(CHARLIE_CENTRAL, "/v1/peer").status_code == 200
    ended = Validity(Moment.parse("2020Z"), Moment.parse("2021Z"))
    state = peers.key(CHARLIE_CENTRAL).state
    peers.world.enter(authority(CHARLIE_CENTRAL, state, AuthorityRole.CENTRAL_MLA, when=ended))
    assert peers.get(CHARLIE_CENTRAL, "/v1/peer").status_code == 401


def test_a_peer_is_no_officer(peers: Peers) -> None:
    ern, _ = peers.granted()
    for path in (f"/v1/items/{ern}", "/v1/grants", "/v1/session", "/v1/tokens"):
        assert peers.get(peers.world.home, path).status_code == 401


def test_without_an_origin_no_peer_is_heard(peers: Peers) -> None:
    client = TestClient(application(peers.instance, peers.uploading, None), base_url=ORIGIN)
    assert (
        client.get("/v1/peer", headers=peers.signed(BRAVO_CENTRAL, "/v1/peer")).status_code == 404
    )


# --------------------------------------------------------------------- the sender


@contextmanager
def served(peers: Peers) -> Iterator[str]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        app = application(peers.instance, peers.uploading, address)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield address
        server.should_exit = True
        thread.join(30)


def test_one_instance_asks_another_over_a_real_connection(peers: Peers) -> None:
    _, grant = peers.granted()

    def asking(address: str, of: AuthorityId) -> Asking:
        return Asking(address, peers.key(of), peers.instance.signing.sign, peers.clock)

    with served(peers) as address:
        bravo, charlie = asking(address, BRAVO_CENTRAL), asking(address, CHARLIE_CENTRAL)
        found: dict[str, Any] = bravo.get(f"/v1/peer/grants/{grant}")
        assert found["grant"] == grant
        with pytest.raises(NotFoundError):
            charlie.get(f"/v1/peer/grants/{grant}")
        unknown = replace(bravo, kid=KeyId(BRAVO, BRAVO_CENTRAL, 9))
        peers.instance.signing.ensure(unknown.kid)
        with pytest.raises(UnauthenticatedError):
            unknown.get("/v1/peer")


@pytest.mark.parametrize("server", ["http://evidence.example", "ftp://x", "evidence.example", ""])
def test_nothing_is_asked_in_the_clear(peers: Peers, server: str) -> None:
    with pytest.raises(MalformedError):
        Asking(server, peers.key(BRAVO_CENTRAL), peers.instance.signing.sign, peers.clock)
