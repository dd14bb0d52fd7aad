"""The application as officers with passkeys use it: enrolled, signed in, and signing by hand."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import blake3
import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from api.serving import application, signing_in
from api.uploading import Uploading
from api.wiring import Instance
from ingest.extraction.supervisor import Extractor
from tests.cooperation import Whole, World
from tests.doors import instance_at
from tests.softkey import SoftKey

ORIGIN, RP_ID = "https://evidence.example", "evidence.example"
OWN = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin", "If-Match": "*"}
CONTENT = b"content"
Answer = dict[str, Any]


@dataclass
class Hands:
    """The site, and who has signed in there with what."""

    world: World[Whole]
    app: Any
    keys: dict[str, SoftKey] = field(default_factory=dict)
    _browsers: dict[str, TestClient] = field(default_factory=dict)

    @property
    def instance(self) -> Instance:
        return self.world.ledger.instance

    def new_browser(self) -> TestClient:
        return TestClient(self.app, base_url=ORIGIN, headers=OWN, raise_server_exceptions=False)

    def browser(self, name: str) -> TestClient:
        """An officer's, signed in by a passkey that was enrolled for it."""
        if name not in self._browsers:
            self.keys[name] = self.enrolled(name)
            browser = self.new_browser()
            options = browser.post("/v1/session/passkey/options", json={}).json()
            credential = self.keys[name].get(options)
            assert (
                browser.post("/v1/session/passkey", json={"credential": credential}).status_code
                == 200
            )
            self._browsers[name] = browser
        return self._browsers[name]

    def enrolled(self, name: str) -> SoftKey:
        rules, people, key = signing_in(self.instance), self.world.people, SoftKey(ORIGIN, RP_ID)
        made, token = rules.issue(people["registrar"], people[name])
        rules.confirm(people["second"], made.id)
        browser = self.new_browser()
        options = browser.post("/v1/enrol/options", json={"token": token}).json()["passkey"]
        body = {"token": token, "credential": key.create(options), "name": "key"}
        assert browser.post("/v1/enrol", json=body).status_code == 201
        return key

    def asked(self, name: str, path: str, **step: object) -> Answer:
        """What an officer is to sign."""
        found = self.browser(name).post(f"{path}/steps/signing", json=step)
        assert found.status_code == 200, found.text
        made: Answer = found.json()
        return made

    def answered(self, name: str, path: str, asked: Answer, key: SoftKey | None = None) -> Response:
        """The step taken with a passkey's answer; by default the officer's own."""
        credential = (key or self.keys[name]).get(asked["passkey"])
        return self.sent(name, path, credential)

    def sent(self, name: str, path: str, credential: Answer) -> Response:
        return self.browser(name).post(f"{path}/steps/signed", json={"credential": credential})

    def signed(self, name: str, path: str, **step: object) -> Response:
        """A step that is asked for and answered."""
        return self.answered(name, path, self.asked(name, path, **step))

    def offered(self, *erns: str) -> str:
        """A transfer to Bravo's central authority that waits for it; its path."""
        body = {
            "items": list(erns) or [str(self.world.item(CONTENT))], "to": "bravo-central",
            "to_person": "B", "purpose": "analysis", "reference": "Kt 1", "valid_until": "2099Z",
        }  # fmt: skip
        made = self.browser("prosecutor").post("/v1/transfers", json=body)
        assert made.status_code == 201, made.text
        return f"/v1/transfers/{made.json()['transfer']}"

    def proposed(self) -> str:
        """A grant to Bravo that waits to be offered; its path."""
        document = self.world.document(self.world.item(CONTENT))
        made = self.browser("prosecutor").post("/v1/grants", json={"document": document})
        assert made.status_code == 201, made.text
        return f"/v1/grants/{made.json()['grant']}"


def arrived(ern: str) -> Answer:
    """A line of a receipt over the content."""
    digest = sha256(CONTENT).hexdigest()
    return {
        "ern": ern, "condition": "ok", "sha256": digest, "size_bytes": len(CONTENT),
        "blake3": blake3.blake3(CONTENT).hexdigest(),
    }  # fmt: skip


@pytest.fixture
def hands(tmp_path: Path) -> Iterator[Hands]:
    with (
        closing(instance_at(tmp_path / "home")) as instance,
        Extractor(workers=1) as extractor,
    ):
        uploading = Uploading(instance, instance.uploads, extractor)
        world = World(Whole(instance), vault=instance.vault)
        yield Hands(world, application(instance, uploading, ORIGIN))
