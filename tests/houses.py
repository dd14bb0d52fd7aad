"""A house whose officers sign in: its accounts, its rules and the time, for the tests of signing in."""

import hashlib
from typing import Any

import pyotp
from argon2 import PasswordHasher

from api.passkeys import Site
from api.passwords import Passwords
from api.signin import SignIn
from evidence_store.accounts import Session
from evidence_store.identifiers import PersonCode
from storage.catalog import SqlCatalog
from storage.catalog.accounts import SqlAccountStore
from storage.ledger.files import TileMemory
from tests.cooperation import World
from tests.ledgers import Ledger
from tests.softkey import SoftKey
from tests.vaults import Chance

RP_ID, ORIGIN = "evidence.example", "https://evidence.example"
PASSWORD = "correct horse battery"  # noqa: S105 - a test's
NOBODY = PersonCode.parse("OFF-9999")
ACT = hashlib.sha256(b"an act").digest()
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
OWN = {"Sec-Fetch-Site": "same-origin"}


def sealed(content: bytes) -> bytes:
    return bytes(each ^ 0x5A for each in content)


class House:
    """An instance's sign-in, its officers, and the time."""

    def __init__(self, catalog: SqlCatalog) -> None:
        self.world = World(Ledger(catalog, TileMemory()))
        self.accounts = SqlAccountStore(catalog.engine)
        self.passwords = Passwords(sealed, sealed, Chance(), CHEAP)
        self.signin = self.rules(self.passwords)

    def rules(self, passwords: Passwords | None) -> SignIn:
        chance = Chance(10**6 if passwords is None else 0)
        site = Site(RP_ID, ORIGIN, "Evidence")
        clock = self.world.ledger.clock
        return SignIn(self.accounts, self.world.catalog, clock, chance, site, passwords=passwords)

    def who(self, name: str) -> PersonCode:
        return self.world.people[name]

    def link(self, name: str = "prosecutor") -> str:
        made, token = self.signin.issue(self.who("registrar"), self.who(name))
        self.signin.confirm(self.who("second"), made.id)
        return token

    def enrolled(self, name: str = "prosecutor", **more: Any) -> SoftKey:  # noqa: ANN401 - any field
        key = SoftKey(ORIGIN, RP_ID, **more)
        token = self.link(name)
        options, _ = self.signin.enrol_options(token)
        self.signin.enrol_passkey(token, key.create(options), "blue key")
        return key

    def entered(self, key: SoftKey) -> tuple[Session, str]:
        return self.signin.by_passkey(key.get(self.signin.passkey_options()), "browser")

    def asked(self, officer: PersonCode, digest: bytes = ACT) -> dict[str, Any]:
        """What a browser is asked so that the officer signs the digest with their only passkey."""
        return self.signin.challenge_for(officer, digest, self.signin.passkey_of(officer))

    def signed(self, officer: PersonCode, answer: dict[str, Any]) -> dict[str, str]:
        """The record of what the officer signed: the act."""
        digest, _, record = self.signin.verify_consent(officer, answer)
        assert digest == ACT
        return record

    def with_password(self, name: str = "prosecutor") -> pyotp.TOTP:
        token = self.link(name)
        _, codes = self.signin.enrol_options(token)
        assert codes is not None
        shown = pyotp.TOTP(codes.secret)
        self.signin.enrol_password(token, PASSWORD, codes.challenge, self.code(shown))
        self.world.go_on(seconds=60)
        return shown

    def code(self, shown: pyotp.TOTP) -> str:
        return shown.at(self.world.ledger.clock.at)

    def by_password(self, code: str, password: str = PASSWORD, name: str = "prosecutor") -> Session:
        found, _ = self.signin.by_password(self.who(name), password, code, "browser")
        return found
