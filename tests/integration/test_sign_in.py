"""Officers sign in by passkey: enrolled by two, bound to the site, for as long as a session lasts."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.serving import application, signing_in
from api.signin import SignIn
from api.tokens import SCOPES, make_token
from api.uploading import Uploading
from evidence_store.cooperation.registry import OfficerRole
from evidence_store.errors import OutOfOrderError
from evidence_store.identifiers import AuthorityId
from ingest.extraction.supervisor import Extractor
from tests.cooperation import Whole, World
from tests.doors import instance_at
from tests.softkey import PRESENT, SoftKey

ORIGIN = "https://evidence.example"
OWN = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}


class Site:
    """The application as browsers see it."""

    def __init__(self, home: Path, extractor: Extractor) -> None:
        self.instance = instance_at(home)
        self.world = World(Whole(self.instance), vault=self.instance.vault)
        uploading = Uploading(self.instance, self.instance.uploads, extractor)
        self.app = application(self.instance, uploading, ORIGIN)
        self.rules: SignIn = signing_in(self.instance)

    def browser(self) -> TestClient:
        return TestClient(self.app, base_url=ORIGIN, headers=OWN, raise_server_exceptions=False)

    def link(self, name: str) -> str:
        """A one-time link's token, issued by one officer of the registry and confirmed by another."""
        people = self.world.people
        made, token = self.rules.issue(people["registrar"], people[name])
        self.rules.confirm(people["second"], made.id)
        return token

    def enrolled(self, name: str, key: SoftKey | None = None) -> SoftKey:
        key = key or SoftKey(ORIGIN, "evidence.example")
        browser, token = self.browser(), self.link(name)
        options = browser.post("/v1/enrol/options", json={"token": token}).json()["passkey"]
        answer = {"token": token, "credential": key.create(options), "name": "key"}
        assert browser.post("/v1/enrol", json=answer).status_code == 201
        return key

    def signed_in(self, key: SoftKey) -> TestClient:
        browser = self.browser()
        options = browser.post("/v1/session/passkey/options", json={}).json()
        answer = browser.post("/v1/session/passkey", json={"credential": key.get(options)})
        assert answer.status_code == 200, answer.text
        return browser


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Extractor(workers=1) as extractor:
        made = Site(tmp_path / "home", extractor)
        with closing(made.instance):
            yield made


def test_an_officer_enrols_and_signs_in_and_acts_by_the_session(site: Site) -> None:
    ern = str(site.world.item())
    browser = site.signed_in(site.enrolled("prosecutor"))
    me = browser.get("/v1/session").json()
    assert me["officer"] == str(site.world.people["prosecutor"])
    assert browser.get(f"/v1/items/{ern}").json()["ern"] == ern
    (cookie,) = browser.cookies.jar
    assert cookie.name.startswith("__Host-")
    assert cookie.secure
    assert cookie.has_nonstandard_attr("HttpOnly")


def test_who_issues_a_link_does_not_confirm_it(site: Site) -> None:
    people = site.world.people
    made, token = site.rules.issue(people["registrar"], people["prosecutor"])
    with pytest.raises(OutOfOrderError):
        site.rules.confirm(people["registrar"], made.id)
    with pytest.raises(OutOfOrderError):
        site.rules.issue(people["prosecutor"], people["b-central"])
    # Unconfirmed it opens nothing.
    assert site.browser().post("/v1/enrol/options", json={"token": token}).status_code == 401


def test_a_link_is_used_once_and_recovery_ends_what_was_there(site: Site) -> None:
    first = site.enrolled("prosecutor")
    browser = site.signed_in(first)
    token = site.link("prosecutor")
    second = SoftKey(ORIGIN, "evidence.example")
    options = browser.post("/v1/enrol/options", json={"token": token}).json()["passkey"]
    answer = {"token": token, "credential": second.create(options), "name": "new"}
    assert browser.post("/v1/enrol", json=answer).status_code == 201
    assert browser.post("/v1/enrol", json=answer).status_code in {400, 401}
    assert browser.get("/v1/session").status_code == 401
    other = site.browser()
    options = other.post("/v1/session/passkey/options", json={}).json()
    lost = other.post("/v1/session/passkey", json={"credential": first.get(options)})
    assert lost.status_code == 401
    site.signed_in(second)


def _enrolled_by(site: Site, token: str, browser: TestClient | None = None) -> int:
    browser = browser or site.browser()
    options = browser.post("/v1/enrol/options", json={"token": token})
    if options.status_code != 200:
        return options.status_code
    made = SoftKey(ORIGIN, "evidence.example").create(options.json()["passkey"])
    answer = {"token": token, "credential": made, "name": "key"}
    return browser.post("/v1/enrol", json=answer).status_code


