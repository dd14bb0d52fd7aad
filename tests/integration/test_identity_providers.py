"""Officers sign in by their State's identity provider: a real server on loopback, and lies about it."""

import base64
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from api.oidc import Provider, fetched, providers_of
from api.serving import Ways, application, signing_in
from api.signin import PROVIDER_LIFE
from api.uploading import Uploading
from evidence_store.cooperation.registry import OfficerEntry, OfficerRole, Validity
from evidence_store.errors import SettingsError
from evidence_store.moment import Moment
from ingest.extraction.supervisor import Extractor
from tests.cooperation import ALFA, BRAVO, Whole, World
from tests.doors import instance_at
from tests.integration.test_sign_in import ORIGIN, Site
from tests.integration.test_sign_in_attacks import ASKED, Hands
from tests.softkey import SoftKey

Claims = dict[str, Any]
TICKET = "__Host-ticket"
STRONG = {"acr": "high", "amr": ["pwd", "hwk"]}
SUBJECT = "novak"


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """A provider that we did not write, as a process of its own."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    run = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port)]
    process = subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - our own interpreter
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                httpx2.get(f"{address}/jwks", timeout=5)
                break
            except httpx2.HTTPError:
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(30)


@dataclass
class Line:
    """The line to the provider. It can be made to lie."""

    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "ours"}))
    lie: Callable[[Claims], Claims] | None = None
    forge: Callable[[Claims], str] | None = None
    described: Mapping[str, str] = field(default_factory=dict)

    def __call__(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, bytes]:
        status, content = fetched(method, url, headers, body)
        if url.endswith("/.well-known/openid-configuration"):
            content = json.dumps({**json.loads(content), **self.described}).encode()
        if self.lie is None and self.forge is None:
            return status, content
        if url.endswith("/jwks"):
            content = json.dumps({"keys": [self.key.as_dict(private=False)]}).encode()
        if url.endswith("/token") and status == 200:
            answer = json.loads(content)
            middle = answer["id_token"].split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
            if self.lie is not None:
                claims = self.lie(claims)
            made = self.forge(claims) if self.forge else self.signed(claims)
            content = json.dumps({**answer, "id_token": made}).encode()
        return status, content

    def signed(self, claims: Claims) -> str:
        return jwt.encode({"alg": "RS256", "kid": "ours"}, claims, self.key)


class Federated(Site):
    """A site with one State's provider."""

    def __init__(self, home: Path, extractor: Extractor, issuer: str) -> None:
        self.clock, self.line, self.issuer = Hands(), Line(), issuer
        self.instance = replace(instance_at(home), clock=self.clock)
        self.world = World(Whole(self.instance), vault=self.instance.vault)
        self.rules = signing_in(self.instance)
        self.uploading = Uploading(self.instance, self.instance.uploads, extractor)
        self.provider = Provider(
            "home", "Home", ALFA, issuer, "evidence", "secret", ("high",), ("hwk",)
        )
        self.app = self.application(self.provider)
        self.is_known(SUBJECT, STRONG)

    def application(self, *providers: Provider) -> FastAPI:
        return application(
            self.instance, self.uploading, ORIGIN, ways=Ways(False, providers, self.line)
        )

    def is_known(self, subject: str, claims: Claims) -> None:
        """The provider knows somebody, and by which means."""
        httpx2.put(f"{self.issuer}/users/{subject}", json=claims).raise_for_status()

    def begun(self, browser: TestClient, link: str | None = None) -> str:
        answer = browser.post("/v1/session/provider/home", json={"link": link})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["location"])

    def at_provider(self, location: str, subject: str = SUBJECT) -> str:
        """Somebody signs in there; where the browser is sent back to, within our site."""
        answer = httpx2.post(location, data={"sub": subject})
        assert answer.status_code == 302, answer.text
        back = answer.headers["location"]
        assert back.startswith(f"{ORIGIN}/v1/session/provider/home/callback?")
        return back.removeprefix(ORIGIN)

    def round(self, browser: TestClient, link: str | None = None, subject: str = SUBJECT) -> int:
        back = self.at_provider(self.begun(browser, link), subject)
        return self.come_back(browser, back)

    @staticmethod
    def come_back(browser: TestClient, back: str) -> int:
        """A navigation from the provider's page, as browsers mark it."""
        return browser.get(back, headers={"Sec-Fetch-Site": "cross-site"}).status_code

    def bound(self, name: str = "prosecutor") -> TestClient:
        browser = self.browser()
        assert self.round(browser, self.link(name)) == 200
        return browser


