"""Signing in by its routes, as a browser does."""

import pyotp
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response

from api.http import problems
from api.http.oidc import Federation
from api.http.signin import signin_routes
from api.oidc import fetched
from storage.catalog.doors import SqlDoorStore
from tests.houses import NOBODY, ORIGIN, OWN, PASSWORD, RP_ID, House
from tests.softkey import SoftKey


class Browser:
    """A browser at the application's own pages."""

    def __init__(self, house: House, *, secure: bool) -> None:
        app = FastAPI()
        problems.install(app)
        doors = SqlDoorStore(house.world.catalog.engine)
        clock = house.world.ledger.clock
        app.include_router(
            signin_routes(
                house.signin, doors, clock, Federation(ORIGIN, (), fetched), secure=secure
            )
        )
        base = ORIGIN if secure else "http://localhost"
        self.client = TestClient(app, base_url=base, headers=OWN, raise_server_exceptions=False)
        self.cookie = "__Host-session" if secure else "session"

    def post(self, path: str, **body: object) -> Response:
        return self.client.post(f"/v1{path}", json=body)

    def sign_in(self, key: SoftKey) -> Response:
        options = self.post("/session/passkey/options").json()
        return self.post("/session/passkey", credential=key.get(options))

    @property
    def cookies(self) -> dict[str, str]:
        return dict(self.client.cookies)


@pytest.fixture(params=[True, False], ids=["secure", "plain"])
def browser(house: House, request: pytest.FixtureRequest) -> Browser:
    return Browser(house, secure=request.param)