def test_a_link_that_was_lost_opens_nothing_after_the_recovery(site: Site) -> None:
    lost, used = site.link("prosecutor"), site.link("prosecutor")
    assert _enrolled_by(site, used) == 201
    mine = site.instance.accounts.passkeys(site.world.people["prosecutor"])
    assert _enrolled_by(site, lost) == 401
    assert site.instance.accounts.passkeys(site.world.people["prosecutor"]) == mine


def test_recovery_ends_the_officers_tokens(site: Site) -> None:
    officer = site.world.people["prosecutor"]
    now, life = site.instance.clock.now(), timedelta(days=366)
    _, text = make_token(site.instance.doors, officer, "laptop", SCOPES, now, life)
    program = TestClient(site.app, base_url=ORIGIN, headers={"Authorization": f"Bearer {text}"})
    assert program.get("/v1/items").status_code == 200
    site.enrolled("prosecutor")
    assert program.get("/v1/items").status_code == 401


def test_officers_of_the_registry_see_for_whom_a_link_is_and_cancel_it(site: Site) -> None:
    first, second = (site.signed_in(site.enrolled(each)) for each in ("registrar", "second"))
    officer = str(site.world.people["prosecutor"])
    made = first.post("/v1/enrolments", json={"officer": officer}).json()
    (shown,) = second.get("/v1/enrolments").json()["enrolments"]
    assert (shown["id"], shown["officer"], shown["confirmed_by"]) == (made["id"], officer, None)
    assert "token" not in shown
    stranger = site.signed_in(site.enrolled("central"))
    assert stranger.get("/v1/enrolments").status_code == 409
    assert stranger.delete(f"/v1/enrolments/{made['id']}").status_code == 409
    assert second.post(f"/v1/enrolments/{made['id']}/confirmation").status_code == 200
    assert first.delete(f"/v1/enrolments/{made['id']}").status_code == 204
    assert first.delete(f"/v1/enrolments/{made['id']}").status_code == 404
    assert first.get("/v1/enrolments").json()["enrolments"] == []
    assert _enrolled_by(site, made["token"]) == 401


def test_who_administers_an_officer_ends_their_sessions_and_tokens(site: Site) -> None:
    officer = site.world.people["prosecutor"]
    thief = site.signed_in(site.enrolled("prosecutor"))
    now, life = site.instance.clock.now(), timedelta(days=366)
    _, text = make_token(site.instance.doors, officer, "laptop", SCOPES, now, life)
    program = TestClient(site.app, base_url=ORIGIN, headers={"Authorization": f"Bearer {text}"})
    registrar = site.signed_in(site.enrolled("registrar"))
    ended = registrar.delete(f"/v1/officers/{officer}/sessions")
    assert (ended.status_code, ended.json()) == (200, {"ended": 1})
    assert thief.get("/v1/session").status_code == 401
    assert program.get("/v1/items").status_code == 200
    assert registrar.delete(f"/v1/officers/{officer}/tokens").json() == {"ended": 1}
    assert program.get("/v1/items").status_code == 401
    assert registrar.delete("/v1/officers/OFF-9999/tokens").status_code == 404
    site.world.hire("b-registry", AuthorityId("bravo-central"), OfficerRole.REGISTRY)
    theirs = site.signed_in(site.enrolled("b-registry"))
    assert theirs.delete(f"/v1/officers/{officer}/sessions").status_code == 403
    own = site.world.people["b-central"]
    assert theirs.delete(f"/v1/officers/{own}/sessions").json() == {"ended": 0}


@pytest.mark.parametrize("length", [16, 48, 255])
def test_a_passkey_that_is_not_there_is_as_long_as_those_that_are(site: Site, length: int) -> None:
    for name in ("prosecutor", "central"):
        site.enrolled(name, SoftKey(ORIGIN, "evidence.example", identifier=os.urandom(length)))

    def offered(officer: str) -> str:
        options = site.browser().post("/v1/session/passkey/options", json={"officer": officer})
        (one,) = options.json()["allowCredentials"]
        return str(one["id"])

    real = offered(str(site.world.people["prosecutor"]))
    for officer in ("OFF-9990", "OFF-9991", "OFF-9992"):
        assert len(offered(officer)) == len(real)
        assert offered(officer) == offered(officer)


def _elsewhere(key: SoftKey) -> SoftKey:
    return replace(key, origin="https://evil.example")


def _of_another_site(key: SoftKey) -> SoftKey:
    return replace(key, rp_id="evil.example")


def _unverified(key: SoftKey) -> SoftKey:
    return replace(key, flags=PRESENT)


def _cloned(key: SoftKey) -> SoftKey:
    return replace(key, count=0)


def _another(key: SoftKey) -> SoftKey:
    return SoftKey(ORIGIN, "evidence.example", identifier=key.identifier)


