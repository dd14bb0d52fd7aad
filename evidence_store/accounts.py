"""How officers get in: accounts, passkeys, one-time enrolments, sessions, challenges.

None of it is evidence, and none of it says who is an officer: that is the registry's. Tokens and
challenges are never kept, only their SHA-256; what guards a password is for `api`.
`tests/contract` holds every `AccountStore` to what is promised here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from evidence_store.digest import SIZE_BYTES
from evidence_store.errors import MalformedError
from evidence_store.identifiers import PersonCode


class Method(StrEnum):
    """By what an officer signed in. A password is the weaker one, and policy may refuse it."""

    PASSKEY = "passkey"
    PASSWORD = "password"  # noqa: S105 - a word, not one of them
    OIDC = "oidc"  # the State's own identity provider, as strong as its settings insist on


class Purpose(StrEnum):
    """What a challenge is answered for."""

    SIGN_IN = "sign-in"
    ENROL = "enrol"
    TOTP = "totp"
    CONSENT = "consent"
    OIDC = "oidc"


@dataclass(frozen=True, slots=True)
class Account:
    """An officer's way in. `password` is argon2id's text; `totp` is the sealed secret."""

    officer: PersonCode
    created_at: datetime
    password: str | None = field(default=None, repr=False)
    totp: bytes | None = field(default=None, repr=False)
    totp_step: int | None = None
    """The last time-step whose code was accepted: it and those before it never are again."""
    failed: int = 0
    locked_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Passkey:
    """A passkey. `credential` is base64url without padding, `public_key` a COSE key."""

    credential: str
    officer: PersonCode
    public_key: bytes = field(repr=False)
    sign_count: int
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Password:
    """The fallback: argon2id's text, and the secret of the one-time codes, sealed."""

    officer: PersonCode
    text: str = field(repr=False)
    totp: bytes = field(repr=False)
    totp_step: int
    """The step of the code that showed that the officer has the secret."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a State's identity provider says somebody is, by the digest of issuer and subject."""

    digest: bytes = field(repr=False)
    officer: PersonCode
    issuer: str

    def __post_init__(self) -> None:
        _insist_digest(self.digest)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A one-time link, by the digest of its token: who is let in, and which two officers said so."""

    digest: bytes = field(repr=False)
    officer: PersonCode
    issued_by: PersonCode
    expires_at: datetime
    confirmed_by: PersonCode | None = None
    used_at: datetime | None = None
    """When it was used up, or ended by another link or by an officer of the registry."""

    def __post_init__(self) -> None:
        _insist_digest(self.digest)

    @property
    def id(self) -> str:
        """What it is called by: whoever knows this has not got the token."""
        return self.digest.hex()

    def counts_at(self, now: datetime) -> bool:
        """Whether its token opens anything then."""
        return self.confirmed_by is not None and self.used_at is None and now < self.expires_at


@dataclass(frozen=True, slots=True)
class Session:
    """A session, by the digest of its token. `id` is what its owner calls it by."""

    digest: bytes = field(repr=False)
    id: str
    officer: PersonCode
    method: Method
    agent: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None

    def __post_init__(self) -> None:
        _insist_digest(self.digest)


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge that is to be answered once, by its digest. `content` is what it was made over."""

    digest: bytes = field(repr=False)
    purpose: Purpose
    officer: PersonCode | None
    content: str
    expires_at: datetime

    def __post_init__(self) -> None:
        _insist_digest(self.digest)


class AccountStore(Protocol):
    """Each call is a transaction of its own: durable when it returns, nothing when it raises.

    What returns a `bool` compares and changes in one step, so that of two callers at once only
    one is told True. Raises, all of them: CatalogBusyError, NoSpaceError; and FixityError, if an
    entry was altered so that it spells nothing.
    """

    def account(self, officer: PersonCode) -> Account | None:
        """An officer's account."""
        ...

    def begin_attempt(
        self, officer: PersonCode, now: datetime, *, most: int, until: datetime
    ) -> Account | None:
        """Count an attempt before it is judged, and give the account; None if there is none to try.

        The attempt that makes `most` locks the account until `until` and begins a new count, so
        no number of attempts at once is more than that many. A locked account is not given.
        """
        ...

    def settle_attempt(self, officer: PersonCode, totp_step: int) -> bool:
        """Forget the attempts and the lock; False if a step as late was accepted before."""
        ...

    def passkey(self, credential: str) -> Passkey | None:
        """The passkey of this credential."""
        ...

    def passkeys(self, officer: PersonCode) -> Sequence[Passkey]:
        """An officer's passkeys."""
        ...

    def identity(self, digest: bytes) -> Identity | None:
        """Whose identity this is."""
        ...

    def count_use(self, credential: str, sign_count: int) -> bool:
        """Keep the count of a use; False if it is not above the last, unless both are 0.

        An authenticator that does not count says 0 always (WebAuthn, section 6.1.1).
        """
        ...

    def passkey_behind(self, credential: str) -> Passkey | None:
        """The first passkey in the order of credentials from this one on; None if there is none."""
        ...

    def add_enrolment(self, enrolment: Enrolment, now: datetime) -> None:
        """Enter an enrolment; every other open one of its officer's is ended in the same transaction.

        Otherwise a link that was lost would let its finder in after the recovery.
        """
        ...

    def enrolment(self, digest: bytes) -> Enrolment | None:
        """The enrolment of this digest."""
        ...

    def open_enrolments(self, now: datetime, *, limit: int) -> Sequence[Enrolment]:
        """Those that are neither used nor over, confirmed or not, by when they are over."""
        ...

    def end_enrolment(self, digest: bytes, now: datetime) -> bool:
        """End one that is open; False if there is no such."""
        ...

    def confirm_enrolment(self, digest: bytes, by: PersonCode, now: datetime) -> bool:
        """Confirm it; False if it is confirmed, used or over, or `by` issued it."""
        ...

    def enrol(self, digest: bytes, way: Passkey | Password | Identity, now: datetime) -> bool:
        """Use an enrolment up and make `way` its officer's only way in; False if it does not count.

        In the same transaction: the passkeys, password, identity and lock of before are gone, and
        every session, token and other open enrolment of the officer's is ended.

        Raises:
            ConflictError: if the passkey or the identity is another officer's.
        """
        ...

    def begin_session(self, session: Session) -> None:
        """Enter a session. The officer's sessions that are over by then may be forgotten."""
        ...

    def session(self, digest: bytes) -> Session | None:
        """The session of this digest, whether it counts or not."""
        ...

    def sessions(self, officer: PersonCode) -> Sequence[Session]:
        """An officer's sessions."""
        ...

    def see_session(self, digest: bytes, now: datetime) -> None:
        """Note that a session was used."""
        ...

    def end_session(self, officer: PersonCode, session_id: str, now: datetime) -> bool:
        """End a session of an officer's; False if there is no such that has not ended."""
        ...

    def end_sessions(self, officer: PersonCode, now: datetime) -> int:
        """End all sessions of an officer's; how many."""
        ...

    def add_challenge(self, challenge: Challenge, now: datetime) -> None:
        """Enter a challenge, in the place of an earlier one of the same digest.

        Others that are over by `now` may be forgotten: they do not pile up for ever.
        """
        ...

    def take_challenge(self, digest: bytes) -> Challenge | None:
        """The challenge of this digest, which is gone with that: nobody is given it twice."""
        ...


def _insist_digest(digest: bytes) -> None:
    if len(digest) != SIZE_BYTES:
        raise MalformedError(f"digest: expected {SIZE_BYTES} bytes, found {len(digest)}")
