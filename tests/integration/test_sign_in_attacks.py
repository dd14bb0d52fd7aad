"""What an attacker tries at sign-in, and gets: the fallback, tokens, cookies, rates."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyotp
import pytest
from fastapi.testclient import TestClient

from api.http.rates import Rate
from api.http.signin import TRIES_MAX
from api.serving import Ways, application, signing_in
from api.signin import ATTEMPTS_MAX, LOCKED, SignIn
from api.uploading import Uploading
from evidence_store.cooperation.registry import OfficerEntry, OfficerRole, Validity
from evidence_store.errors import RateError
from evidence_store.identifiers import PersonCode
from evidence_store.moment import Moment
from ingest.extraction.supervisor import Extractor
from tests.cooperation import ALWAYS, Whole, World
from tests.doors import instance_at
from tests.integration.test_sign_in import ORIGIN, OWN, Site
from tests.softkey import SoftKey

PASSWORD = "a long and quiet sentence"  # noqa: S105 - of nobody
WRONG = "another long and quiet sentence"
COOKIE = "__Host-session"


@dataclass
class Hands:
    """A clock whose hands are moved."""

    ahead: timedelta = field(default_factory=timedelta)

    def now(self) -> datetime:
        return datetime.now(tz=UTC) + self.ahead


class Timed(Site):
    """A site with the fallback, and a clock whose hands are moved."""

    def __init__(self, home: Path, extractor: Extractor) -> None:
        self.clock = Hands()
        self.instance = replace(instance_at(home), clock=self.clock)
        self.world = World(Whole(self.instance), vault=self.instance.vault)
        uploading = Uploading(self.instance, self.instance.uploads, extractor)
        self.app = application(self.instance, uploading, ORIGIN, ways=Ways(passwords=True))
        self.rules = signing_in(self.instance)
        self.codes: dict[str, pyotp.TOTP] = {}

    def enrol_password(self, name: str, password: str = PASSWORD) -> None:
        browser, token = self.browser(), self.link(name)
        offered = browser.post("/v1/enrol/options", json={"token": token}).json()["totp"]
        self.codes[name] = pyotp.TOTP(offered["secret"])
        answer = browser.post(
            "/v1/enrol/password",
            json={
                "token": token,
                "password": password,
                "challenge": offered["challenge"],
                "code": self.code(name),
            },
        )
        assert answer.status_code == 201, answer.text
        assert answer.json()["method"] == "password"

    def code(self, name: str) -> str:
        """The code that is shown now."""
        return self.codes[name].at(self.clock.now())

    def go_on(self, **span: float) -> None:
        self.clock.ahead += timedelta(**span)

    def by_password(
        self, name: str, password: str = PASSWORD, code: str | None = None
    ) -> tuple[TestClient, int]:
        browser = self.browser()
        answer = browser.post(
            "/v1/session/password",
            json={
                "officer": str(self.world.people[name]),
                "password": password,
                "code": self.code(name) if code is None else code,
            },
        )
        return browser, answer.status_code


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Timed]:
    with Extractor(workers=1) as extractor:
        made = Timed(tmp_path / "home", extractor)
        with closing(made.instance):
            yield made


def test_the_fallback_lets_in_and_says_that_it_is_the_weaker_way(site: Timed) -> None:
    site.enrol_password("prosecutor")
    site.go_on(seconds=60)
    browser, status = site.by_password("prosecutor")
    assert status == 200
    assert browser.get("/v1/session").json()["method"] == "password"
    assert browser.get("/v1/sessions").json()["sessions"][0]["method"] == "password"


def test_a_code_counts_once(site: Timed) -> None:
    site.enrol_password("prosecutor")
    # Also the one that was shown at the enrolment.
    assert site.by_password("prosecutor")[1] == 401
    site.go_on(seconds=60)
    code = site.code("prosecutor")
    assert site.by_password("prosecutor", code=code)[1] == 200
    assert site.by_password("prosecutor", code=code)[1] == 401
    site.go_on(seconds=60)
    assert site.by_password("prosecutor")[1] == 200


def test_ten_wrong_passwords_lock_for_a_quarter_of_an_hour(site: Timed) -> None:
    site.enrol_password("prosecutor")
    site.go_on(seconds=60)
    for _ in range(ATTEMPTS_MAX):
        assert site.by_password("prosecutor", WRONG)[1] == 401
    assert site.by_password("prosecutor")[1] == 401
    site.go_on(seconds=LOCKED.total_seconds() - 60)
    assert site.by_password("prosecutor")[1] == 401
    site.go_on(seconds=120)
    assert site.by_password("prosecutor")[1] == 200


def test_a_wrong_code_counts_as_a_wrong_password(site: Timed) -> None:
    site.enrol_password("prosecutor")
    site.go_on(seconds=60)
    wrong = f"{(int(site.code('prosecutor')) + 1) % 10**6:06}"
    for _ in range(ATTEMPTS_MAX):
        assert site.by_password("prosecutor", code=wrong)[1] == 401
    assert site.by_password("prosecutor")[1] == 401


def test_who_has_no_account_is_refused_in_the_same_words(site: Timed) -> None:
    site.enrol_password("prosecutor")
    site.go_on(seconds=60)
    said = []
    for officer in (site.world.people["prosecutor"], site.world.people["central"], "OFF-9999"):
        asked = {"officer": str(officer), "password": WRONG, "code": "000000"}
        answer = site.browser().post("/v1/session/password", json=asked)
        said.append((answer.status_code, answer.json()["code"], answer.json()["detail"]))
    assert set(said) == {said[0]}
    assert said[0][0] == 401


def test_secrets_of_the_fallback_are_stored_sealed(site: Timed) -> None:
    site.enrol_password("prosecutor")
    secret = site.codes["prosecutor"]
    content = b"".join(each.read_bytes() for each in site.instance.home.glob("catalog.db*"))
    assert PASSWORD.encode() not in content
    assert secret.secret.encode() not in content
    assert secret.byte_secret() not in content
    account = site.instance.accounts.account(site.world.people["prosecutor"])
    assert account is not None
    assert account.totp is not None
    assert account.totp.startswith(b"age-encryption.org/v1\n")


def test_without_the_option_nobody_signs_in_by_password(tmp_path: Path) -> None:
    with Extractor(workers=1) as extractor:
        made = Site(tmp_path / "home", extractor)
        with closing(made.instance):
            browser, token = made.browser(), made.link("prosecutor")
            options = browser.post("/v1/enrol/options", json={"token": token}).json()
            assert options["totp"] is None
            asked = {"officer": "OFF-0001", "password": PASSWORD, "code": "000000"}
            assert browser.post("/v1/session/password", json=asked).status_code == 404


# ------------------------------------------------------------------------ tokens

ASKED: dict[str, Any] = {"name": "laptop", "scopes": ["read"], "days": 7}


def test_a_token_is_made_by_passkey_shown_once_and_ended(site: Timed) -> None:
    ern = str(site.world.item())
    browser = site.signed_in(site.enrolled("prosecutor"))
    made = browser.post("/v1/tokens", json=ASKED)
    assert made.status_code == 201
    text = made.json()["token"]
    bearer = {"Authorization": f"Bearer {text}"}
    program = TestClient(site.app, base_url=ORIGIN, headers=bearer)
    assert program.get(f"/v1/items/{ern}").status_code == 200
    document = {"document": site.world.document(ern)}
    assert program.post("/v1/grants", json=document).status_code == 403
    listed = browser.get("/v1/tokens")
    assert [each["id"] for each in listed.json()["tokens"]] == [made.json()["id"]]
    assert text not in listed.text
    stranger = site.signed_in(site.enrolled("central"))
    assert stranger.delete(f"/v1/tokens/{made.json()['id']}").status_code == 404
    assert program.get(f"/v1/items/{ern}").status_code == 200
    assert browser.delete(f"/v1/tokens/{made.json()['id']}").status_code == 204
    assert program.get(f"/v1/items/{ern}").status_code == 401


def test_a_token_is_over_in_time(site: Timed) -> None:
    browser = site.signed_in(site.enrolled("prosecutor"))
    text = browser.post("/v1/tokens", json=ASKED).json()["token"]
    bearer = {"Authorization": f"Bearer {text}"}
    program = TestClient(site.app, base_url=ORIGIN, headers=bearer)
    assert program.get("/v1/items").status_code == 200
    site.go_on(days=7, seconds=1)
    assert program.get("/v1/items").status_code == 401


def test_neither_a_token_nor_a_weaker_session_makes_a_token(site: Timed) -> None:
    browser = site.signed_in(site.enrolled("prosecutor"))
    text = browser.post("/v1/tokens", json={**ASKED, "scopes": ["read", "sign"]}).json()["token"]
    bearer = {**OWN, "Authorization": f"Bearer {text}"}
    program = TestClient(site.app, base_url=ORIGIN, headers=bearer)
    for method, path, body in (
        ("POST", "/v1/tokens", ASKED),
        ("GET", "/v1/tokens", None),
        ("GET", "/v1/sessions", None),
        ("DELETE", "/v1/tokens/x", None),
    ):
        assert program.request(method, path, json=body).status_code == 401
    site.enrol_password("central")
    site.go_on(seconds=60)
    weaker, _ = site.by_password("central")
    assert weaker.post("/v1/tokens", json=ASKED).status_code == 403
    assert weaker.get("/v1/tokens").json() == {"tokens": []}


def test_a_token_has_no_scope_that_its_officer_has_no_role_for(site: Timed) -> None:
    browser = site.signed_in(site.enrolled("prosecutor"))
    beyond = browser.post("/v1/tokens", json={**ASKED, "scopes": ["read", "registry"]})
    assert beyond.status_code == 403
    unknown = browser.post("/v1/tokens", json={**ASKED, "scopes": ["all"]})
    assert unknown.status_code == 400


def test_a_token_and_a_session_lose_what_their_officer_loses(site: Timed) -> None:
    browser = site.signed_in(site.enrolled("prosecutor"))
    text = browser.post("/v1/tokens", json=ASKED).json()["token"]
    bearer = {"Authorization": f"Bearer {text}"}
    program = TestClient(site.app, base_url=ORIGIN, headers=bearer)
    assert program.get("/v1/items").status_code == 200
    ended = Validity(Moment.parse("2020Z"), Moment.parse("2021Z"))
    code = site.world.people["prosecutor"]
    roles = dict.fromkeys([OfficerRole.PROSECUTOR], ended)
    site.world.enter(OfficerEntry(code, "prosecutor", site.world.home, roles))
    assert program.get("/v1/items").status_code == 401
    assert browser.get("/v1/items").status_code == 401


def test_a_registrar_who_is_one_no_more_changes_nothing_by_an_earlier_token(site: Timed) -> None:
    browser = site.signed_in(site.enrolled("registrar"))
    asked = {**ASKED, "scopes": ["read", "registry"]}
    text = browser.post("/v1/tokens", json=asked).json()["token"]
    bearer = {"Authorization": f"Bearer {text}"}
    program = TestClient(site.app, base_url=ORIGIN, headers=bearer)
    entry = {"entry": "state", "code": "XD", "name": "D", "kind": "state", "languages": ["en"]}
    assert program.post("/v1/registry", json={"entry": entry}).status_code == 201
    code = site.world.people["registrar"]
    site.world.hire("third", site.world.home, OfficerRole.REGISTRY)
    site.world.enter(
        OfficerEntry(code, "registrar", site.world.home, {OfficerRole.AUDITOR: ALWAYS})
    )
    assert program.post("/v1/registry", json={"entry": entry}).status_code == 403
    assert program.get("/v1/items").status_code == 200


# ----------------------------------------------------------------------- cookies


def test_a_cookie_that_was_set_before_sign_in_never_counts(site: Timed) -> None:
    key = site.enrolled("prosecutor")
    fixed = "A" * 43
    victim = site.browser()
    victim.cookies.set(COOKIE, fixed, domain="evidence.example")
    options = victim.post("/v1/session/passkey/options", json={}).json()
    answer = victim.post("/v1/session/passkey", json={"credential": key.get(options)})
    given = answer.cookies[COOKIE]
    assert given != fixed
    attacker = site.browser()
    attacker.cookies.set(COOKIE, fixed)
    assert attacker.get("/v1/session").status_code == 401
    attacker.cookies.set("session", given)  # nor under the name that a subdomain could set
    assert attacker.get("/v1/session").status_code == 401


def test_a_session_ends_idle_and_ends_at_last(site: Timed) -> None:
    key = site.enrolled("prosecutor")
    idle = site.signed_in(key)
    site.go_on(minutes=29)
    assert idle.get("/v1/session").status_code == 200
    site.go_on(minutes=31)
    assert idle.get("/v1/session").status_code == 401
    busy = site.signed_in(key)
    for _ in range(19):
        site.go_on(minutes=25)
        assert busy.get("/v1/session").status_code == 200
    site.go_on(minutes=25)
    assert busy.get("/v1/session").status_code == 401


def test_an_answer_to_an_old_challenge_does_not_count(site: Timed) -> None:
    key = site.enrolled("prosecutor")
    browser = site.browser()
    options = browser.post("/v1/session/passkey/options", json={}).json()
    site.go_on(minutes=6)
    answer = browser.post("/v1/session/passkey", json={"credential": key.get(options)})
    assert answer.status_code == 401


def test_an_assertion_for_an_act_does_not_sign_in(site: Timed) -> None:
    key = site.enrolled("prosecutor")
    officer = site.world.people["prosecutor"]
    options = site.rules.challenge_for(officer, bytes(32), site.rules.passkey_of(officer))
    answer = site.browser().post("/v1/session/passkey", json={"credential": key.get(options)})
    assert answer.status_code == 401


def test_who_has_no_passkey_seems_to_have_the_same_one_in_every_process(site: Timed) -> None:
    site.enrolled("prosecutor")
    site.enrol_password("central")
    others = [site.world.people["central"], PersonCode.parse("OFF-9999")]

    def offered(rules: SignIn, officer: PersonCode) -> object:
        return rules.passkey_options(officer)["allowCredentials"]

    again = signing_in(site.instance)
    assert offered(again, site.world.people["prosecutor"]) == offered(
        site.rules, site.world.people["prosecutor"]
    )
    for officer in others:
        assert offered(again, officer) == offered(site.rules, officer)
        assert len(offered(again, officer)) == 1  # type: ignore[arg-type] # a list


FOREIGN = [
    {"Sec-Fetch-Site": "cross-site", "Origin": ORIGIN},
    {"Sec-Fetch-Site": "same-site", "Origin": ORIGIN},
    {"Sec-Fetch-Site": "none", "Origin": ORIGIN},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://evidence.example"},
    {"Origin": "https://evidence.example:8443"},
    {"Origin": "https://evidence.example.evil.example"},
    {},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_no_page_of_anothers_changes_anything_or_signs_anybody_in(
    site: Timed, headers: dict[str, str]
) -> None:
    key = site.enrolled("prosecutor")
    browser = site.signed_in(key)
    foreign = TestClient(site.app, base_url=ORIGIN, headers=headers)
    foreign.cookies = browser.cookies
    body = {"document": site.world.document(site.world.item())}
    assert foreign.post("/v1/grants", json=body).status_code == 403
    assert foreign.post("/v1/tokens", json=ASKED).status_code == 403
    assert foreign.delete("/v1/session").status_code == 403
    options = browser.post("/v1/session/passkey/options", json={}).json()
    answer = foreign.post("/v1/session/passkey", json={"credential": key.get(options)})
    assert answer.status_code == 403
    # Without the header that browsers send today, the origin alone is enough.
    own = TestClient(site.app, base_url=ORIGIN, headers={"Origin": ORIGIN})
    own.cookies = browser.cookies
    assert own.post("/v1/grants", json=body).status_code == 201


def test_a_host_that_somebody_else_chose_is_not_the_applications_own(site: Timed) -> None:
    key = site.enrolled("prosecutor")
    evil = "https://evil.example"
    foreign = TestClient(site.app, base_url=evil, headers={"Origin": evil})
    options = foreign.post("/v1/session/passkey/options", json={})
    assert (options.status_code, options.json()["code"]) == (403, "E403")
    browser = site.signed_in(key)
    (cookie,) = browser.cookies.jar
    foreign.headers["Cookie"] = f"{cookie.name}={cookie.value}"
    body = {"document": site.world.document(site.world.item())}
    assert foreign.post("/v1/grants", json=body).status_code == 403


# ------------------------------------------------------------------------- rates


def test_a_network_that_tries_too_often_is_told_to_wait(site: Timed) -> None:
    key: SoftKey = site.enrolled("prosecutor")
    signed_in = site.signed_in(key)
    statuses = [
        site.browser().post("/v1/session/passkey/options", json={}).status_code
        for _ in range(TRIES_MAX)
    ]
    assert set(statuses) == {200, 429}
    waiting = site.browser().post("/v1/session/passkey/options", json={})
    assert waiting.status_code == 429
    assert int(waiting.headers["Retry-After"]) > 0
    # Whoever has signed in goes on.
    assert signed_in.get("/v1/session").status_code == 200


def test_a_rate_counts_each_network_by_itself_and_forgets() -> None:
    at = [0.0]
    rate = Rate(2, span_seconds=60, now=lambda: at[0])
    rate.take("192.0.2.1")
    rate.take("192.0.2.1")
    with pytest.raises(RateError):
        rate.take("192.0.2.1")
    rate.take("192.0.2.2")
    at[0] = 60
    rate.take("192.0.2.1")
