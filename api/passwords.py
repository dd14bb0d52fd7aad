"""The fallback where passkeys are impossible: argon2id and one-time codes (RFC 9106, RFC 6238).

It is the weaker way, because what an officer types can be typed into the wrong page. Keeps nothing
but how many are being computed now.
"""

import base64
import hmac
import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from evidence_store.errors import MalformedError, RateError
from evidence_store.identifiers import PersonCode
from evidence_store.ports import Randomness

CHARACTERS_MIN, CHARACTERS_MAX = 12, 1024
SECRET_BYTES = 20  # RFC 4226, section 4: recommended
STEP_SECONDS = 30
STEPS_ASIDE = 1  # RFC 6238, section 5.2: for a clock that is a little off
CODE_DIGITS = 6
# Each takes 64 MiB while it is computed: strangers must not be able to order any number of them.
AT_ONCE_MAX = 4
WAIT_SECONDS = 10.0


class Passwords:
    """Derives and judges. `seal` and `unseal` guard the secrets of the codes. Safe in threads."""

    def __init__(
        self,
        seal: Callable[[bytes], bytes],
        unseal: Callable[[bytes], bytes],
        random: Randomness,
        hasher: PasswordHasher | None = None,
    ) -> None:
        self.seal, self.unseal, self._random = seal, unseal, random
        self._hasher = hasher or PasswordHasher()
        self._places = threading.BoundedSemaphore(AT_ONCE_MAX)
        # Of nobody's password: judging it takes as long as judging an officer's.
        self._decoy = self._hasher.hash(random(32))

    def derive(self, password: str) -> str:
        """Argon2id's text of a new password.

        Raises:
            MalformedError: if it is too short, or longer than anybody types.
            RateError: if too many are being computed.
        """
        if not CHARACTERS_MIN <= len(password) <= CHARACTERS_MAX:
            raise MalformedError(
                f"password: expected {CHARACTERS_MIN} to {CHARACTERS_MAX} characters"
            )
        with self._place():
            return self._hasher.hash(_spelled(password))

    def holds(self, password: str, text: str | None) -> bool:
        """Whether it is the password; never, and after as long, where there is none.

        Raises:
            RateError: if too many are being computed.
        """
        with self._place():
            try:
                # Shortened and not refused: it must not be seen from outside which was judged.
                self._hasher.verify(text or self._decoy, _spelled(password[:CHARACTERS_MAX]))
            except (Argon2Error, InvalidHashError):
                return False
        return text is not None

    def new_secret(self) -> bytes:
        """A secret for one-time codes."""
        return self._random(SECRET_BYTES)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(timeout=WAIT_SECONDS):
            raise RateError("sign-in: too many passwords are being judged; try again")
        try:
            yield
        finally:
            self._places.release()


def step_of(secret: bytes, code: str, now: datetime, after: int | None = None) -> int | None:
    """The time-step that a code is of; None if it is none of these minutes', or not after `after`."""
    if len(code) != CODE_DIGITS or not (code.isascii() and code.isdigit()):
        return None
    codes = _codes(secret)
    current = int(now.timestamp()) // STEP_SECONDS
    found = None
    for step in range(current - STEPS_ASIDE, current + STEPS_ASIDE + 1):
        if hmac.compare_digest(codes.generate_otp(step), code) and (after is None or step > after):
            found = step
    return found


def secret_text(secret: bytes) -> str:
    """A secret as it is typed into an application for codes."""
    return base64.b32encode(secret).decode()


def secret_uri(secret: bytes, officer: PersonCode, site: str) -> str:
    """A secret as such applications read it from a picture."""
    return _codes(secret).provisioning_uri(name=str(officer), issuer_name=site)


def _codes(secret: bytes) -> pyotp.TOTP:
    return pyotp.TOTP(secret_text(secret), digits=CODE_DIGITS, interval=STEP_SECONDS)


def _spelled(password: str) -> bytes:
    """One spelling for what looks alike: keyboards differ in how they compose a letter."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
