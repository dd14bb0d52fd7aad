"""An act signed by an officer's passkey, and the check of it that needs nothing but the record.

The challenge that the passkey answers is the act's SHA-256 and nothing else, so the signature is
over the act (WebAuthn level 3, section 7.2). Pure: no store, no clock, no network, and only
`cryptography` and `cbor2` besides the standard library. What the record does not say is whose the
passkey was: that is for whoever put the record beside the officer's code.
"""

import base64
import binascii
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from evidence_store.errors import ProofError

FIELDS = ("credential_id", "public_key", "authenticator_data", "client_data", "signature")
FIELD_CHARACTERS_MAX = 16_384
DIGEST_BYTES = 32
COORDINATE_BYTES = 32
_HEAD_BYTES = 37  # of the authenticator data: SHA-256 of the RP's id, flags, count
_PRESENT, _VERIFIED, _ATTESTED, _EXTENDED = 0x01, 0x04, 0x40, 0x80
# COSE (RFC 9053): the labels of a key, and the two kinds that are accepted.
_KTY, _ALG, _CRV, _X, _Y = 1, 3, -1, -2, -3
_ES256 = {_KTY: 2, _ALG: -7, _CRV: 1}
_EDDSA = {_KTY: 1, _ALG: -8, _CRV: 6}

Key = EllipticCurvePublicKey | Ed25519PublicKey


def check_consent(record: Mapping[str, object], digest: bytes, rp_id: str, origin: str) -> None:
    """Insist that the record is a passkey's signature over this digest, made by a verified user.

    1. Every field is there, in base64url without padding, in its one spelling.
    2. The client data are of `webauthn.get`; their challenge is the digest; their origin is this
       one; the page was not embedded in another site's.
    3. The authenticator data are for this RP id; the user was present and verified.
    4. The signature holds, over authenticator data and SHA-256 of the client data.

    Raises:
        ProofError: if any of it does not hold.
    """
    found = {name: _field(record, name) for name in FIELDS}
    client = client_data(found["client_data"], "webauthn.get")
    if len(digest) != DIGEST_BYTES or client.challenge != digest:
        raise ProofError("consent: it was not given to this act")
    if client.origin != origin:
        raise ProofError(f"consent: expected one given at {origin}")
    _insist_verified(found["authenticator_data"], rp_id)
    signed = found["authenticator_data"] + hashlib.sha256(found["client_data"]).digest()
    key = public_key(found["public_key"])
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(found["signature"], signed)
        else:
            key.verify(found["signature"], signed, ECDSA(SHA256()))
    except (InvalidSignature, ValueError):
        raise ProofError("consent: the signature does not hold") from None


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


def public_key(cose: bytes) -> Key:
    """Read a COSE key: ES256 over P-256, or EdDSA over Ed25519.

    Raises:
        ProofError: if it is neither, or anything follows it.
    """
    stream = io.BytesIO(cose)
    try:
        found = cbor2.CBORDecoder(stream).decode()
    except (cbor2.CBORError, ValueError, RecursionError):
        raise ProofError("passkey: expected a COSE key") from None
    if not isinstance(found, dict) or stream.tell() != len(cose):
        raise ProofError("passkey: expected a COSE key and nothing else")
    kind = {label: found.get(label) for label in (_KTY, _ALG, _CRV)}
    try:
        if kind == _ES256:
            x, y = _coordinate(found, _X), _coordinate(found, _Y)
            numbers = EllipticCurvePublicNumbers(
                int.from_bytes(x, "big"), int.from_bytes(y, "big"), SECP256R1()
            )
            return numbers.public_key()
        if kind == _EDDSA:
            return Ed25519PublicKey.from_public_bytes(_coordinate(found, _X))
    except ValueError:
        raise ProofError("passkey: the public key is no point of its curve") from None
    raise ProofError("passkey: expected a public key for ES256 or EdDSA")


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
        raise ProofError(f"consent: expected a record with {name}")
    return from_base64url(text)


def _insist_verified(authenticator: bytes, rp_id: str) -> None:
    """Insist on this RP id, presence and verification; what an assertion may not have, it has not."""
    if len(authenticator) < _HEAD_BYTES:
        raise ProofError("consent: the authenticator data are too short")
    flags = authenticator[32]
    if authenticator[:32] != hashlib.sha256(rp_id.encode()).digest():
        raise ProofError(f"consent: expected one given to {rp_id}")
    if not flags & _PRESENT or not flags & _VERIFIED:
        raise ProofError("consent: the authenticator did not verify who used it")
    if flags & _ATTESTED or (len(authenticator) > _HEAD_BYTES) != bool(flags & _EXTENDED):
        raise ProofError("consent: the authenticator data hold what they may not")


def _coordinate(key: Mapping[Any, Any], label: int) -> bytes:
    value = key.get(label)
    if not isinstance(value, bytes) or len(value) != COORDINATE_BYTES:
        raise ValueError(label)
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found
