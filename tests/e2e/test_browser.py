"""Officers sign in with the passkeys of a real browser, which holds other sites off by itself, too."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, Error, Page, sync_playwright

from api.serving import signing_in
from tests.cooperation import Whole, World
from tests.doors import instance_at

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium; on Debian: apt-get install chromium"
)
QUIET = [
    "--no-sandbox",  # the tests may run as root, and open pages of their own server only
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
POST = """
const post = async (path, body) => {
  const answer = await fetch(path, {
    method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify(body)});
  return [answer.status, await answer.json()];
};
"""
ENROL = (
    "async (token) => {"
    + POST
    + """
  const [, options] = await post('/v1/enrol/options', {token});
  const wanted = PublicKeyCredential.parseCreationOptionsFromJSON(options.passkey);
  const made = await navigator.credentials.create({publicKey: wanted});
  return await post('/v1/enrol', {token, credential: made.toJSON(), name: 'this laptop'});
}"""
)
SIGN_IN = (
    "async () => {"
    + POST
    + """
  const [, options] = await post('/v1/session/passkey/options', {});
  const wanted = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  const answer = await navigator.credentials.get({publicKey: wanted});
  return await post('/v1/session/passkey', {credential: answer.toJSON()});
}"""
)
ASK = "async (path) => { const a = await fetch(path); return [a.status, await a.json()]; }"


@dataclass
class Site:
    """A server that officers' browsers see as `localhost`."""

    port: int
    officer: str
    link: str

    @property
    def origin(self) -> str:
        return f"http://localhost:{self.port}"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    home = tmp_path / "home"
    with closing(instance_at(home)) as instance:
        people = World(Whole(instance), vault=instance.vault).people
        rules = signing_in(instance)
        made, link = rules.issue(people["registrar"], people["prosecutor"])
        rules.confirm(people["second"], made.id)
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        found = Site(free.getsockname()[1], str(people["prosecutor"]), link)
    run = "import sys; from api.cli.main import main; sys.exit(main())"
    options = ["--home", str(home), "serve", "--port", str(found.port), "--origin", found.origin]
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", run, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
    )
    try:
        for _ in range(600):
            try:
                httpx2.get(f"http://127.0.0.1:{found.port}/ready", timeout=5)
                break
            except httpx2.TransportError:
                time.sleep(0.1)
        yield found
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield made
        made.close()


def page_of(browser: Browser, origin: str) -> Page:
    """A page of the site whose browser has a passkey authenticator; the page may run our script."""
    page = browser.new_context(bypass_csp=True).new_page()
    line = page.context.new_cdp_session(page)
    line.send("WebAuthn.enable")
    line.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    page.goto(f"{origin}/health")
    return page


def test_an_officer_enrols_signs_in_and_out_with_a_browsers_passkey(
    site: Site, browser: Browser
) -> None:
    page = page_of(browser, site.origin)
    status, enrolled = page.evaluate(ENROL, site.link)
    assert (status, enrolled["officer"]) == (201, site.officer)
    status, me = page.evaluate(SIGN_IN)
    assert (status, me["officer"]) == (200, site.officer)
    assert page.evaluate("document.cookie") == ""  # no script has the session
    _, sessions = page.evaluate(ASK, "/v1/sessions")
    assert [each["current"] for each in sessions["sessions"]] == [True]
    page.evaluate("async () => { await fetch('/v1/session', {method: 'DELETE'}); }")
    status, _ = page.evaluate(ASK, "/v1/session")
    assert status == 401


def test_a_page_of_another_site_does_nothing_in_an_officers_name(
    site: Site, browser: Browser
) -> None:
    page = page_of(browser, site.origin)
    page.evaluate(ENROL, site.link)
    page.evaluate(SIGN_IN)
    other = page.context.new_page()
    other.goto(f"http://127.0.0.1:{site.port}/health")
    asked: list[Any] = []
    other.on("response", lambda answer: asked.append(answer.status))
    other.evaluate(
        """async (origin) => {
          const body = new Blob(['{"officer": "OFF-0001"}'], {type: 'text/plain'});
          await fetch(origin + '/v1/enrolments', {method: 'POST', mode: 'no-cors',
            credentials: 'include', body}).catch(() => null);
        }""",
        site.origin,
    )
    assert all(status in {401, 403} for status in asked)
    assert asked
    assert (
        other.evaluate(
            "(path) => fetch(path, {credentials: 'include'}).then(() => 'read', () => 'held off')",
            f"{site.origin}/v1/session",
        )
        == "held off"
    )
    assert page.evaluate(ASK, "/v1/session")[0] == 200


def test_a_passkey_of_the_site_is_of_no_use_at_another(site: Site, browser: Browser) -> None:
    page = page_of(browser, site.origin)
    page.evaluate(ENROL, site.link)
    page.goto(f"http://127.0.0.1:{site.port}/health")
    with pytest.raises(Error):  # the browser refuses to ask the authenticator
        page.evaluate(SIGN_IN)
