"""Personal access tokens: `evr_pat_` and 37 random characters with a checksum. Shown once.

The checksum lets a scanner, and a person who mistyped, know one at sight. What is kept is the
SHA-256: with 220 random bits there is nothing to guess.
"""

import hashlib
import secrets
import string
import zlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from evidence_store.cooperation.registry import OfficerRole
from evidence_store.doors import DoorStore, Token, TokenReader
from evidence_store.errors import MalformedError
from evidence_store.identifiers import PersonCode
from evidence_store.wording import stated

PREFIX = "evr_pat_"
RANDOM_CHARACTERS, CHECK_CHARACTERS = 37, 6
LIFE_MAX = timedelta(days=366)
SCOPES = (
    "read",
    "upload",
    "request",
    "grant",
    "transfer",
    "custody",
    "registry",
    "access",
    "sign",
    "webhook",
)
# The scopes that only some roles have a use for. The use cases insist on roles all the same.
ROLES_OF: Mapping[str, frozenset[OfficerRole]] = {
    "registry": frozenset({OfficerRole.REGISTRY}),
}
_ALPHABET = string.digits + string.ascii_letters


def make_token(
    doors: DoorStore,
    officer: PersonCode,
    name: str,
    scopes: Sequence[str],
    now: datetime,
    life: timedelta,
) -> tuple[Token, str]:
    """A new token, and its text, which is never to be had again.

    Raises:
        MalformedError: if a scope is not known, or it is to live too long.
    """
    if not scopes or set(scopes) - set(SCOPES):
        raise MalformedError(f"token: expected scopes among {', '.join(SCOPES)}")
    if not timedelta() < life <= LIFE_MAX:
        raise MalformedError(f"token: expected a life of at most {LIFE_MAX.days} days")
    body = "".join(secrets.choice(_ALPHABET) for _ in range(RANDOM_CHARACTERS))
    text = PREFIX + body + _checksum(body)
    token = Token(
        id=secrets.token_hex(8),
        digest=digest_of(text),
        officer=officer,
        name=stated(name, "token: name"),
        scopes=frozenset(scopes),
        created_at=now,
        expires_at=now + life,
    )
    doors.add_token(token)
    return token, text


def reach_of(roles: Collection[OfficerRole]) -> frozenset[str]:
    """The scopes of whoever holds these roles; none of whoever holds no role any more."""
    if not roles:
        return frozenset()
    held = frozenset(roles)
    return frozenset(each for each in SCOPES if ROLES_OF.get(each, held) & held)


def digest_of(text: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()


def is_token(text: str) -> bool:
    """Whether a text is spelled as a token, its checksum included."""
    body = text.removeprefix(PREFIX)
    whole = RANDOM_CHARACTERS + CHECK_CHARACTERS
    return (
        text.startswith(PREFIX)
        and len(body) == whole
        and body.isascii()
        and body[RANDOM_CHARACTERS:] == _checksum(body[:RANDOM_CHARACTERS])
    )


def found_token(tokens: TokenReader, text: str, now: datetime) -> Token | None:
    """The token that counts now; None for all that do not, whatever the reason."""
    if not is_token(text):
        return None
    token = tokens.token(digest_of(text))
    if token is None or token.ended_at is not None or token.expires_at <= now:
        return None
    return token


def _checksum(body: str) -> str:
    number, found = zlib.crc32(body.encode()), ""
    for _ in range(CHECK_CHARACTERS):
        number, rest = divmod(number, len(_ALPHABET))
        found = _ALPHABET[rest] + found
    return found
