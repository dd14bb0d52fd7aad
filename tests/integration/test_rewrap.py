"""A new key, everything wrapped to it, the old one thrown away: and everything still opens."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pyotp
import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient

from api import ledger, rewrapping, webhooks, wiring
from api.delivering import Arriving, pieces_of
from api.passkeys import Site
from api.passwords import Passwords
from api.sealing import opened, sealed
from api.serving import application
from api.signin import SignIn
from api.uploading import Uploading
from api.wiring import Instance
from evidence_store import rewrap
from evidence_store.doors import Delivery
from evidence_store.errors import EvidenceError, KeyUnavailableError, UnavailableError
from evidence_store.identifiers import BLINDING, Ern, KeyId
from evidence_store.journal import read_journal
from evidence_store.rewrap import OBJECT, Rewrapped
from ingest.extraction.supervisor import Extractor
from storage.keys.identities import Identities
from tests.cooperation import ALFA, BRAVO_CENTRAL, Whole, World
from tests.doors import ORIGIN, Doors, instance_at
from tests.integration.test_uploads import Client

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PASSWORD = "correct horse battery"  # noqa: S105 - a test's
PACKAGE = b"a package of a peer's" * 10_000
KINDS = {
    "object",
    "signing key",
    "upload",
    "webhook",
    "one-time codes",
    "one-time codes that are being enrolled",
    "delivery",
}


@dataclass
class House:
    """An instance in which something of every kind is sealed, opened anew by each program."""

    home: Path
    extractor: Extractor
    ern: Ern | None = None
    upload: str = ""
    delivery: str = ""
    secret: str = ""
    codes: pyotp.TOTP | None = None
    offered: tuple[str, str, pyotp.TOTP] | None = None
    world: World[Whole] | None = None
    opened: list[Instance] = field(default_factory=list)

    def instance(self) -> Instance:
        """As a program that starts now has it."""
        found = wiring.open_instance(self.home, lambda: b"")
        self.opened.append(found)
        return found

    def doors(self, instance: Instance) -> Doors:
        uploading = Uploading(instance, instance.uploads, self.extractor)
        app = application(instance, uploading, ORIGIN)
        client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
        assert self.world is not None
        world = self.world
        world.ledger = Whole(instance)
        return Doors(world, uploading, client)

    def signin(self, instance: Instance) -> SignIn:
        seal = partial(sealed, instance.keyring, instance.random)
        passwords = Passwords(seal, partial(opened, instance.keyring), instance.random, CHEAP)
        return SignIn(
            instance.accounts,
            instance.catalog,
            instance.clock,
            instance.random,
            Site("evidence.example", ORIGIN, "Evidence"),
            passwords=passwords,
        )

    def fill(self) -> None:
        """Something of every kind."""
        with closing(instance_at(self.home, tokens_sign=True)) as instance:
            self.world = World(Whole(instance), vault=instance.vault)
            self.ern = self.world.item(b"the content")
            instance.signing.ensure(KeyId(ALFA, BLINDING, 1))
            self._enrol(self.signin(instance))
            client = Client(self.doors(instance))
            self.upload = client.create(10).headers["location"]
            assert client.patch(self.upload, 0, b"01234").status_code == 204
            body = {"url": "https://hooks.example/x", "events": ["grant.offered"]}
            answer = client.doors("central", "POST", "/v1/webhooks", json=body)
            assert answer.status_code == 201, answer.text
            self.secret = answer.json()["secret"]
            self.delivery = _delivered(instance)
            assert ledger.settle(instance) is None

    def _enrol(self, signin: SignIn) -> None:
        assert self.world is not None
        people = self.world.people
        for name in ("prosecutor", "central"):
            made, token = signin.issue(people["registrar"], people[name])
            signin.confirm(people["second"], made.id)
            _, codes = signin.enrol_options(token)
            assert codes is not None
            shown = pyotp.TOTP(codes.secret)
            if name == "prosecutor":
                signin.enrol_password(token, PASSWORD, codes.challenge, _code(shown, -1))
                self.codes = shown
            else:
                self.offered = (token, codes.challenge, shown)

    def rotate(self) -> None:
        self.instance().keyring.add_identity()

    def forget_the_old_key(self) -> None:
        path = self.instance().keyring.path
        found = Identities.parse(path.read_bytes())
        path.write_bytes(bytes(Identities(found.entries[:1])))

    def everything_opens(self) -> None:
        """Each by the product's own way to it."""
        instance = self.instance()
        instance.keyring.check()
        assert self.world is not None
        assert self.ern is not None
        assert self.codes is not None
        assert self.offered is not None
        with instance.catalog.read() as reader:
            (version,) = reader.versions(self.ern)
            stored = reader.sealed(version.object_name)
        assert b"".join(instance.vault.open(stored)) == b"the content"
        assert list(read_journal(instance.vault, instance.headers))
        delivery = instance.doors.delivery(self.delivery)
        assert delivery is not None
        assert b"".join(pieces_of(instance, delivery)) == PACKAGE
        (webhook,) = instance.work.webhooks(self.world.home)
        assert webhooks.secret_of(instance, webhook) == self.secret
        signin = self.signin(instance)
        officer = self.world.people["prosecutor"]
        signin.by_password(officer, PASSWORD, _code(self.codes, 0), "browser")
        token, challenge, shown = self.offered
        signin.enrol_password(token, PASSWORD, challenge, _code(shown, 0))
        client = Client(self.doors(instance))  # signs, too: an upload is taken in with an event
        assert client.patch(self.upload, 5, b"56789").status_code == 204
        found = client.outcome(self.upload)
        assert found["state"] == "done", found
        assert ledger.settle(instance) is None
        with instance.catalog.read() as reader:
            (version,) = reader.versions(Ern.parse(found["outcome"]["ern"]))
            stored = reader.sealed(version.object_name)
        assert b"".join(instance.vault.open(stored)) == b"0123456789"