@pytest.mark.parametrize("wrong", [_elsewhere, _of_another_site, _unverified, _cloned, _another])
def test_what_is_not_this_key_at_this_site_is_refused(
    site: Site, wrong: Callable[[SoftKey], SoftKey]
) -> None:
    key = site.enrolled("prosecutor")
    for _ in range(2):
        site.signed_in(key)
    browser = site.browser()
    options = browser.post("/v1/session/passkey/options", json={}).json()
    answer = browser.post("/v1/session/passkey", json={"credential": wrong(key).get(options)})
    assert answer.status_code == 401
    assert browser.get("/v1/session").status_code == 401


def test_an_answer_counts_once(site: Site) -> None:
    key = site.enrolled("prosecutor")
    browser = site.browser()
    options = browser.post("/v1/session/passkey/options", json={}).json()
    answer = {"credential": key.get(options)}
    assert browser.post("/v1/session/passkey", json=answer).status_code == 200
    assert site.browser().post("/v1/session/passkey", json=answer).status_code == 401


def test_a_stolen_cookie_is_worth_nothing_after_signing_out(site: Site) -> None:
    browser = site.signed_in(site.enrolled("prosecutor"))
    (cookie,) = browser.cookies.jar
    thief = site.browser()
    thief.cookies.set(cookie.name, str(cookie.value))
    assert thief.get("/v1/session").status_code == 200
    assert browser.delete("/v1/session").status_code == 204
    assert thief.get("/v1/session").status_code == 401


def test_signing_in_gives_a_new_token_whatever_was_there_before(site: Site) -> None:
    key = site.enrolled("prosecutor")
    browser = site.signed_in(key)
    (before,) = (each.value for each in browser.cookies.jar)
    options = browser.post("/v1/session/passkey/options", json={}).json()
    browser.post("/v1/session/passkey", json={"credential": key.get(options)})
    (after,) = (each.value for each in browser.cookies.jar)
    assert before != after
    fixed = site.browser()
    fixed.cookies.set("__Host-session", str(before))
    assert fixed.get("/v1/session").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "", "Origin": "https://evil.example"},
    ],
)
def test_another_sites_page_changes_nothing(site: Site, headers: dict[str, str]) -> None:
    browser = site.signed_in(site.enrolled("prosecutor"))
    body = {"document": site.world.document(site.world.item())}
    assert browser.post("/v1/grants", json=body, headers=headers).status_code == 403
    assert browser.post("/v1/grants", json=body).status_code == 201


def test_sessions_are_listed_and_ended_by_their_officer_alone(site: Site) -> None:
    key = site.enrolled("prosecutor")
    here, there = site.signed_in(key), site.signed_in(key)
    listed = here.get("/v1/sessions").json()["sessions"]
    assert len(listed) == 2
    other = next(each["id"] for each in listed if not each["current"])
    stranger = site.signed_in(site.enrolled("central"))
    assert stranger.delete(f"/v1/sessions/{other}").status_code == 404
    assert here.delete(f"/v1/sessions/{other}").status_code == 204
    assert there.get("/v1/session").status_code == 401
    assert here.get("/v1/session").status_code == 200


def test_nothing_that_opens_anything_is_stored(site: Site) -> None:
    token = site.link("prosecutor")
    browser = site.signed_in(site.enrolled("central"))
    (cookie,) = (str(each.value) for each in browser.cookies.jar)
    content = b"".join(each.read_bytes() for each in site.instance.home.glob("catalog.db*"))
    assert token.encode() not in content
    assert cookie.encode() not in content


def test_every_route_of_sign_in_is_known(site: Site) -> None:
    document: dict[str, Any] = site.browser().get("/v1/openapi.json").json()
    names = {
        operation["operationId"]
        for path in document["paths"].values()
        for operation in path.values()
        if "sign-in" in operation["tags"]
    }
    signed_in = {"who_am_i", "sign_out", "list_sessions", "end_sessions", "end_session"}
    signed_in |= {"issue_enrolment", "confirm_enrolment", "list_enrolments", "cancel_enrolment"}
    signed_in |= {"end_sessions_of", "end_tokens_of"}
    signed_in |= {"make_a_token", "list_my_tokens", "end_a_token"}
    open_to_all = {"ask_passkey", "sign_in_by_passkey", "sign_in_by_password"}
    open_to_all |= {"list_providers", "begin_at_provider", "come_back_from_provider"}
    open_to_all |= {"ask_enrolment", "enrol_passkey", "enrol_password"}
    assert names == signed_in | open_to_all
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if operation["operationId"] in signed_in:
                concrete = re.sub(r"{\w+}", "x", path)
                body = {"officer": "OFF-0001"} if method == "post" else None
                answer = site.browser().request(method, concrete, json=body)
                assert answer.status_code == 401, path