class TestRoutes:
    def test_an_officer_is_let_in_by_two_and_signs_in_and_out(self, house: House) -> None:
        registrar, second, mine = (Browser(house, secure=True) for _ in range(3))
        registrar.sign_in(house.enrolled("registrar"))
        second.sign_in(house.enrolled("second"))
        officer = str(house.who("prosecutor"))
        made = registrar.post("/enrolments", officer=officer)
        assert made.status_code == 201
        name, token = made.json()["id"], made.json()["token"]
        assert mine.post("/enrol/options", token=token).status_code == 401
        assert registrar.post(f"/enrolments/{name}/confirmation").status_code == 409
        assert second.post(f"/enrolments/{name}/confirmation").json()["issued_by"] == str(
            house.who("registrar")
        )
        assert second.post(f"/enrolments/{name}/confirmation").status_code == 409
        key = SoftKey(ORIGIN, RP_ID)
        options = mine.post("/enrol/options", token=token).json()
        answer = mine.post(
            "/enrol", token=token, credential=key.create(options["passkey"]), name="blue"
        )
        assert (answer.status_code, answer.json()["officer"]) == (201, officer)
        me = mine.sign_in(key)
        assert me.json() == mine.client.get("/v1/session").json()
        assert (me.json()["officer"], me.json()["method"]) == (officer, "passkey")
        assert me.json()["authority"] == str(house.world.home)
        assert me.headers["cache-control"] == "no-store"
        assert mine.client.delete("/v1/session").status_code == 204
        assert mine.cookies == {}
        assert mine.client.get("/v1/session").status_code == 401

    def test_the_cookie_is_for_this_host_and_no_script(self, house: House) -> None:
        key = house.enrolled()
        header = Browser(house, secure=True).sign_in(key).headers["set-cookie"]
        name, _, rest = header.partition("=")
        words = {each.strip().lower() for each in rest.split(";")}
        assert name == "__Host-session"
        assert {"secure", "httponly", "samesite=lax", "path=/"} <= words
        assert not any(each.startswith("domain") for each in words)
        header = Browser(house, secure=False).sign_in(key).headers["set-cookie"]
        assert header.startswith("session=")
        assert "secure" not in header.lower()

    def test_a_stolen_token_is_worth_nothing_after_signing_out(
        self, house: House, browser: Browser
    ) -> None:
        browser.sign_in(house.enrolled())
        thief = Browser(house, secure=browser.cookie == "__Host-session")
        thief.client.cookies.update(browser.cookies)
        assert thief.client.get("/v1/session").status_code == 200
        browser.client.delete("/v1/session")
        assert thief.client.get("/v1/session").status_code == 401

    def test_a_token_that_was_there_before_is_not_the_session(
        self, house: House, browser: Browser
    ) -> None:
        key = house.enrolled()
        name = browser.cookie
        browser.client.cookies.set(name, "x" * 43)
        browser.sign_in(key)
        first = _last(browser, name)
        assert first != "x" * 43
        browser.sign_in(key)
        second = _last(browser, name)
        assert second != first
        assert house.signin.session(first) is None
        assert house.signin.session(second) is not None

    def test_the_fallback_by_its_routes(self, house: House, browser: Browser) -> None:
        token, officer = house.link(), str(house.who("prosecutor"))
        codes = browser.post("/enrol/options", token=token).json()["totp"]
        shown = pyotp.TOTP(codes["secret"])
        made = browser.post(
            "/enrol/password",
            token=token,
            password=PASSWORD,
            challenge=codes["challenge"],
            code=house.code(shown),
        )
        assert (made.status_code, made.json()["officer"]) == (201, officer)
        house.world.go_on(seconds=60)
        answer = {"officer": officer, "password": PASSWORD, "code": house.code(shown)}
        me = browser.post("/session/password", **answer)
        assert (me.status_code, me.json()["method"]) == (200, "password")
        again = browser.post("/session/password", **answer)
        unknown = browser.post("/session/password", **{**answer, "officer": str(NOBODY)})
        assert again.status_code == unknown.status_code == 401
        assert again.json() == unknown.json()
        assert PASSWORD not in again.text

    def test_sessions_are_listed_and_ended(self, house: House, browser: Browser) -> None:
        key = house.enrolled()
        browser.sign_in(key)
        _, token = house.entered(key)
        listed = browser.client.get("/v1/sessions").json()["sessions"]
        (other,) = [each["id"] for each in listed if not each["current"]]
        assert browser.client.delete("/v1/sessions/nothing").status_code == 404
        assert browser.client.delete(f"/v1/sessions/{other}").status_code == 204
        assert house.signin.session(token) is None
        assert browser.client.delete("/v1/sessions").status_code == 204
        assert browser.client.get("/v1/sessions").status_code == 401

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/session"),
            ("DELETE", "/session"),
            ("GET", "/sessions"),
            ("DELETE", "/sessions"),
            ("DELETE", "/sessions/x"),
            ("POST", "/enrolments"),
            ("POST", "/enrolments/x/confirmation"),
        ],
    )
    def test_nobody_is_nobody(self, browser: Browser, method: str, path: str) -> None:
        body = {"officer": "OFF-0001"} if method == "POST" else None
        assert browser.client.request(method, f"/v1{path}", json=body).status_code == 401

    @pytest.mark.parametrize(
        "headers",
        [
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "none"},
        ],
    )
    def test_another_sites_page_signs_nobody_in_or_out(
        self, house: House, browser: Browser, headers: dict[str, str]
    ) -> None:
        key = house.enrolled()
        browser.sign_in(key)
        body = {"credential": key.get(house.signin.passkey_options())}
        answer = browser.client.post("/v1/session/passkey", json=body, headers=headers)
        assert answer.status_code == 403
        assert browser.client.delete("/v1/session", headers=headers).status_code == 403
        assert browser.client.get("/v1/session").status_code == 200

    def test_a_token_in_an_address_is_not_read(self, house: House, browser: Browser) -> None:
        token = house.link()
        answer = browser.client.post(f"/v1/enrol/options?token={token}", json={})
        assert answer.status_code == 422
        assert token not in answer.text


def _last(browser: Browser, name: str) -> str:
    return [str(each.value) for each in browser.client.cookies.jar if each.name == name][-1]
