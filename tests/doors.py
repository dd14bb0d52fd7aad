"""The application over a governed instance: three States, tokens for their officers, and a client."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from api import wiring
from api.serving import application
from api.tokens import SCOPES, make_token
from api.uploading import Uploading
from api.wiring import Instance
from evidence_store.identifiers import StateCode
from ingest.extraction.supervisor import Extractor
from tests.cooperation import Whole, World

ORIGIN = "https://evidence.example"


@dataclass
class Doors:
    """The application, and who calls."""

    world: World[Whole]
    uploading: Uploading
    client: TestClient
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def instance(self) -> Instance:
        return self.world.ledger.instance

    def token(self, name: str, *scopes: str, life: timedelta = timedelta(days=1)) -> str:
        now = self.instance.clock.now()
        person = self.world.people[name]
        _, text = make_token(self.instance.doors, person, "test", scopes or SCOPES, now, life)
        return text

    def __call__(self, name: str | None, method: str, path: str, **more: Any) -> Response:
        """A request by an officer, or by nobody."""
        headers = dict(more.pop("headers", {}))
        if name is not None:
            known = self.tokens.get(name) or self.token(name)
            self.tokens[name] = known
            headers["Authorization"] = f"Bearer {known}"
            headers.setdefault("If-Match", "*")
        return self.client.request(method, path, headers=headers, **more)


def instance_at(home: Path, *, tokens_sign: bool = False) -> Instance:
    """A new instance, open; where tokens sign, they may do what officers must sign by hand."""
    wiring.create_instance(home, StateCode("SI"), "Prosecutor", None)
    if tokens_sign:
        (home / "settings.toml").write_text("tokens_sign_for_officers = true\n")
    return wiring.open_instance(home, lambda: b"")


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[Doors]:
    home = tmp_path / "home"
    with (
        closing(instance_at(home, tokens_sign=True)) as instance,
        Extractor(workers=1) as extractor,
    ):
        world = World(Whole(instance), vault=instance.vault)
        uploading = Uploading(instance, instance.uploads, extractor)
        app = application(instance, uploading, ORIGIN)
        with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
            yield Doors(world, uploading, client)