def _code(shown: pyotp.TOTP, steps: int) -> str:
    return shown.at(datetime.now(tz=UTC) + steps * timedelta(seconds=30))


def _delivered(instance: Instance) -> str:
    arriving = Arriving(instance)
    arriving.put(PACKAGE)
    arriving.close()
    now = datetime.now(tz=UTC)
    row = Delivery(
        arriving.id, BRAVO_CENTRAL, arriving.sha256.hex(), len(PACKAGE), now, "", "", b""
    )
    instance.doors.add_delivery(row)
    return arriving.id


@pytest.fixture(scope="module")
def extractor() -> Iterator[Extractor]:
    with Extractor(workers=1) as found:
        yield found


@pytest.fixture
def house(tmp_path: Path, extractor: Extractor) -> Iterator[House]:
    made = House(tmp_path / "home", extractor)
    made.fill()
    yield made
    for each in made.opened:
        each.close()


def done(instance: Instance) -> list[Rewrapped]:
    found = list(rewrapping.rewrap(instance))
    assert [each.error for each in found] == [None] * len(found)
    return found


def test_what_is_sealed_opens_without_the_old_key(house: House) -> None:
    house.rotate()
    assert set(rewrapping.still_older(house.instance())) == KINDS
    assert {each.what for each in done(house.instance())} == KINDS
    instance = house.instance()
    assert rewrapping.still_older(instance, thorough=True) == {}
    assert done(instance) == []
    house.forget_the_old_key()
    house.everything_opens()


def test_without_rewrapping_the_old_key_is_still_needed(house: House) -> None:
    house.rotate()
    house.forget_the_old_key()
    with pytest.raises(KeyUnavailableError):
        house.everything_opens()
    errors = [each.error for each in rewrapping.rewrap(house.instance())]
    assert errors
    assert all(isinstance(each, KeyUnavailableError) for each in errors)


@pytest.mark.parametrize("batches", [1, 3, 8, 12])
def test_a_rotation_that_was_cut_short_goes_on(
    house: House, batches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch is one thing, and after so many the program is killed between two."""
    monkeypatch.setattr(rewrap, "BATCH_OBJECTS", 1)
    house.rotate()
    before = sum(rewrapping.still_older(house.instance()).values())
    cut = rewrapping.rewrap(house.instance())
    for _ in range(batches):
        next(cut)
    del cut
    left = sum(rewrapping.still_older(house.instance()).values())
    assert left <= before - batches + 1  # the last may be done and not yet told
    assert len(done(house.instance())) == left
    house.forget_the_old_key()
    house.everything_opens()


@pytest.mark.parametrize("at", ["fsync", "replace"])
def test_a_delivery_is_whole_whenever_its_rewrapping_is_killed(
    house: House, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.rotate()
    instance = house.instance()
    (kept,) = [each for each in rewrapping.kept(instance) if each.what == "delivery"]
    with monkeypatch.context() as patched:
        patched.setattr(*_failing(at))
        with pytest.raises(EvidenceError):
            list(rewrap.rewrap_kept(kept, instance.keyring))
    delivery = instance.doors.delivery(house.delivery)
    assert delivery is not None
    assert b"".join(pieces_of(instance, delivery)) == PACKAGE
    left = instance.home / "deliveries" / f".{house.delivery}.1.new"
    left.write_bytes(b"half of it")  # what a kill leaves, where an error would clear it away
    done(house.instance())
    assert not left.exists()
    house.forget_the_old_key()
    house.everything_opens()


def _failing(at: str) -> tuple[object, str, Callable[..., None]]:
    def fails(*_: object) -> None:
        raise OSError(5, "input/output error")

    return (os, "fsync", fails) if at == "fsync" else (Path, "replace", fails)


def test_what_was_altered_is_reported_and_left(house: House) -> None:
    house.rotate()
    path = next(iter((house.home / "deliveries").iterdir()))
    content = bytearray(path.read_bytes())
    content[60] ^= 1
    path.write_bytes(content)
    found = [each for each in rewrapping.rewrap(house.instance()) if each.error is not None]
    assert [(each.what, each.name) for each in found] == [("delivery", house.delivery)]
    assert path.read_bytes() == content
    assert rewrapping.still_older(house.instance(), thorough=True) == {"delivery": 1}


def test_headers_beside_the_catalog_are_looked_at_too(house: House) -> None:
    house.rotate()
    batches = {path: path.read_bytes() for path in (house.home / "headers").iterdir()}
    done(house.instance())
    for path, content in batches.items():  # as if it had been killed before them
        path.write_bytes(content)
    instance = house.instance()
    assert rewrapping.still_older(instance) == {}
    assert rewrapping.still_older(instance, thorough=True) == {"batch of headers": len(batches)}
    assert rewrapping.told({OBJECT: 1000, "upload": 2}) == "object: 1000 or more, upload: 2"
    done(instance)
    assert rewrapping.still_older(instance, thorough=True) == {}


def test_two_who_rewrap_at_once_lose_nothing(house: House) -> None:
    house.rotate()
    first, second = rewrapping.rewrap(house.instance()), rewrapping.rewrap(house.instance())
    for _ in zip(first, second, strict=False):
        pass
    done(house.instance())
    house.forget_the_old_key()
    house.everything_opens()


def test_a_key_that_another_program_is_changing_is_not_waited_for(house: House) -> None:
    from storage.keys import private_file  # noqa: PLC0415 - to hold its lock

    house.rotate()
    with (
        private_file.locked(house.home / "keys" / "signing" / "x"),
        pytest.raises(UnavailableError),
    ):
        done(house.instance())
