"""An answer of an officer's passkey (WebAuthn level 3), and the check that needs nothing but it.

Pure: no store, no clock, no network, and only `cryptography` besides the standard library. What an
answer does not say is whose the passkey was: that is for whoever put it beside the officer's code.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.hashes import SHA256

from evidence_store.errors import ProofError
from evidence_store.ledger.signing import verify_ed25519

FIELDS = ("credential_id", "public_key", "authenticator_data", "client_data", "signature")
FIELD_CHARACTERS_MAX = 16_384
DIGEST_BYTES = 32
COORDINATE_BYTES = 32
_HEAD_BYTES = 37  # of the authenticator data: SHA-256 of the RP's id, flags, count
_PRESENT, _VERIFIED, _ATTESTED, _EXTENDED = 0x01, 0x04, 0x40, 0x80
# COSE keys (RFC 9053) in CTAP2's canonical encoding: what stands before each coordinate.
_ES256, _ES256_Y = bytes.fromhex("a5010203262001215820"), bytes.fromhex("225820")
_EDDSA = bytes.fromhex("a4010103272006215820")


def check_assertion(
    record: Mapping[str, object], challenge: bytes, rp_id: str, origin: str
) -> None:
    """Insist that the record is a passkey's answer to this challenge, by a verified user.

    1. Every field is there, in base64url without padding, in its one spelling.
    2. The client data are of `webauthn.get`, for this challenge and origin, in the serialisation
       of WebAuthn, section 5.8.1.1; the page was not embedded in another site's.
    3. The authenticator data are for this RP id; the user was present and verified.
    4. The signature holds, over authenticator data and SHA-256 of the client data.

    Raises:
        ProofError: if any of it does not hold.
    """
    found = {name: _field(record, name) for name in FIELDS}
    client = client_data(found["client_data"], "webauthn.get")
    if len(challenge) != DIGEST_BYTES or client.challenge != challenge:
        raise ProofError("passkey: it was not given to this act")
    if client.origin != origin:
        raise ProofError(f"passkey: expected an answer given at {origin}")
    _insist_serialised(found["client_data"], client)
    _insist_verified(found["authenticator_data"], rp_id)
    signed = found["authenticator_data"] + hashlib.sha256(found["client_data"]).digest()
    try:
        public_key(found["public_key"]).verify(found["signature"], signed)
    except (InvalidSignature, ValueError, ProofError):
        raise ProofError("passkey: the signature does not hold") from None


@dataclass(frozen=True, slots=True)
class ClientData:
    """What the browser says about the ceremony."""

    challenge: bytes
    origin: str


def client_data(text: bytes, ceremony: str) -> ClientData:
    """Read the client data of a ceremony (`webauthn.create` or `webauthn.get`).

    Raises:
        ProofError: if they are none, of another ceremony, or of a page within another site's.
    """
    try:
        found = json.loads(text.decode(), object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise ProofError("passkey: expected client data in JSON") from None
    if not isinstance(found, dict) or found.get("type") != ceremony:
        raise ProofError(f"passkey: expected client data of {ceremony}")
    challenge, origin = found.get("challenge"), found.get("origin")
    if not isinstance(challenge, str) or not isinstance(origin, str):
        raise ProofError("passkey: expected client data with challenge and origin")
    if found.get("crossOrigin", False) is not False or "topOrigin" in found:
        raise ProofError("passkey: the page was within another site's")
    return ClientData(from_base64url(challenge), origin)


@dataclass(frozen=True, slots=True)
class Es256:
    """A public key for ECDSA over P-256 with SHA-256."""

    key: EllipticCurvePublicKey

    def verify(self, signature: bytes, message: bytes) -> None:
        """Insist that it signed the message.

        Raises:
            InvalidSignature: if it did not.
        """
        self.key.verify(signature, message, ECDSA(SHA256()))


@dataclass(frozen=True, slots=True)
class EdDsa:
    """A public key for Ed25519."""

    key: bytes

    def verify(self, signature: bytes, message: bytes) -> None:
        """Insist that it signed the message.

        Raises:
            ProofError: if it did not.
        """
        verify_ed25519(self.key, signature, message)


def public_key(cose: bytes) -> Es256 | EdDsa:
    """Read a COSE key for ES256 or EdDSA.

    In CTAP2's canonical encoding, which authenticators must use, it is one prefix and 32 bytes
    for each coordinate: no reader of CBOR is needed, here or in any other verifier.

    Raises:
        ProofError: if it is neither, or anything is otherwise.
    """
    if cose.startswith(_EDDSA) and len(cose) == len(_EDDSA) + COORDINATE_BYTES:
        return EdDsa(cose[len(_EDDSA) :])
    x, rest = cose[len(_ES256) :][:COORDINATE_BYTES], cose[len(_ES256) + COORDINATE_BYTES :]
    y = rest[len(_ES256_Y) :]
    if cose != _ES256 + x + _ES256_Y + y or len(y) != COORDINATE_BYTES:
        raise ProofError("passkey: expected a public key for ES256 or EdDSA")
    point = int.from_bytes(x, "big"), int.from_bytes(y, "big")
    try:
        return Es256(EllipticCurvePublicNumbers(*point, SECP256R1()).public_key())
    except ValueError:
        raise ProofError("passkey: the public key is no point of its curve") from None


def to_base64url(value: bytes) -> str:
    """Base64url without padding (RFC 4648, section 5), as WebAuthn spells bytes."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """The inverse of `to_base64url`.

    Raises:
        ProofError: on anything that it would not have written.
    """
    try:
        value = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise ProofError("passkey: expected base64url without padding") from None
    if to_base64url(value) != text:
        raise ProofError("passkey: expected base64url in its one spelling")
    return value


def _field(record: Mapping[str, object], name: str) -> bytes:
    text = record.get(name)
    if not isinstance(text, str) or not 0 < len(text) <= FIELD_CHARACTERS_MAX:
        raise ProofError(f"passkey: expected an answer with {name}")
    return from_base64url(text)


def _insist_serialised(text: bytes, client: ClientData) -> None:
    """Insist on the one beginning that a verifier without a JSON reader looks for (5.8.1.2)."""
    said = to_base64url(client.challenge)
    head = f'{{"type":"webauthn.get","challenge":"{said}","origin":"{client.origin}"'.encode()
    rest = text.removeprefix(head)
    if rest == text or not rest.startswith(
        (b"}", b',"crossOrigin":false}', b',"crossOrigin":false,')
    ):
        raise ProofError("passkey: expected client data in the serialisation of WebAuthn")


def _insist_verified(authenticator: bytes, rp_id: str) -> None:
    """Insist on this RP id, presence and verification; what an assertion may not have, it has not."""
    if len(authenticator) < _HEAD_BYTES:
        raise ProofError("passkey: the authenticator data are too short")
    flags = authenticator[32]
    if authenticator[:32] != hashlib.sha256(rp_id.encode()).digest():
        raise ProofError(f"passkey: expected an answer given to {rp_id}")
    if not flags & _PRESENT or not flags & _VERIFIED:
        raise ProofError("passkey: the authenticator did not verify who used it")
    if flags & _ATTESTED or (len(authenticator) > _HEAD_BYTES) != bool(flags & _EXTENDED):
        raise ProofError("passkey: the authenticator data hold what they may not")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found
