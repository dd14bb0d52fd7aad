"""Requests between instances: signed by an authority's key (RFC 9421, Ed25519), judged by the log's.

The signature covers method, target and the content's digest (RFC 9530); it says when it was made,
until when it counts and which single use it is for. Who may see what is for the routes.
"""

import base64
import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    InvalidSignature,
    VerifyResult,
    algorithms,
)
from http_sf.compat import InnerList

from evidence_store.doors import DoorStore
from evidence_store.dossiers import Chains
from evidence_store.errors import MalformedError, NotFoundError, UnauthenticatedError
from evidence_store.identifiers import BLINDING, ROOT, KeyId
from evidence_store.ledger.control import ControlEntry
from evidence_store.ports import CatalogReader, Clock
from evidence_store.registering import Registry

TAG = "evidence-peer-v1"
LABEL = "evidence"
COVERED = ("@method", "@target-uri", "content-digest")
LIFE_MAX = timedelta(seconds=300)
SKEW = timedelta(seconds=5)
NONCE_CHARACTERS_MIN, NONCE_CHARACTERS_MAX = 22, 128  # 128 bits in base64url
REFUSED = (
    "peer: expected a request signed with a registered key of an authority (RFC 9421): over "
    '"@method", "@target-uri" and "content-digest", created, expires within 300 s, a fresh nonce'
)


@dataclass(slots=True)
class Message:
    """A request, as it is signed: the method, the whole address, the headers."""

    method: str
    url: str
    headers: Any = field(default_factory=dict)


# -------------------------------------------------------------------- the sender


def signed_headers(
    method: str,
    url: str,
    sha256: bytes,
    kid: KeyId,
    sign: Callable[[KeyId, bytes], bytes],
    now: datetime,
) -> dict[str, str]:
    """The headers that make a request a peer's; `sha256` is its body's digest, also of none.

    Raises:
        MalformedError: if the address is none.
        KeyUnavailableError: as `sign`.
    """
    digest = base64.b64encode(sha256).decode()
    headers = {"Content-Digest": f"sha-256=:{digest}:"}
    message = Message(method, url, headers)
    signer = HTTPMessageSigner(signature_algorithm=algorithms.ED25519)
    try:
        prepared = signer.prepare(
            message,
            key_id=str(kid),
            created=now,
            expires=now + LIFE_MAX,
            nonce=secrets.token_urlsafe(16),
            label=LABEL,
            tag=TAG,
            covered_component_ids=COVERED,
            use_existing_digest=True,
        )
        signer.apply(message, prepared, sign(kid, prepared.signature_base))
    except HTTPMessageSignaturesException as error:
        raise MalformedError(f"peer: the request cannot be signed: {error}") from None
    return headers


# ------------------------------------------------------------------ the receiver


def verified(
    message: Message, body: bytes | None, reader: CatalogReader, chains: Chains, clock: Clock
) -> tuple[KeyId, "Use"]:
    """By which authority's key a request is signed, and the one use that it is good for.

    The use is for the caller to insist on, outside of the reader's transaction. Without `body`, its
    digest is for the caller to compare with `Content-Digest`, which is signed.

    Raises:
        UnauthenticatedError: for every reason the same.
    """
    now = clock.now()
    verifier = _Verifier(
        signature_algorithm=algorithms.ED25519, key_resolver=_Registered(reader, chains, now)
    )
    verifier.now = now
    try:
        (found,) = verifier.verify(
            message, max_age=None, expect_tag=TAG, require_components=COVERED, body=body
        )
        kid = KeyId.parse(str(found.parameters["keyid"]))
        return kid, _use(found, kid)
    except (HTTPMessageSignaturesException, MalformedError, KeyError, ValueError):
        raise UnauthenticatedError(REFUSED) from None


@dataclass(frozen=True, slots=True)
class Use:
    """A nonce of a key's, until the request is over."""

    digest: bytes
    until: datetime

    def insist_first(self, doors: DoorStore, now: datetime) -> None:
        """Insist that it was not used before; it is with this.

        Raises:
            UnauthenticatedError: if it was.
        """
        if not doors.use_nonce(self.digest, now, self.until):
            raise UnauthenticatedError(REFUSED)


def _use(found: VerifyResult, kid: KeyId) -> Use:
    nonce = found.nonce or ""
    if not NONCE_CHARACTERS_MIN <= len(nonce) <= NONCE_CHARACTERS_MAX:
        raise MalformedError("nonce: expected 128 random bits")
    until = datetime.fromtimestamp(int(found.parameters["expires"]), tz=UTC) + SKEW
    return Use(hashlib.sha256(f"{kid}\n{nonce}".encode()).digest(), until)


class _Verifier(HTTPMessageVerifier):
    """The library's verifier, on our clock, with a life that is stated and short."""

    now: datetime

    def validate_created_and_expires(self, sig_input: InnerList, max_age: object = None) -> None:
        """Insist that it counts now.

        Raises:
            InvalidSignature: if not, or a time is missing.
        """
        del max_age
        created, expires = (sig_input.params.get(name) for name in ("created", "expires"))
        if type(created) is not int or type(expires) is not int:
            raise InvalidSignature("expected created and expires")
        now = self.now.timestamp()
        if not 0 < expires - created <= LIFE_MAX.total_seconds():
            raise InvalidSignature("expected a life of at most 300 s")
        if not created - SKEW.total_seconds() <= now < expires:
            raise InvalidSignature("it does not count now")


class _Registered(HTTPSignatureKeyResolver):
    """Keys that the log has registered, of authorities that the registry knows; not revoked ones."""

    def __init__(self, reader: CatalogReader, chains: Chains, now: datetime) -> None:
        self._reader, self._chains, self._now = reader, chains, now

    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey | None:
        """The key; None for all that do not count."""
        kid, ledger = KeyId.parse(key_id), self._reader.ledger
        if kid.authority in {ROOT, BLINDING}:
            return None
        try:
            entry = Registry(self._reader, self._chains).authority(kid.authority)
        except NotFoundError:
            return None
        if entry.state != kid.state or not entry.roles_at(self._now):
            return None
        size = ledger.size()
        for found in ledger.controls("revocation"):
            if found.kid == kid and ControlEntry.parse(found.entry).from_index <= size:
                return None
        for found in ledger.keys_of(kid.authority):
            if found.kid == kid and found.public is not None:
                return Ed25519PublicKey.from_public_bytes(found.public)
        return None

    def resolve_private_key(self, key_id: str) -> NoReturn:
        """There is none here.

        Raises:
            KeyError: always.
        """
        raise KeyError(key_id)