@pytest.fixture
def site(tmp_path: Path, issuer: str) -> Iterator[Federated]:
    with Extractor(workers=1) as extractor:
        made = Federated(tmp_path / "home", extractor, issuer)
        with closing(made.instance):
            yield made


def test_an_officer_is_bound_by_a_link_and_signs_in_afterwards(site: Federated) -> None:
    listed = site.browser().get("/v1/session/providers").json()["providers"]
    assert listed == [{"name": "home", "title": "Home", "state": "SI"}]
    bound = site.bound()
    assert bound.get("/v1/session").json()["officer"] == str(site.world.people["prosecutor"])
    later = site.browser()
    assert site.round(later) == 200
    me = later.get("/v1/session").json()
    assert me["officer"] == str(site.world.people["prosecutor"])
    assert me["method"] == "oidc"
    ern = str(site.world.item())
    assert later.get(f"/v1/items/{ern}").status_code == 200
    # What is as strong as a passkey is a passkey only.
    assert later.post("/v1/tokens", json=ASKED).status_code == 403


def test_the_way_there_carries_state_nonce_and_challenge_and_the_cookie_is_for_it_alone(
    site: Federated,
) -> None:
    browser = site.browser()
    answer = browser.post("/v1/session/provider/home", json={})
    asked = parse_qs(urlsplit(answer.json()["location"]).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["response_type"] == ["code"]
    assert asked["acr_values"] == ["high"]
    for name in ("state", "nonce", "code_challenge"):
        assert len(asked[name][0]) == 43
    cookie = answer.headers["set-cookie"]
    for each in (f"{TICKET}=", "Max-Age=600", "HttpOnly", "Secure", "SameSite=lax", "Path=/"):
        assert each in cookie
    assert "secret" not in answer.text


def test_who_is_bound_to_nobody_gets_nothing(site: Federated) -> None:
    browser = site.browser()
    assert site.round(browser) == 401
    assert browser.get("/v1/session").status_code == 401
    site.bound()
    site.is_known("another", STRONG)
    assert site.round(site.browser(), subject="another") == 401


def test_a_link_binds_once_and_binding_ends_the_other_ways_in(site: Federated) -> None:
    key: SoftKey = site.enrolled("prosecutor")
    earlier = site.signed_in(key)
    link = site.link("prosecutor")
    assert site.round(site.browser(), link) == 200
    assert earlier.get("/v1/session").status_code == 401
    browser = site.browser()
    options = browser.post("/v1/session/passkey/options", json={}).json()
    answer = browser.post("/v1/session/passkey", json={"credential": key.get(options)})
    assert answer.status_code == 401
    again = browser.post("/v1/session/provider/home", json={"link": link})
    assert again.status_code == 401
    # And a passkey that is enrolled later ends this one.
    site.enrolled("prosecutor")
    assert site.round(site.browser()) == 401


def test_an_unconfirmed_link_binds_nothing(site: Federated) -> None:
    people = site.world.people
    _, token = site.rules.issue(people["registrar"], people["prosecutor"])
    answer = site.browser().post("/v1/session/provider/home", json={"link": token})
    assert answer.status_code == 401


def test_one_subject_is_one_officer(site: Federated) -> None:
    site.bound("prosecutor")
    assert site.round(site.browser(), site.link("central")) == 409
    browser = site.browser()
    assert site.round(browser) == 200
    assert browser.get("/v1/session").json()["officer"] == str(site.world.people["prosecutor"])


def test_a_provider_speaks_for_its_own_states_officers_alone(site: Federated) -> None:
    assert site.round(site.browser(), site.link("b-prosecutor")) == 401
    # Nor does another State's provider that has the same issuer and subject.
    site.bound()
    site.app = site.application(replace(site.provider, state=BRAVO))
    assert site.round(site.browser()) == 401


def test_an_officer_without_a_role_is_none_whatever_the_provider_says(site: Federated) -> None:
    site.bound()
    ended = Validity(Moment.parse("2020Z"), Moment.parse("2021Z"))
    code, roles = site.world.people["prosecutor"], {OfficerRole.PROSECUTOR: ended}
    site.world.enter(OfficerEntry(code, "prosecutor", site.world.home, roles))
    assert site.round(site.browser()) == 401


def _hmac(claims: Claims) -> str:
    return jwt.encode(
        {"alg": "HS256"}, claims, OctKey.import_key("secret" * 8), algorithms=["HS256"]
    )


def _unsigned(claims: Claims) -> str:
    parts = ({"alg": "none"}, claims)
    coded = (base64.urlsafe_b64encode(json.dumps(each).encode()).decode() for each in parts)
    return ".".join(each.rstrip("=") for each in coded) + "."


def _by_another_key(claims: Claims) -> str:
    return jwt.encode({"alg": "RS256", "kid": "ours"}, claims, RSAKey.generate_key(2048))


LIES: dict[str, Callable[[Claims], Claims]] = {
    "another issuer": lambda claims: {**claims, "iss": "https://evil.example"},
    "no issuer": lambda claims: {key: each for key, each in claims.items() if key != "iss"},
    "another audience": lambda claims: {**claims, "aud": "somebody-else"},
    "made for another party": lambda claims: {**claims, "azp": "somebody-else"},
    "another nonce": lambda claims: {**claims, "nonce": "A" * 43},
    "no nonce": lambda claims: {key: each for key, each in claims.items() if key != "nonce"},
    "over": lambda claims: {**claims, "exp": claims["iat"] - 60},
    "of long ago": lambda claims: {**claims, "iat": claims["iat"] - 3600},
    "no expiry": lambda claims: {key: each for key, each in claims.items() if key != "exp"},
    "no acr": lambda claims: {key: each for key, each in claims.items() if key != "acr"},
    "a weaker acr": lambda claims: {**claims, "acr": "low"},
    "no amr": lambda claims: {key: each for key, each in claims.items() if key != "amr"},
    "a weaker amr": lambda claims: {**claims, "amr": ["pwd"]},
    "amr of another kind": lambda claims: {**claims, "amr": "hwk"},
    "no subject": lambda claims: {key: each for key, each in claims.items() if key != "sub"},
    "another subject": lambda claims: {**claims, "sub": "another"},
}
FORGERIES = {"alg none": _unsigned, "a shared secret": _hmac, "another key": _by_another_key}


@pytest.mark.parametrize("name", LIES)
def test_a_token_that_says_anything_else_does_not_sign_in(site: Federated, name: str) -> None:
    site.bound()
    site.line.lie = lambda claims: claims
    assert site.round(site.browser()) == 200
    site.line.lie = LIES[name]
    browser = site.browser()
    assert site.round(browser) == 401
    assert browser.get("/v1/session").status_code == 401


@pytest.mark.parametrize("name", FORGERIES)
def test_a_token_that_the_providers_key_did_not_sign_is_none(site: Federated, name: str) -> None:
    site.bound()
    site.line.forge = FORGERIES[name]
    assert site.round(site.browser()) == 401


def test_a_weak_sign_in_at_the_provider_is_not_enough(site: Federated) -> None:
    site.bound()
    site.is_known(SUBJECT, {"acr": "low", "amr": ["pwd"]})
    assert site.round(site.browser()) == 401


def test_what_comes_back_counts_once_and_in_its_own_browser_only(site: Federated) -> None:
    site.bound()
    browser = site.browser()
    back = site.at_provider(site.begun(browser))
    thief = site.browser()
    assert site.come_back(thief, back) == 401  # it has no ticket
    site.begun(thief)
    assert site.come_back(thief, back) == 401  # nor is this the one
    ticket = browser.cookies[TICKET]
    assert site.come_back(browser, back) == 200
    browser.cookies.set(TICKET, ticket, domain="evidence.example")
    assert site.come_back(browser, back) == 401


def test_a_state_or_code_of_anothers_is_refused(site: Federated) -> None:
    site.bound()
    browser, other = site.browser(), site.browser()
    back, theirs = (site.at_provider(site.begun(each)) for each in (browser, other))

    def changed(**parameters: str) -> str:
        path, _, query = back.partition("?")
        return f"{path}?{urlencode({**dict(parse_qsl(query)), **parameters})}"

    assert site.come_back(browser, changed(state="A" * 43)) == 401
    # A code that was put into another's way back: its nonce is another's.
    code = dict(parse_qsl(theirs.partition("?")[2]))["code"]
    assert site.come_back(browser, changed(code=code)) == 401
    assert site.come_back(browser, back) == 401  # what it was begun with is gone


@pytest.mark.parametrize("parameters", ["", "?state=x", "?error=access_denied&state=x", "?code=x"])
def test_a_way_back_that_nobody_began_is_refused(site: Federated, parameters: str) -> None:
    path = f"/v1/session/provider/home/callback{parameters}"
    assert site.come_back(site.browser(), path) == 401


def test_an_answer_of_another_issuer_is_refused(site: Federated) -> None:
    site.bound()
    browser = site.browser()
    back = site.at_provider(site.begun(browser))
    assert site.come_back(browser, f"{back}&iss=https%3A%2F%2Fevil.example") == 401


def test_ten_minutes_later_it_does_not_count(site: Federated) -> None:
    site.bound()
    browser = site.browser()
    location = site.begun(browser)
    back = site.at_provider(location)
    site.clock.ahead += PROVIDER_LIFE
    assert site.come_back(browser, back) == 401


def test_another_page_cannot_begin_a_sign_in(site: Federated) -> None:
    foreign = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    answer = site.browser().post("/v1/session/provider/home", json={}, headers=foreign)
    assert answer.status_code == 403


def test_a_provider_that_is_not_who_it_should_be_or_not_there_is_not_asked(site: Federated) -> None:
    browser = site.browser()
    site.line.described = {"issuer": "https://evil.example"}
    assert browser.post("/v1/session/provider/home", json={}).status_code == 503
    site.line.described = {"authorization_endpoint": "http://evil.example/authorize"}
    assert browser.post("/v1/session/provider/home", json={}).status_code == 503
    site.app = site.application(replace(site.provider, issuer="http://127.0.0.1:9"))
    assert site.browser().post("/v1/session/provider/home", json={}).status_code == 503
    assert site.browser().post("/v1/session/provider/nobody", json={}).status_code == 404


SETTINGS = """[[provider]]
name = "home"
title = "Home"
state = "SI"
issuer = "https://id.example"
client_id = "evidence"
client_secret_file = "home.secret"
acr = ["high"]
"""


def test_providers_are_named_in_a_file_and_their_secret_in_another(tmp_path: Path) -> None:
    file = tmp_path / "providers.toml"
    file.write_text(SETTINGS)
    (tmp_path / "home.secret").write_text("s3cret\n")
    (found,) = providers_of(file)
    assert (found.secret, found.state, found.acr) == ("s3cret", ALFA, ("high",))
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("https://id.example", "http://id.example"),
        ("https://id.example", "https://user@id.example"),
        ('acr = ["high"]', ""),
        ('state = "SI"', ""),
        ('state = "SI"', 'state = "Slovenia"'),
        ("home.secret", "missing.secret"),
        ('title = "Home"', 'client_secret = "in the open"'),
        ('name = "home"', 'name = "../home"'),
        ("[[provider]]", "[provider]"),
        ("[[provider]]", "[[provider"),
    ],
)
def test_settings_that_are_not_whole_let_nothing_start(
    tmp_path: Path, before: str, after: str
) -> None:
    file = tmp_path / "providers.toml"
    file.write_text(SETTINGS.replace(before, after, 1))
    (tmp_path / "home.secret").write_text("s3cret")
    with pytest.raises(SettingsError):
        providers_of(file)
